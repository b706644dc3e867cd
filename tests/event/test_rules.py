"""Events: JSON that is refused, duplicate members, and the fast path against the slow one."""

import json
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import ADDITIVE, CANONICAL, EVENT, PAN, PROPERTY, REQUIRED_ONLY, TEXTS, answer, compact, found, refused
from payflux.errors import InvalidEvent
from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS, decode_event
from payflux.event.rules import REQUIRED, examine

# ---- JSON


UNREADABLE = {
    "empty": b"",
    "blank": b" \n",
    "null": b"null",
    "array": b"[" + CANONICAL + b"]",
    "string": b'"x"',
    "number": b"1",
    "two_boms": b"\xef\xbb\xbf" * 2 + CANONICAL,
    "bom_inside": b" \xef\xbb\xbf" + CANONICAL,
    "half_a_bom": b"\xef\xbb" + CANONICAL,
    "bom_alone": b"\xef\xbb\xbf",
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


@settings(PROPERTY, max_examples=150)
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


@settings(PROPERTY, max_examples=150)
@given(CHANGES, st.booleans(), st.booleans())
def test_the_fast_path_agrees_with_the_slow_one(changes: dict[str, Any], spaced: bool, ascii_only: bool) -> None:
    """What is refused has an error by name, what is accepted has none, and both ways store the same members."""
    event = {name: value for name, value in (EVENT | changes).items() if value is not ...}
    separators = None if spaced else (",", ":")
    text = json.dumps(event, separators=separators, ensure_ascii=ascii_only)
    body = text.encode(errors="surrogatepass")
    stored = answer(body)
    if isinstance(stored, InvalidEvent):
        with pytest.raises(InvalidEvent) as caught:
            examine(body)
        assert (stored.code, stored.errors) == (caught.value.code, caught.value.errors)
        assert stored.code in {"invalid_event", "pan_detected"}
    else:
        sent = {name: value for name, value in event.items() if name in EVENT_FIELDS + ADDITIVE_FIELDS}
        sent = {name: value for name, value in sent.items() if value is not None}
        sent |= {name: int(value) for name, value in sent.items() if isinstance(value, float)}
        sent["event_id"] = str(event["event_id"]).lower()
        assert examine(body) == sent
        kept = json.loads(stored.data)
        assert kept == dict.fromkeys(EVENT_FIELDS, "") | {"retry_count": 0} | sent
        assert stored.data == msgspec.json.encode(kept)
        assert decode_event(stored.data) == stored


@PROPERTY
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_properly(body: bytes) -> None:
    """Bytes that are no event end in InvalidEvent, never in another exception."""
    refused(body)


@settings(PROPERTY, max_examples=150)
@given(st.integers(0, len(CANONICAL) - 1), st.integers(0, 3), st.binary(max_size=3))
def test_a_damaged_event_is_accepted_or_refused(index: int, cut: int, inserted: bytes) -> None:
    """Whatever a few bytes of damage make of an event, the answer is an event or InvalidEvent."""
    body = CANONICAL[:index] + inserted + CANONICAL[index + cut :]
    stored = answer(body)
    if isinstance(stored, InvalidEvent):
        assert stored.errors
    else:
        assert decode_event(stored.data) == stored
