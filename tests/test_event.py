import json
import string
import unicodedata
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.errors import InvalidEvent
from payflux.event import ADDITIVE_FIELDS, CODES, EVENT_FIELDS, PaymentEvent, StoredEvent, decode_event
from payflux.event_errors import REQUIRED, is_timestamp, refusal

PROPERTY = settings(deadline=None, max_examples=200)  # the machines that run this are shared

EVENT: dict[str, Any] = {
    "event_type": "payment_failed",
    "event_timestamp": "2026-01-09T12:00:00Z",
    "event_id": "550e8400-e29b-41d4-a716-446655440000",
    "merchant_id_hash": "abc123",
    "payment_intent_id_hash": "xyz456",
    "processor": "stripe",
    "failure_category": "processor_timeout",
    "retry_count": 0,
    "geo_bucket": "US",
    "amount_bucket": "50-200",
    "system_source": "checkout_api",
    "payment_method_bucket": "credit_card",
    "channel": "web",
    "retry_result": "failed",
    "failure_origin": "processor",
}
ADDITIVE: dict[str, Any] = {
    "payment_method_fingerprint_hash": "f00",
    "card_network": "visa",
    "network_response_code": "51",
    "network_advice_code": "",
    "currency": "EUR",
    "amount_minor": 1999,
    "initiator": "mit",
    "latency_ms": 3_600_000,
    "issuer_country": "DE",
    "processor_event_id": "evt_1",
}
REQUIRED_ONLY = {name: EVENT[name] for name in EVENT_FIELDS if name in REQUIRED}
NUMBERS = {"retry_count": 100, "amount_minor": 10**15, "latency_ms": 3_600_000}
TEXTS = [name for name in EVENT_FIELDS + ADDITIVE_FIELDS if name not in NUMBERS]
FREE_TEXTS = [
    name for name in TEXTS if name not in {"event_type", "event_timestamp", "event_id", "processor", "initiator"}
]
PAN = "4111111111111111"


def compact(members: dict[str, Any], *, ascii_only: bool = False) -> bytes:
    return json.dumps(members, separators=(",", ":"), ensure_ascii=ascii_only).encode(errors="surrogatepass")


CANONICAL = compact(EVENT)


def refused(body: bytes) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        decode_event(body)
    assert caught.value.code in CODES
    assert caught.value.errors
    assert all(error.code in CODES for error in caught.value.errors)
    return caught.value


def answer(body: bytes) -> StoredEvent | InvalidEvent:
    try:
        return decode_event(body)
    except InvalidEvent as error:
        return error


def found(body: bytes) -> list[tuple[str, str]]:
    return [(error.field, error.code) for error in refused(body).errors]


# ---- what is accepted


def test_the_members_are_those_of_the_type_in_canonical_order() -> None:
    """The documented names are the struct's fields, in order, and the example holds them all."""
    assert PaymentEvent.__struct_fields__ == EVENT_FIELDS + ADDITIVE_FIELDS
    assert tuple(EVENT) == EVENT_FIELDS
    assert tuple(ADDITIVE) == ADDITIVE_FIELDS


@pytest.mark.parametrize(
    "body",
    [
        CANONICAL,
        json.dumps(EVENT).encode(),
        json.dumps(EVENT, indent=2).encode(),
        compact(dict(reversed(EVENT.items()))),
        b" \r\n\t" + CANONICAL + b"\n",
        CANONICAL.replace(b"stripe", rb"str\u0069pe"),
        CANONICAL.replace(b'"processor":', b'"proc\\u0065ssor" : '),
        compact(EVENT | {"EVENT_ID": "x", "unknown": {"a": [1.5, None, {"b": ":"}]}, "": PAN, "note": "4111 1111"}),
    ],
)
def test_every_spelling_of_an_event_becomes_the_canonical_one(body: bytes) -> None:
    """Order, spaces, escapes and unknown members make no difference to what is stored."""
    event_id = "550e8400-e29b-41d4-a716-446655440000"
    assert decode_event(body) == StoredEvent(CANONICAL, event_id, uuid.UUID(event_id).bytes, "stripe")


def test_defaults_are_filled_in() -> None:
    """An event of the required members alone is stored with all fifteen, and no additive one."""
    stored = json.loads(decode_event(compact(REQUIRED_ONLY)).data)
    assert stored == dict.fromkeys(EVENT_FIELDS, "") | {"retry_count": 0} | REQUIRED_ONLY
    assert tuple(stored) == EVENT_FIELDS


def test_additive_members_are_stored_only_when_sent() -> None:
    """Each additive member, and all of them in any order, follow the fifteen in canonical order."""
    everything = EVENT | ADDITIVE
    assert decode_event(compact(dict(reversed(everything.items())))).data == compact(everything)
    for name, value in ADDITIVE.items():
        assert decode_event(compact({name: value} | EVENT)).data == compact(EVENT | {name: value})


def test_event_id_is_lower_cased() -> None:
    """One UUID in two letter cases is one event."""
    assert decode_event(compact(EVENT | {"event_id": EVENT["event_id"].upper()})).data == CANONICAL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x" * 100) for name in FREE_TEXTS if name != "geo_bucket"),
        *((name, "\U0001f4b3" * 20) for name in FREE_TEXTS),
        *((name, "") for name in FREE_TEXTS),
        *((name, 'quote " backslash \\ /'[:20]) for name in FREE_TEXTS),
        *((name, "caf\u00e9 \u2028") for name in FREE_TEXTS),
        *((name, 0) for name in NUMBERS),
        *NUMBERS.items(),
        ("event_type", " x "),
        ("processor", "0"),
        ("processor", "a-b_c" + "9" * 35),
        ("initiator", "cit"),
    ],
)
def test_values_at_the_limits_are_stored_as_sent(name: str, value: object) -> None:
    """The longest, the shortest, the largest and the least usual value are all kept verbatim."""
    for ascii_only in (True, False):
        stored = decode_event(compact(EVENT | {name: value}, ascii_only=ascii_only))
        assert json.loads(stored.data)[name] == value
        assert decode_event(stored.data) == stored


# ---- what is refused, member by member

WRONG: list[tuple[str, object, str]] = [
    *((name, None, "type") for name in EVENT_FIELDS + ADDITIVE_FIELDS),
    *((name, 7, "type") for name in TEXTS),
    *((name, ["x"], "type") for name in TEXTS),
    *((name, {"x": 1}, "type") for name in TEXTS),
    *((name, value, "type") for name in NUMBERS for value in (1.0, 1e300, True, "1", ["1"], {"a": 1})),
    *((name, value, "out_of_range") for name in NUMBERS for value in (-1, NUMBERS[name] + 1, 2**64, 10**30)),
    *((name, "x" * 101, "too_long") for name in FREE_TEXTS),
    ("geo_bucket", "x" * 21, "too_long"),
    ("event_type", "x" * 101, "too_long"),
    *((name, "a\nb", "control_character") for name in FREE_TEXTS),
    *((name, "\ud800", "control_character") for name in FREE_TEXTS),
    *(("event_type", blank, "blank") for blank in ("", " ", "\u00a0", "\u2003\u3000")),
    *(
        ("event_id", text, "invalid_uuid")
        for text in (
            "",
            "not-a-uuid",
            "550e8400e29b41d4a716446655440000",
            "{550e8400-e29b-41d4-a716-446655440000}",
            "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-44665544000g",
            "550e8400-e29b-41d4-a716-4466554400",
            "550e8400-e29b-41d4-a716-446655440000a",
            "550e8400-e29b-41d4-a716-44665544000 ",
            " 50e8400-e29b-41d4-a716-446655440000",
            "550e84 00e29b-41d4-a716-44665544 0000"[:36],
            "550e840-0e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a7164-46655440000",
            "550e8400-e29b-41d4-a716--46655440000",
            "550e8400-e29b-41d4-a716-44665544  00",
            "\uff1550e8400-e29b-41d4-a716-446655440000"[:36],
        )
    ),
    *(
        ("processor", text, "invalid_processor")
        for text in ("", "Stripe", "-stripe", "_x", "a b", "a.b", "x" * 41, "\u00e9", "stripe\u2028")
    ),
    *(("initiator", text, "invalid_choice") for text in ("", "CIT", "cit ", "merchant")),
]


@pytest.mark.parametrize(("name", "value", "code"), WRONG)
def test_a_wrong_value_is_refused_with_its_code(name: str, value: object, code: str) -> None:
    """One wrong member is one error that names it, whatever the rest and the spelling of the body."""
    for event in (EVENT, REQUIRED_ONLY):
        assert found(compact(event | {name: value}, ascii_only=True)) == [(name, code)]
    error = refused(compact({name: value} | EVENT | {name: value}, ascii_only=True))
    assert error.code == "invalid_event"
    assert error.errors[0].message.startswith(f"{name} must ")


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_required_members_are_required(name: str) -> None:
    """Each required member that is missing is named."""
    assert found(compact({key: value for key, value in EVENT.items() if key != name})) == [(name, "required")]


def test_every_bad_member_is_named_at_once() -> None:
    """An event with many faults gets one answer with all of them, in canonical order."""
    body = {"event_type": " ", "event_id": 5, "processor": "A\x00", "retry_count": -1, "currency": "x" * 101}
    assert found(compact(body)) == [
        ("event_type", "blank"),
        ("event_timestamp", "required"),
        ("event_id", "type"),
        ("processor", "control_character"),
        ("processor", "invalid_processor"),
        ("retry_count", "out_of_range"),
        ("currency", "too_long"),
    ]


def test_the_promised_words_about_event_id() -> None:
    """Scripts look for this text."""
    for value in ("not-a-uuid", "", 5, None):
        assert "event_id must be valid UUID" in str(refused(compact(EVENT | {"event_id": value})))


def test_errors_never_hold_the_value() -> None:
    """What was sent appears in no code and no message."""
    secret = "SECRET\x01" + "z" * 200
    error = refused(compact(dict.fromkeys(EVENT | ADDITIVE, secret), ascii_only=True))
    assert {field for field, _, _ in error.errors} == set(EVENT | ADDITIVE)
    for text in (str(error), repr(error), repr(error.errors), repr(error.__cause__)):
        assert "SECRET" not in text
        assert "zzz" not in text


def test_every_documented_code_occurs() -> None:
    """The table of codes is what the decoder gives, no more and no less."""
    bodies = [compact(EVENT | {name: value}, ascii_only=True) for name, value, _ in WRONG]
    bodies += [b"", b"{}", b'{"a":1,"a":2}', compact(EVENT | {"event_timestamp": "now"})]
    bodies += [compact(EVENT | {"channel": PAN})]
    errors = [refused(body) for body in bodies]
    assert {error.code for error in errors} | {one.code for error in errors for one in error.errors} == set(CODES)
    assert all(CODES.values())


# ---- timestamps


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-09T12:00:00Z",
        "2026-01-09t12:00:00z",
        "2024-02-29T23:59:59.1Z",
        "2026-01-09T12:00:00.123456789+23:59",
        "2026-01-09T12:00:00-23:59",
        "2026-01-09T12:00:00-00:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_rfc_3339_timestamps_are_kept_verbatim(text: str) -> None:
    """Every spelling RFC 3339 allows is accepted and stored as sent."""
    assert json.loads(decode_event(compact(EVENT | {"event_timestamp": text})).data)["event_timestamp"] == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-09",
        "2026-01-09T12:00:00",
        "2026-01-09 12:00:00Z",
        "2026-01-09T12:00Z",
        "2026-01-09T12:00:00.Z",
        "2026-01-09T12:00:00.1234567890Z",
        "2026-01-09T12:00:00,1Z",
        "2026-01-09T12:00:00+0100",
        "2026-01-09T12:00:00+01",
        "2026-01-09T12:00:00+24:00",
        "2026-01-09T12:00:00+01:60",
        "2026-01-09T12:00:00ZZ",
        "2026-01-09T12:00:00Z ",
        " 2026-01-09T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-00-10T12:00:00Z",
        "2026-01-09T24:00:00Z",
        "2026-01-09T12:60:00Z",
        "2026-06-30T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "2026-W02-5T12:00:00Z",
        "20260109T120000Z",
        "+2026-01-09T12:00:00Z",
        "\uff12026-01-09T12:00:00Z",
        "2026-01-09T12:00:0\u0660Z",
        "2026-01-09\u017f12:00:00Z",
        "1767957855596",
    ],
)
def test_other_timestamps_are_refused(text: str) -> None:
    """What RFC 3339 or the calendar does not know is refused, twice the same way."""
    for _ in range(2):
        assert found(compact(EVENT | {"event_timestamp": text})) == [("event_timestamp", "invalid_timestamp")]


@PROPERTY
@given(st.datetimes(), st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_aware_isoformat_is_a_timestamp_and_naive_is_not(moment: datetime, offset: int) -> None:
    """What Python writes for a moment with an offset is accepted, without one refused."""
    assert is_timestamp(moment.replace(tzinfo=timezone(timedelta(minutes=offset))).isoformat())
    assert not is_timestamp(moment.isoformat())


# ---- control characters


@pytest.mark.parametrize("name", TEXTS)
def test_every_control_character_is_refused_in_every_string(name: str) -> None:
    """C0, DEL and C1 are refused, raw where JSON allows it and escaped."""
    for code in [*range(0x20), *range(0x7F, 0xA0)]:
        value = str((EVENT | ADDITIVE)[name]) + chr(code)
        for ascii_only in (True, False):
            assert (name, "control_character") in found(compact(EVENT | {name: value}, ascii_only=ascii_only))


@PROPERTY
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.sampled_from(FREE_TEXTS))
def test_only_control_characters_are_refused(text: str, name: str) -> None:
    """Any other character is stored as sent, whether it came escaped or raw."""
    for ascii_only in (True, False):
        body = compact(EVENT | {name: text}, ascii_only=ascii_only)
        if any(unicodedata.category(character) == "Cc" for character in text):
            assert found(body) == [(name, "control_character")]
        else:
            assert json.loads(decode_event(body).data)[name] == text


# ---- card numbers


def spellings(pan: str) -> Iterator[str]:
    fours = [pan[index : index + 4] for index in range(0, len(pan), 4)]
    yield from (separator.join(fours) for separator in ("", " ", "-", ".", "/", "_", "\u00a0", "\u2013"))
    yield "".join(chr(0xFF10 + int(digit)) for digit in pan)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("pan", [PAN, "5555555555554444", "378282246310005", "6011111111111117", "3566002020360505"])
def test_card_numbers_are_refused_in_every_string(name: str, pan: str) -> None:
    """A card number in any member, however written and escaped, is `pan_detected` and appears nowhere in the error."""
    for value in (text for text in spellings(pan) if name != "geo_bucket" or len(text) <= 20):
        escaped = "".join(f"\\u{ord(character):04x}" for character in value)
        for body in (
            compact(EVENT | {name: value}),
            compact(EVENT | {name: value}, ascii_only=True),
            compact({name: value} | EVENT | {name: value, "unknown": 1}),
            compact(EVENT | {name: "PLACE"}).replace(b"PLACE", escaped.encode()),
        ):
            error = refused(body)
            assert error.code == "pan_detected"
            assert (name, "pan_detected") in [(one.field, one.code) for one in error.errors]
            assert pan[:13] not in repr(error.errors)
            assert value not in repr(error.errors)


def test_card_numbers_are_refused_as_integers() -> None:
    """An American Express number fits into `amount_minor`, and is refused; amounts of that size are not."""
    assert found(compact(EVENT | {"amount_minor": 378282246310005})) == [("amount_minor", "pan_detected")]
    assert (
        b":378282246310006,"
        in decode_event(compact({"currency": "x", **EVENT, "latency_ms": 1, "amount_minor": 378282246310006})).data
    )
    assert ("amount_minor", "pan_detected") in found(compact(EVENT | {"amount_minor": int(PAN)}))


def test_a_card_number_in_an_over_long_value_is_named_too() -> None:
    """The code says what matters more."""
    error = refused(compact(EVENT | {"channel": PAN + " " * 100_000}))
    assert error.code == "pan_detected"
    assert [one.code for one in error.errors] == ["too_long", "pan_detected"]


def test_values_of_neighbouring_members_make_no_card_number() -> None:
    """Half a card number in each of two members is none."""
    halves = {"merchant_id_hash": PAN[:8], "payment_intent_id_hash": PAN[8:], "channel": "\u00e9"}
    for event in (EVENT | halves, EVENT | {"event_id": "41111111-1111-4111-8111-111111111111"}):
        assert decode_event(compact(event)).data == compact(event)


# ---- JSON

UNREADABLE = {
    "empty": b"",
    "blank": b" \n",
    "null": b"null",
    "array": b"[" + CANONICAL + b"]",
    "string": b'"x"',
    "number": b"1",
    "bom": b"\xef\xbb\xbf" + CANONICAL,
    "utf_16": CANONICAL.decode().encode("utf-16"),
    "utf_16_without_bom": CANONICAL.decode().encode("utf-16-le"),
    "utf_32": CANONICAL.decode().encode("utf-32"),
    "truncated": CANONICAL[:-1],
    "unclosed_string": CANONICAL[:-2],
    "trailing_bracket": CANONICAL + b"}",
    "trailing_object": CANONICAL + b"{}",
    "trailing_nul": CANONICAL + b"\x00",
    "two_lines": CANONICAL + b"\n" + CANONICAL,
    "trailing_comma": CANONICAL[:-1] + b",}",
    "double_comma": CANONICAL.replace(b",", b",,", 1),
    "leading_form_feed": b"\x0c" + CANONICAL,
    "no_break_space": b"\xc2\xa0" + CANONICAL,
    "comment": b"/**/" + CANONICAL,
    "single_quotes": CANONICAL.replace(b'"', b"'"),
    "unquoted_name": CANONICAL.replace(b'"channel"', b"channel"),
    "raw_newline_in_string": CANONICAL.replace(b"stripe", b"str\nipe"),
    "bad_escape": CANONICAL.replace(b"stripe", b"str\\xipe"),
    "short_escape": CANONICAL.replace(b"stripe", b"str\\u12"),
    "many_brackets": b"[" * 100_000,
    "many_objects": b'{"a":' * 100_000,
    "many_brackets_inside": CANONICAL[:-1] + b',"x":' + b"[" * 100_000,
    "closed_brackets_inside": CANONICAL[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
IN_UNKNOWN_MEMBER = {
    "nan": b"NaN",
    "infinity": b"Infinity",
    "minus_infinity": b"-Infinity",
    "leading_zero": b"01",
    "plus": b"+1",
    "bare_fraction": b".5",
    "bare_point": b"1.",
    "bare_exponent": b"1e",
    "bare_minus": b"-",
    "hexadecimal": b"0x1",
    "capital_true": b"True",
    "truncated_true": b"tru",
    "undefined": b"undefined",
    "raw_tab": b'"\t"',
    "invalid_utf_8": b'"\xff"',
    "invalid_utf_8_name": b'{"\xff":1}',
    "overlong_utf_8": b'"\xc0\xaf"',
    "utf_8_surrogate": b'"\xed\xa0\x80"',
    "lone_surrogate": b'"\\ud800"',
    "lone_low_surrogate": b'"\\udc00x"',
    "array_comma": b"[1,]",
    "array_colon": b"[1:2]",
    "nothing": b"",
}
UNREADABLE |= {f"unknown_{name}": CANONICAL[:-1] + b',"x":%s}' % text for name, text in IN_UNKNOWN_MEMBER.items()}
UNREADABLE |= {
    f"known_{name}": CANONICAL.replace(b'"retry_count":0', b'"retry_count":' + text)
    for name, text in IN_UNKNOWN_MEMBER.items()
    if name in {"nan", "infinity", "leading_zero", "bare_point", "bare_minus", "nothing", "invalid_utf_8"}
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_json_object_is_invalid_json(body: bytes) -> None:
    """Every malformed body, wherever the fault, is refused as a whole."""
    assert refused(body).code == "invalid_json"
    assert found(body) == [("", "invalid_json")]


@pytest.mark.parametrize("body", [CANONICAL, compact({"x": "\\"} | EVENT), compact({"x": "\u00e9"} | EVENT)])
def test_any_depth_of_nesting_is_accepted_or_refused(body: bytes) -> None:
    """Around the interpreter's limit, too, nesting ends in an answer and in no other exception."""
    for depth in range(1, 1100):
        nested = answer(body[:-1] + b',"x2":' + b"[" * depth + b"]" * depth + b"}")
        if isinstance(nested, InvalidEvent):
            assert nested.code == "invalid_json"
            assert depth > 100
        else:
            assert nested.data == CANONICAL


def test_huge_numbers_are_read() -> None:
    """Thousands of digits are out of range in our members and nobody's business in others."""
    huge = b"9" * 5000
    assert decode_event(CANONICAL[:-1] + b',"x":%s}' % huge).data == CANONICAL
    assert decode_event(CANONICAL[:-1] + b',"x":[%s,-1e%s,"\\n"]}' % (huge, huge)).data == CANONICAL
    body = CANONICAL.replace(b'"retry_count":0', b'"retry_count":' + huge)
    assert found(body) == [("retry_count", "out_of_range")]


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (b'"processor":"stripe"', "processor"),
        (b'"processor" :"adyen"', "processor"),
        (b'"processor"\n:\n"adyen"', "processor"),
        (b'"proc\\u0065ssor":"adyen"', "processor"),
        (b'"channel":":web"', "channel"),
        (b'"x":1,"x":1', "x"),
        (b'"x" :1,"x" :":1"', "x"),
        (b'"x":{"y":1,"y":2}', "y"),
        (b'"caf\xc3\xa9":1,"caf\xc3\xa9":1', ""),
        (b'"4111111111111111":1,"4111111111111111":1', ""),
        (b'"ref_4111111111111111":1,"ref_4111111111111111":1', ""),
    ],
)
def test_duplicate_members_are_refused_by_name(extra: bytes, name: str) -> None:
    """A second member of a name is refused in every spelling; a name that is not plain is not repeated."""
    for event in (CANONICAL, json.dumps(EVENT, indent=1).encode(), compact(REQUIRED_ONLY | {"channel": "a"})):
        for body in (event[:-1] + b"," + extra + b"}", b"{" + extra + b"," + event[1:]):
            error = refused(body)
            assert error.code == "duplicate_member"
            assert [(one.field, one.code) for one in error.errors] == [(name, "duplicate_member")]
            assert PAN not in str(error)


def test_an_escaped_colon_hides_no_duplicate() -> None:
    """The cheap count of colons is not fooled by one that is escaped."""
    body = CANONICAL.replace(b"abc123", rb"a\u003ab")
    assert json.loads(decode_event(body).data)["merchant_id_hash"] == "a:b"
    assert found(body[:-1] + b',"channel":"web"}') == [("channel", "duplicate_member")]


NAMES = st.sampled_from(
    [*EVENT_FIELDS, *ADDITIVE_FIELDS, "unknown", "x:y", ":", "a\\u003ab", "ch\\u0061nnel", "\u00e9"]
)
GAPS = st.sampled_from(["", "", "", " ", "\n", "\t "])


@st.composite
def written_events(draw: st.DrawFn) -> tuple[str, bool]:
    """An event written member by member, valid but perhaps for names that come twice; and whether one does."""
    names = [*REQUIRED, *draw(st.lists(NAMES, max_size=14))]
    if draw(st.booleans()):
        names = list(dict.fromkeys(names))
    names = draw(st.permutations(names))
    parts = []
    for name in names:
        plain = json.loads(f'"{name}"')
        if plain in {"channel", "unknown", "merchant_id_hash"}:
            value = draw(st.sampled_from(["", ":", ":x", "a:b", '"', "\\", '":', "x,", "4", "ok"]))
        else:
            value = (EVENT | ADDITIVE).get(plain, ":")
        parts.append(f'{draw(GAPS)}"{name}"{draw(GAPS)}:{draw(GAPS)}{json.dumps(value)}{draw(GAPS)}')
    spelt = [json.loads(f'"{name}"') for name in names]
    return "{" + ",".join(parts) + "}", len(set(spelt)) < len(spelt)


@settings(PROPERTY, max_examples=300)
@given(written_events())
def test_duplicates_are_refused_and_nothing_else(written: tuple[str, bool]) -> None:
    """However an event is spaced and escaped, it is refused exactly when a name comes twice."""
    text, has_duplicate = written
    if has_duplicate:
        assert refused(text.encode()).code == "duplicate_member"
    else:
        members = json.loads(text)
        stored = json.loads(decode_event(text.encode()).data)
        assert stored.items() >= {key: members[key] for key in members if key in EVENT or key in ADDITIVE}.items()


# ---- the fast and the slow path

ANY_TEXT = st.one_of(
    st.sampled_from(["", " ", "x", "cit", "stripe", "Stripe", PAN, "4111 1111 1111 1111", "x" * 100, "x" * 101, "\n"]),
    st.sampled_from([str(value) for value in (EVENT | ADDITIVE).values()]),
    st.text(string.digits + " -.", max_size=24),
    st.text(max_size=24),
)
ANY_VALUE: st.SearchStrategy[Any] = st.one_of(
    ANY_TEXT,
    st.integers(),
    st.sampled_from([0, 1, 100, 101, 10**15, 10**15 + 1, 1.0, True, None, {}, [], {"a": "b"}]),
    st.floats(allow_nan=False, allow_infinity=False),
)
CHANGES = st.dictionaries(
    st.sampled_from([*EVENT_FIELDS, *ADDITIVE_FIELDS, *TEXTS, "unknown"]), ANY_VALUE | st.just(...), max_size=3
)


@settings(PROPERTY, max_examples=300)
@given(CHANGES, st.booleans(), st.booleans())
def test_the_fast_path_refuses_what_the_slow_path_explains(
    changes: dict[str, Any], spaced: bool, ascii_only: bool
) -> None:
    """What is accepted has no error the slow path could name, and what is refused has one by name."""
    event = {name: value for name, value in (EVENT | changes).items() if value is not ...}
    separators = None if spaced else (",", ":")
    text = json.dumps(event, separators=separators, ensure_ascii=ascii_only)
    body = text.encode(errors="surrogatepass")
    explained = refusal(body)
    stored = answer(body)
    if isinstance(stored, InvalidEvent):
        assert (stored.code, stored.errors) == (explained.code, explained.errors)
        assert stored.code in {"invalid_event", "pan_detected"}
    else:
        assert [one.field for one in explained.errors] == [""]  # it found nothing to name
        assert decode_event(stored.data) == stored
        sent = {name: value for name, value in event.items() if name in EVENT_FIELDS + ADDITIVE_FIELDS}
        kept = json.loads(stored.data)
        defaults = dict.fromkeys(EVENT_FIELDS, "") | {"retry_count": 0}
        assert kept == defaults | sent | {"event_id": str(event["event_id"]).lower()}
        assert stored.data == msgspec.json.encode(kept)


@PROPERTY
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_properly(body: bytes) -> None:
    """Bytes that are no event end in InvalidEvent, never in another exception."""
    refused(body)


@settings(PROPERTY, max_examples=300)
@given(st.integers(0, len(CANONICAL) - 1), st.integers(0, 3), st.binary(max_size=3))
def test_a_damaged_event_is_accepted_or_refused(index: int, cut: int, inserted: bytes) -> None:
    """Whatever a few bytes of damage make of an event, the answer is an event or InvalidEvent."""
    body = CANONICAL[:index] + inserted + CANONICAL[index + cut :]
    stored = answer(body)
    if isinstance(stored, InvalidEvent):
        assert stored.errors
    else:
        assert decode_event(stored.data) == stored
