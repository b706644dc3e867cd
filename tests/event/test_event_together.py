"""Events decoded together are decoded as each would be by itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import ADDITIVE, EVENT, PAN, PROPERTY, answer, compact
from payflux.errors import InvalidEvent
from payflux.event.decode import StoredEvent, decode_events
from payflux.event.rules import MAX_UUID, NIL_UUID

IDS = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda uid: str(uid).upper()),
    st.text("0f-A \n\u0661", min_size=35, max_size=37),
    st.uuids().map(lambda uid: str(uid)[1:]),
    st.uuids().map(lambda uid: f"{uid}0"),
    st.uuids().map(lambda uid: f"{str(uid)[:-2]}  "),
    st.uuids().map(lambda uid: str(uid).replace("-", "", 1) + "-"),
)
CHANGES: list[dict[str, Any]] = [
    {},
    ADDITIVE,
    {"event_timestamp": "2026-01-09t12:00:00.123456789+23:59"},
    {"event_timestamp": "2026-02-30T12:00:00Z"},
    {"event_timestamp": "2026-01-09T12:00Z"},
    {"event_timestamp": "2026-01-09T12:00:00.1234567Z"},
    {"event_timestamp": "2026-01-09T12:00:00.123456Z"},
    {"event_id": NIL_UUID},
    {"event_id": MAX_UUID},
    {"geo_bucket": None},
    {"retry_count": 1.0},
    {"event_type": "x" * 100, "processor": "adyen"},
    {"event_type": " "},
    {"event_type": PAN},
    {"event_type": "a\u2028b", "geo_bucket": "\u00e4\u00f6"},
    {"processor": "No Slug"},
    {"merchant_id_hash": PAN},
    {"merchant_id_hash": "4111 1111 1111 1110"},
    {"merchant_id_hash": "4111111", "payment_intent_id_hash": "111111111"},
    {"channel": "a\nb"},
    {"channel": 'a"b'},
    {"retry_count": 101},
    {"retry_count": 7, "amount_minor": 4111111111111111},
    {"initiator": "nobody"},
    {"unknown": 1},
]
BODIES = st.one_of(
    st.builds(lambda uid, change: compact(EVENT | {"event_id": uid} | change), IDS, st.sampled_from(CHANGES)),
    st.sampled_from([b"", b"{}", b"[]", b"\xff", b"[" * 2000, compact(EVENT) + b" ", compact(EVENT)[:-1] + b',"x":1}']),
)
PLAIN = st.builds(lambda uid: compact(EVENT | {"event_id": str(uid)}), st.uuids())


def each(bodies: list[bytes]) -> list[StoredEvent | InvalidEvent]:
    """What becomes of each by itself."""
    return [answer(body) for body in bodies]


@given(st.lists(st.one_of(PLAIN, BODIES), min_size=1, max_size=12))
@PROPERTY
def test_together_or_not_at_all(bodies: list[bytes]) -> None:
    """Either the same events come out, or none, or those before one with a card number: the rest goes one by one."""
    found = decode_events(bodies) or []
    assert found == each(bodies)[: len(found)]
    if 0 < len(found) < len(bodies):
        assert isinstance(answer(bodies[len(found)]), InvalidEvent)


@given(st.lists(PLAIN, min_size=1, max_size=30), st.integers(0, 30), BODIES)
@PROPERTY
def test_one_that_is_not_plain_among_many(bodies: list[bytes], at: int, other: bytes) -> None:
    """Plain ones are decoded together; one that is refused or not canonical keeps them from it, wherever it stands."""
    assert decode_events(bodies) == each(bodies)
    alone = answer(other)
    bodies.insert(at % (len(bodies) + 1), other)
    if isinstance(alone, InvalidEvent) or alone.data != other:
        assert len(decode_events(bodies) or []) <= bodies.index(other)


@pytest.mark.parametrize(
    "ids",
    [
        ["550e8400-e29b-41d4-a716-44665544000", "0550e8400-e29b-41d4-a716-446655440000"],
        ["550e8400-e29b-41d4-a716-4466554400", "00550e8400-e29b-41d4-a716-446655440000"],
        ["550e8400-e29b-41d4-a716-4466554400  ", "550e8400-e29b-41d4-a716-446655440000"],
        ["550e8400e29b-41d4-a716-446655440000-", "550e8400-e29b-41d4-a716-446655440001"],
        ["550e8400-e29b-41d4-a716-44665544000-", "550e8400-e29b-41d4-a716-446655440001"],
    ],
)
def test_ids_do_not_make_up_for_each_other(ids: list[str]) -> None:
    """All are looked at in one text, and each has to be right by itself."""
    plain = compact(EVENT)
    assert decode_events([plain, *(compact(EVENT | {"event_id": one}) for one in ids), plain]) is None
    assert decode_events([plain, plain]) == each([plain, plain])


def test_a_hash_like_a_card_number_keeps_nobody_from_it() -> None:
    """Of a hundred events with hashes nearly always one has so many digits in a row: it alone is looked at closely."""
    plain, looked_at = compact(EVENT), compact(EVENT | {"merchant_id_hash": "a4111111111111110"})
    assert decode_events([plain, looked_at, plain]) == each([plain, looked_at, plain])
    refused = compact(EVENT | {"merchant_id_hash": PAN})
    assert decode_events([plain, looked_at, refused, plain]) == each([plain, looked_at])


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_slips_through(change: dict[str, Any]) -> None:
    """The same for each of the ways to be special, in the company of itself."""
    bodies = [compact(EVENT | change) for _ in range(3)]
    found = decode_events(bodies)
    assert not found or found == each(bodies)
    if any(isinstance(one, InvalidEvent) for one in each(bodies)):
        assert not found
