import base64
import hashlib
import random
from datetime import datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.client.card_numbers import contains_pan, may_contain_pan, with_pan

PROPERTY = settings(deadline=None, max_examples=120)  # the machines that run this are shared

CARDS = {
    "visa": "4111111111111111",
    "visa_13": "4222222222222",
    "visa_19": "4000000000000000006",
    "mastercard": "5555555555554444",
    "mastercard_2": "2223003122003222",
    "amex": "378282246310005",
    "discover": "6011111111111117",
    "diners": "30569309025904",
    "diners_us": "38520000023237",
    "jcb": "3566002020360505",
    "unionpay": "6200000000000005",
    "maestro": "6759649826438453",
    "mir": "2200000000000004",
}
PREFIXES = ("4", "51", "55", "2221", "2720", "34", "37", "6011", "65", "36", "3095", "3528", "62", "50", "2204", "81")
LENGTHS = {"4": (13, 16, 19), "34": (15,), "37": (15,), "36": (14, 16, 19), "62": (16, 19), "50": (13, 16, 19)}


def with_check_digit(digits: str) -> str:
    """Append the digit that makes Luhn pass, the textbook way."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value // 10 + value % 10
    return digits + str(-total % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    prefix = draw(st.sampled_from(PREFIXES))
    length = draw(st.sampled_from(LENGTHS.get(prefix, (16,))))
    fill = draw(st.text("0123456789", min_size=length - 1 - len(prefix), max_size=length - 1 - len(prefix)))
    return with_check_digit(prefix + fill)


@st.composite
def written_cards(draw: st.DrawFn) -> str:
    """A card number cut into groups anywhere, joined by one or two separators of one kind."""
    digits = draw(card_numbers())
    cuts = sorted(draw(st.sets(st.integers(1, len(digits) - 1), max_size=6)))
    groups = [digits[start:end] for start, end in zip([0, *cuts], [*cuts, len(digits)], strict=True)]
    separator: str = draw(st.sampled_from([*" -/_:|", "  ", "- ", *([".", ","] if len(groups) > 5 else [])]))
    return separator.join(groups)


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_known_cards_are_found_however_they_are_written(card: str) -> None:
    """Every network's test card is found plain, grouped by fours with any separator, and in text."""
    fours = [card[index : index + 4] for index in range(0, len(card), 4)]
    separators = [" ", "-", ".", "/", "_", "  ", " -", "\u00a0", "\u2003", "\u2009", "\u2011", "\u2013", "\u200b"]
    spellings = [card, *(separator.join(fours) for separator in separators)]
    for spelling in spellings:
        for text in (spelling, f"card:{spelling}.", f"pi_{spelling}", f"({spelling})", f"{spelling} 12/26 123"):
            assert contains_pan(text), text


@pytest.mark.parametrize("zero", ["\uff10", "\u0660", "\u0966", "\U0001d7ce"])
def test_digits_of_other_scripts_are_digits(zero: str) -> None:
    """Full-width, Arabic, Devanagari and mathematical digits spell a card number as ASCII ones do."""
    assert contains_pan("".join(chr(ord(zero) + int(digit)) for digit in CARDS["visa"]))


def test_letters_of_other_scripts_do_not_hide_a_card() -> None:
    """Scripts without spaces put letters against a number, and it is a card number still."""
    assert contains_pan(f"\u5361\u53f7{CARDS['visa']}")


def test_printed_groups_may_mix_separators_and_ranges_of_amounts_may_not() -> None:
    """Groups joined by unlike separators are a card number only in the shape printed on cards."""
    assert contains_pan("4111 1111-1111.1111")
    assert contains_pan("3782 822463-10005")
    for amounts in ("600.000-4.000.000", "600 000-4 000 000", "600.000 - 4.000.000"):
        assert not contains_pan(amounts)


@PROPERTY
@given(
    written_cards(), st.sampled_from(["", "ref ", "#", "a-", "12:", "\u00e9 "]), st.sampled_from(["", " x", ";", "|1"])
)
def test_every_card_number_is_found(card: str, before: str, after: str) -> None:
    """Whatever the issuer, the grouping and the neighbours, a card number that stands alone is found."""
    text = before + card + after
    assert contains_pan(text)
    assert may_contain_pan(msgspec.json.encode({"field": text}))


@PROPERTY
@given(card_numbers(), st.integers(0, 18), st.integers(1, 9))
def test_one_wrong_digit_is_no_card_number(card: str, index: int, shift: int) -> None:
    """Luhn notices every single wrong digit."""
    index %= len(card)
    wrong = card[:index] + str((int(card[index]) + shift) % 10) + card[index + 1 :]
    assert not contains_pan(wrong)


@pytest.mark.parametrize(
    "track",
    [
        "%B4111111111111111^DOE/JOHN^25121010000000000?",
        "%b3782 822463 10005^DOE/JOHN^2512?",
        "B4111111111111111^DOE/JOHN^2512",
        ";4111111111111111=25121010000000000?",
        "4111111111111111=25121010000000000",
        "4111111111111111D25121010000000000F",
        "ref 5555555555554444d2512101",
        "%B4111111111111112^NO/LUHN^2512?",
        ";4111111111111112=2512101?",
    ],
)
def test_track_data_is_found(track: str) -> None:
    """Track 1 and 2 are found; with their start sentinel even when Luhn fails."""
    assert contains_pan(track)
    assert may_contain_pan(msgspec.json.encode({"field": track}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111",  # 13 digits, Luhn fails
        "411111111111",  # 12 digits
        "a4111111111111111",
        "4111111111111111f",
        "41111111111111111111111",  # a longer number
        "1234567890123452",  # Luhn passes, no issuer begins so
        "4111 1111 a 1111 1111",
        "20260109120000",
        "1767957855596-0",
        "192.168.100.200",
        "50-200",
        "B4111111111111112^NO/LUHN^2512",
        "4111111111111112D2512101",
    ],
)
def test_what_only_resembles_a_card_is_let_through(text: str) -> None:
    """Wrong length, check digit, issuer or neighbours make it no card number."""
    assert not contains_pan(text)


def test_an_all_decimal_uuid_is_no_card() -> None:
    """A UUID may happen to have decimal groups that read as a card number."""
    assert not contains_pan("41111111-1111-1111-8111-111111111111")
    assert contains_pan("41111111-1111-1111")


@PROPERTY
@given(st.uuids(), st.sampled_from(["{}", "evt_{}", "{}-retry", "/v1/{}/x"]))
def test_uuids_never_trip(uuid: object, around: str) -> None:
    """No UUID is taken for a card number, alone or in an identifier."""
    assert not contains_pan(around.format(uuid))
    assert not contains_pan(around.format(str(uuid).upper()))


@PROPERTY
@given(st.integers(0, 2**64))
def test_random_tokens_never_trip(seed: int) -> None:
    """Hashes, base64url tokens and ULIDs of random bytes are no card numbers."""
    raw = random.Random(seed).randbytes(48)
    tokens = [hashlib.new(name, raw).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")]
    tokens += [base64.urlsafe_b64encode(raw).decode(), base64.b64encode(raw).decode()]
    tokens += ["01" + "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[byte % 32] for byte in raw[:24])]
    for token in tokens:
        assert not contains_pan(token), token


@PROPERTY
@given(st.integers(1_500_000_000, 1_999_999_999), st.integers(0, 999_999_999))
def test_unix_timestamps_never_trip(seconds: int, nanos: int) -> None:
    """Seconds, milli-, micro- and nanoseconds of 2017 to 2033 are no card numbers, nor are Redis stream ids."""
    whole = f"{seconds}{nanos:09d}"
    for text in (whole[:10], whole[:13], whole[:16], whole, f"{seconds}.{nanos:09d}", f"{whole[:13]}-{nanos % 100}"):
        assert not contains_pan(text), text


@PROPERTY
@given(
    st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(2199, 12, 31)),  # noqa: DTZ001 - the offset follows
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.integers(0, 999_999_999),
    st.sampled_from(["T", "t", " "]),
)
def test_timestamps_never_trip(moment: datetime, offset: int, nanos: int, separator: str) -> None:
    """No RFC 3339 timestamp is taken for a card number, with nanoseconds and a negative offset neither."""
    zoned = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset))).isoformat(separator)
    for text in (zoned, zoned[:19] + "Z", f"{zoned[:19]}.{nanos:09d}{zoned[19:]}", f"{zoned[:19]}.{nanos:09d}z"):
        assert not contains_pan(text), text


def test_a_timestamp_hides_no_card() -> None:
    """A card number beside a timestamp or a UUID is found."""
    for text in ("2026-01-09T12:00:00Z {}", "{} 2026-01-09 12:00:00", "550e8400-e29b-41d4-a716-446655440000/{}"):
        assert contains_pan(text.format(CARDS["visa"]))


PIECES = st.one_of(
    st.sampled_from([*CARDS.values(), "4111", "1111", "%B", ";", "^", "=2512", "D2512", " ", "-", ".", "/", "_", "|"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=3),
    st.text("0123456789 -", max_size=8),
)


@PROPERTY
@given(st.lists(PIECES, max_size=8).map("".join))
def test_the_screen_misses_nothing(text: str) -> None:
    """What the exact check finds in a value, the screen over the JSON does not let pass."""
    if contains_pan(text):
        assert may_contain_pan(msgspec.json.encode({"before": "1", "field": text, "after": "1"}))


@PROPERTY
@given(st.lists(st.one_of(st.lists(PIECES, max_size=4).map("".join), st.sampled_from(['"', 'x"', ""])), max_size=8))
def test_texts_together_are_judged_as_each_is(texts: list[str]) -> None:
    """Searched together, texts hide nothing in each other, and make no number of two."""
    found = {*with_pan({str(index): text for index, text in enumerate(texts)})}
    assert found == {str(index) for index, text in enumerate(texts) if contains_pan(text)}


def test_many_numbers_without_a_card_among_them_are_refused_where_they_are() -> None:
    """The work that they make must not grow faster than the texts: that with most of them is the one that is named."""
    wrong = "4111-" * 200
    assert not contains_pan("4111 1111 1111 1112")
    assert list(with_pan({"a": "50-200", "b": wrong, "c": "web"})) == ["b"]


def test_all_with_track_data_are_named() -> None:
    """So that they are mended at once; and of too many numbers, who holds them, not the longest text."""
    assert [*with_pan({"a": "2026-11-27 " * 200, "b": "4111-" * 200})] == ["b"]
    assert [*with_pan({"a": ";9999999999999=2512", "b": "x", "c": ";1111111111111=2512"})] == ["a", "c"]


@pytest.mark.parametrize("form", ["114-{:07d}-{:07d}", "20261127-{:06d}-{:03d}", "2026-11-27-{:02d}-{:02d}-00-{:03d}"])
def test_a_list_of_numbers_that_begin_as_no_card_does_is_none(form: str) -> None:
    """However long it is."""
    rng = random.Random(form)
    listed = [form.format(*(rng.randrange(24) for _ in range(3))) for _ in range(300)]
    assert not contains_pan(", ".join(listed))


def test_references_in_every_member_are_not_too_many() -> None:
    """A dozen references in groups of four, which are no cards, pass."""
    assert not list(with_pan({str(index): "4111 1111 1111 1112" for index in range(12)}))


def test_the_screen_lets_usual_events_pass() -> None:
    """The screen spares plain values the exact check, and spares it nothing that is no plain text."""
    assert not may_contain_pan(b'{"a":"50-200","retry_count":0,"at":"2026-01-09T12:00:00.123Z"}')
    for opaque in (b'{"a":"\\n"}', b'{"a":"\x7f"}', '{"a":"\u0085"}'.encode()):
        assert may_contain_pan(opaque)


def test_a_long_text_takes_time_in_proportion() -> None:
    """Tens of thousands of groups are judged well within the time limit, which quadratic work would miss."""
    assert not contains_pan("1 " * 50_000)
    assert not contains_pan("1" * 200_000)
    assert not contains_pan("1-" * 50_000 + "x")


def test_the_share_of_random_references_refused_is_as_documented() -> None:
    """About one random decimal reference of 16 digits in 25 passes for a card number."""
    digits = random.Random(7)
    refused = sum(contains_pan(f"{digits.randrange(10**16):016d}") for _ in range(10_000))
    assert 300 < refused < 500


def test_article_numbers_pass_but_those_that_are_card_numbers_too() -> None:
    """An EAN has a check digit of another kind: a right one makes nothing a card, nor does it save what is one."""
    assert not contains_pan("4006381333931")
    assert contains_pan("4222222222222")
