"""An event, and what becomes of it: for the tests of its decoding."""

import json
from typing import Any

import pytest
from hypothesis import settings

from payflux.errors import InvalidEvent
from payflux.event.decode import ADDITIVE_FIELDS, CODES, EVENT_FIELDS, StoredEvent, decode_event
from payflux.event.example import EXAMPLE
from payflux.event.rules import REQUIRED

PROPERTY = settings(deadline=None, max_examples=100)  # the machines that run this are shared

EVENT = EXAMPLE
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
