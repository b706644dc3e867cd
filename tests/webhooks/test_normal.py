"""From what an adapter read to the event: only words, codes and countries that have the form of one."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.event.decode import decode_event
from payflux.event.taxonomy import CATEGORIES, failure_of
from payflux.webhooks import Payment, Unreadable, vocabulary
from payflux.webhooks.identifiers import Hasher
from payflux.webhooks.normal import Normaliser, is_name, network_of, word
from receiving import HASH_KEY

NORMALISER = Normaliser("acme", Hasher(HASH_KEY))


def event(**members: Any) -> dict[str, Any]:
    """The event of a payment that says this."""
    base: dict[str, Any] = {"event_type": vocabulary.PAYMENT_FAILED, "reference": ("1",), "at": 1_767_960_000}
    found: dict[str, Any] = json.loads(NORMALISER.event(Payment(**base | members)).event.data)
    return found


def test_only_what_is_known_is_stored() -> None:
    """The additive members are left out, the others empty."""
    assert event() | {"event_id": ""} == {
        "event_type": "payment_failed",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "event_id": "",
        "merchant_id_hash": "",
        "payment_intent_id_hash": "",
        "processor": "acme",
        "failure_category": "",
        "retry_count": 0,
        "geo_bucket": "",
        "amount_bucket": "",
        "system_source": "webhook",
        "payment_method_bucket": "",
        "channel": "",
        "retry_result": "failed",
        "failure_origin": "",
    }


@pytest.mark.parametrize("nothing", [None, 0, False, (), ""])
def test_an_adapter_may_say_nothing_in_any_way(nothing: Any) -> None:
    """What is said by one of somebody's own is not checked: it leaves no mark, and the event is whole."""
    told = {"instrument": nothing, "event": nothing, "account": nothing, "intent": nothing, "retries": nothing}
    assert event(**told) == event()
    assert event(amount=True, currency="EUR", latency_ms=True) == event(amount=1, currency="EUR", latency_ms=1)


@pytest.mark.parametrize("category", [name for name in CATEGORIES if name != "unknown"])
def test_what_is_stored_counts_as_what_was_read(category: str) -> None:
    """Storing who caused a failure never changes whether it counts against the processor."""
    stored = event(failure=category)
    before = failure_of(category)
    after = failure_of(stored["failure_category"], stored["failure_origin"])
    assert (after.category, after.counts_against_processor) == (category, before.counts_against_processor)


def test_a_code_of_the_network_says_what_vague_words_do_not() -> None:
    """The category is that of the code, and a reader of the line finds the same."""
    stored = event(failure="declined", response_code="51", network="visa")
    assert stored["failure_category"] == "insufficient_funds"


def test_a_success_has_no_reason() -> None:
    """Whatever stands where a reason would: Adyen puts digits of the card there."""
    stored = event(event_type=vocabulary.PAYMENT_SUCCEEDED, failure="076181:1111:03/2030")
    assert (stored["failure_category"], stored["retry_result"]) == ("", "succeeded")


def test_what_has_not_the_form_of_a_code_is_left_out() -> None:
    """Countries, currencies, codes, networks, methods, numbers."""
    members = {"shopper_country": "DEU", "issuer_country": "1", "currency": "euros", "amount": 5, "retries": -3}
    more = {"response_code": "a long one", "network": "4111", "method": "123456", "initiator": "x", "latency_ms": -1}
    assert event(**members, **more) == event()
    assert event(retries=1000)["retry_count"] == 100
    assert event(currency="eur", amount=-5)["currency"] == "EUR"


@pytest.mark.parametrize("at", ["", "yesterday", float("nan"), float("inf"), 1e300, -1e300])
def test_without_a_time_there_is_no_event(at: str | float) -> None:
    """It says so, and not what stood there."""
    with pytest.raises(Unreadable, match="event_timestamp") as caught:
        event(at=at)
    assert "yesterday" not in str(caught.value)


def test_names() -> None:
    """Words of processors become words, and no number passes for one."""
    assert word("Not enough balance!") == "not_enough_balance"
    assert network_of("mc") == network_of("MasterCard") == "mastercard"
    assert not is_name("411111")
    assert not is_name("card_41111")
    assert not is_name("")


TEXT = st.text(max_size=30) | st.sampled_from(["4111 1111 1111 1111", "5555-5555-5555-4444", "\ud800", "a" * 200])


@given(st.builds(
    Payment, event_type=st.sampled_from(sorted(vocabulary.OUTCOMES)), reference=st.tuples(TEXT), at=TEXT | st.floats(),
    live=st.booleans(), account=TEXT, intent=TEXT, instrument=TEXT, event=TEXT, retries=st.integers(), method=TEXT,
    shopper_country=TEXT, issuer_country=TEXT, funding=TEXT, channel=TEXT, network=TEXT, currency=TEXT,
    amount=st.none() | st.integers(), initiator=TEXT, latency_ms=st.none() | st.integers(), failure=TEXT,
    response_code=TEXT, advice_code=TEXT, vouched=st.booleans(),
))  # fmt: skip
def test_any_payment_becomes_an_event_or_is_unreadable(payment: Payment) -> None:
    """What is stored is what ingest would store again, byte for byte, and holds no card number."""
    try:
        normal = NORMALISER.event(payment)
    except Unreadable:
        return
    assert decode_event(normal.event.data) == normal.event
    assert b"4111 1111" not in normal.event.data
    assert msgspec.json.decode(normal.event.data)["event_type"] in {payment.event_type, "test"}
