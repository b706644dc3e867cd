"""Objects of Stripe's API become the events that would tell their state."""

import json
from typing import Any

import pytest

from payflux.normalize import normalize
from payflux.webhooks import Unreadable
from payflux.webhooks.stripe_objects import states_of
from receiving import HASH_KEY, NOW, Reading, sample

BASE = {"created": int(NOW), "livemode": True, "id": "x"}


def state(**members: Any) -> str:
    """The type of event that an object of these members stands for."""
    states = states_of(json.dumps(BASE | members).encode())
    assert states is not None
    (found,) = states
    return found.event_type


@pytest.mark.parametrize(
    ("members", "event_type"),
    [
        ({"object": "charge", "status": "failed"}, "charge.failed"),
        ({"object": "charge", "status": "succeeded"}, "charge.succeeded"),
        ({"object": "payment_intent", "status": "requires_payment_method"}, ""),
        (
            {"object": "payment_intent", "status": "requires_payment_method", "last_payment_error": {}},
            "payment_intent.payment_failed",
        ),
        ({"object": "payment_intent", "status": "canceled"}, "payment_intent.canceled"),
        ({"object": "payment_intent", "status": "requires_confirmation"}, ""),
        ({"object": "setup_intent", "status": "succeeded"}, "setup_intent.succeeded"),
        (
            {"object": "setup_intent", "status": "requires_payment_method", "last_setup_error": {}},
            "setup_intent.setup_failed",
        ),
        ({"object": "refund", "status": "failed"}, "refund.updated"),
        ({"object": "dispute", "status": "needs_response"}, "charge.dispute.created"),
        ({"object": "dispute", "status": "lost"}, "charge.dispute.closed"),
        ({"object": "radar.early_fraud_warning"}, "radar.early_fraud_warning.created"),
        ({"object": "review"}, ""),
    ],
)
def test_each_state_has_its_event(members: dict[str, Any], event_type: str) -> None:
    """An intent that only waits for its first attempt has none."""
    assert state(**members) == event_type


def test_events_are_left_to_the_adapter() -> None:
    """And so is what names no kind of object."""
    assert states_of(json.dumps(sample("stripe", "charge.failed")).encode()) is None
    assert states_of(b"{}") is None
    with pytest.raises(Unreadable):
        states_of(b"[]")


def test_an_exported_object_is_the_event_its_webhook_was() -> None:
    """Charge, intent and a list of both: one attempt, one event, all its facts there."""
    told = sample("stripe", "charge.failed")
    webhook = Reading("stripe").event(told)
    charge = told["data"]["object"]
    intent = sample("stripe", "payment_intent.payment_failed")["data"]["object"]
    listed = {"object": "list", "data": [charge, intent, {"object": "review", "id": "x"}], "has_more": False}
    (alone,) = normalize("stripe", json.dumps(charge).encode(), HASH_KEY)
    both = normalize("stripe", json.dumps(listed).encode(), HASH_KEY)
    assert {json.loads(one.data)["event_id"] for one in (alone, *both)} == {webhook["event_id"]}
    assert len(both) == 2
    left_out = {"processor_event_id", "initiator"}  # an object is no message, and does not say who began it
    assert json.loads(alone.data) == {name: value for name, value in webhook.items() if name not in left_out}


def test_what_an_object_lacks_is_said() -> None:
    """A time, an id."""
    for members in ({"created": None}, {"created": 0}, {"id": None}):
        body = json.dumps(BASE | {"object": "charge", "status": "failed"} | members).encode()
        with pytest.raises(Unreadable):
            normalize("stripe", body, HASH_KEY)


def test_test_mode_stays_what_it_is() -> None:
    """Stored and never scored."""
    (found,) = normalize(
        "stripe", json.dumps(BASE | {"object": "charge", "status": "failed", "livemode": False}).encode(), HASH_KEY
    )
    assert json.loads(found.data)["event_type"] == "test"
