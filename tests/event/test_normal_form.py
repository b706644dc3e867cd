"""Events: what is brought into normal form, and what is refused because it could mean two things."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import ADDITIVE, CANONICAL, EVENT, NUMBERS, PAN, PROPERTY, REQUIRED_ONLY, compact, found, refused
from payflux.event.decode import decode_event
from payflux.event.rules import BOM, REQUIRED, examine

# ---- numbers, null, byte order marks


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    ("text", "kept"), [("0.0", 0), ("-0.0", 0), ("7.0", 7), ("1e2", 100), ("5.00E+1", 50), ("3", 3)]
)
def test_integral_floats_are_integers(name: str, text: str, kept: int) -> None:
    """A data frame that had a gap writes 7 as 7.0; it is stored as 7."""
    body = compact(EVENT | {name: "HERE"}).replace(b'"HERE"', text.encode())
    assert json.loads(decode_event(body).data)[name] == kept
    assert b'"%s":%d' % (name.encode(), kept) in decode_event(body).data


def test_a_card_number_written_as_a_float_is_one() -> None:
    """Normal form comes before the search for card numbers."""
    assert found(compact(EVENT | {"amount_minor": 378282246310005.0})) == [("amount_minor", "pan_detected")]


def test_null_is_not_sent() -> None:
    """An optional member that is null has its default or is left out; a required one is required."""
    optional = dict.fromkeys((EVENT | ADDITIVE).keys() - REQUIRED)
    assert decode_event(compact(EVENT | optional)).data == decode_event(compact(REQUIRED_ONLY)).data
    assert found(compact(dict.fromkeys(EVENT | ADDITIVE))) == [
        (name, "required") for name in ("event_type", "event_timestamp", "event_id", "processor")
    ]
    assert str(refused(compact(EVENT | {"processor": None}))) == "processor is required"


def test_a_null_does_not_hide_a_duplicate() -> None:
    """A member sent as null and as a value is sent twice."""
    body = compact(EVENT)[:-1] + b',"channel":null}'
    assert found(body) == [("channel", "duplicate_member")]


def test_what_a_data_frame_writes_is_accepted() -> None:
    """Nulls for gaps and floats for integers, with a byte order mark before them, are one canonical event."""
    frame = {
        "retry_count": 1.0,
        "amount_minor": 1999.0,
        "failure_category": None,
        "latency_ms": None,
        "geo_bucket": "DE",
    }
    kept = REQUIRED_ONLY | {"retry_count": 1, "amount_minor": 1999, "geo_bucket": "DE"}
    assert decode_event(BOM + json.dumps(REQUIRED_ONLY | frame).encode()) == decode_event(compact(kept))


@pytest.mark.parametrize("body", [CANONICAL, json.dumps(EVENT, indent=1).encode(), compact(EVENT | {"x": 1.5})])
def test_a_byte_order_mark_is_skipped(body: bytes) -> None:
    """One before the event is no part of it; duplicates and broken members behind it are found as ever."""
    assert decode_event(BOM + body) == decode_event(body)
    assert found(BOM + body[:-1] + b',"channel":"web"}') == [("channel", "duplicate_member")]
    assert found(BOM + body[:-1] + b',"u":"\\ud800"}') == [("", "invalid_json")]
    assert found(BOM + compact(EVENT | {"processor": "No"})) == [("processor", "invalid_processor")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_other_encodings_are_named(encoding: str) -> None:
    """What a spreadsheet saves as Unicode text is refused in words that say what to do."""
    error = refused(CANONICAL.decode().encode(encoding))
    assert str(error) == "the event is not UTF-8: it looks like UTF-16 or UTF-32; send it in UTF-8"
    if encoding == "utf-16-le":  # a line of a file but its first begins with the other half of the line feed
        assert "UTF-16" in str(refused(b"\x00" + CANONICAL.decode().encode(encoding)))


# ---- the whole event


STAMPS = st.sampled_from(
    ["2026-01-09T12:00:00Z", "2026-01-09T12:00:00.25Z", "2026-01-09T12:00z", "2026-01-09t12:00:00.1234567+01:00"]
)
WHOLE = st.one_of(st.none(), st.integers(0, 100), st.integers(0, 100).map(float))
WORDS = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20))
EVENTS = st.fixed_dictionaries(
    {
        "event_type": st.just("a:b"),
        "event_timestamp": STAMPS,
        "event_id": st.uuids().map(str),
        "processor": st.just("x"),
    },
    optional={"retry_count": WHOLE, "latency_ms": WHOLE, "amount_minor": WHOLE, "channel": WORDS, "currency": WORDS},
)


@PROPERTY
@given(EVENTS, st.booleans(), st.booleans())
def test_normal_form_is_reached_once(event: dict[str, Any], marked: bool, ascii_only: bool) -> None:
    """What comes out goes in and comes out again, byte for byte, by the fast way and by the slow one."""
    body = BOM * marked + compact(event, ascii_only=ascii_only)
    if any(PAN[:4] in str(value) for value in event.values()):
        return
    once = decode_event(body)
    assert decode_event(once.data) == once
    assert decode_event(BOM + once.data) == once
    assert compact(examine(once.data)) == once.data


@PROPERTY
@given(EVENTS, st.sampled_from(["channel", "a", "event_timestamp"]))
def test_no_duplicate_slips_through(event: dict[str, Any], name: str) -> None:
    """A timestamp that is stored with more or fewer colons than it was sent with does not hide a second member."""
    event.pop("channel", None)
    twice = compact(event)[:-1] + b',"%s":1,"%s":1}' % (name.encode(), name.encode())
    assert found(twice) == [(name, "duplicate_member")]
