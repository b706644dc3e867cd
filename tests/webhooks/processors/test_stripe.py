"""Stripe: its signatures, by its own library; one attempt, however told; amounts, test mode, connected accounts."""

import json
import time
from typing import Any

import pytest
import stripe

from payflux.event.taxonomy import CATEGORIES, UNKNOWN, failure_of
from payflux.webhooks import Payment, Unreadable, Unverified, Webhook
from payflux.webhooks.processors.stripe import HEADER, SOURCE
from receiving import NOW, SECRETS, Reading, Receiver, sample, signed

# stripe/stripe-go error.go: every decline code it knows.
DECLINE_CODES = (
    *("authentication_required", "approve_with_id", "call_issuer", "card_not_supported"),
    *("card_velocity_exceeded", "currency_not_supported", "do_not_honor", "do_not_try_again"),
    *("duplicate_transaction", "expired_card", "fraudulent", "generic_decline", "incorrect_number"),
    *("incorrect_cvc", "incorrect_pin", "incorrect_zip", "insufficient_funds", "invalid_account"),
    *("invalid_amount", "invalid_cvc", "invalid_expiry_month", "invalid_expiry_year", "invalid_number"),
    *("invalid_pin", "issuer_not_available", "lost_card", "merchant_blacklist"),
    *("new_account_information_available", "no_action_taken", "not_permitted", "offline_pin_required"),
    *("online_or_offline_pin_required", "pickup_card", "pin_try_exceeded", "processing_error"),
    *("reenter_transaction", "restricted_card", "revocation_of_all_authorizations"),
    *("revocation_of_authorization", "security_violation", "service_not_allowed", "stolen_card"),
    *("stop_payment_order", "testmode_decline", "transaction_not_allowed", "try_again_later"),
    *("withdrawal_count_limit_exceeded",),
)
# Reasons of Radar and of Stripe itself, beside those of issuers: docs.stripe.com/api/charges/object, `outcome.reason`.
REASONS = ["highest_risk_level", "elevated_risk_level", "rule", "previously_declined_do_not_retry"]


def changed(body: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A sample with other members of its object."""
    return body | {"data": {"object": body["data"]["object"] | members}}


@pytest.fixture
def reading() -> Reading:
    """The adapter."""
    return Reading("stripe")


def one(reading: Reading, body: object) -> Payment:
    """The one payment a body tells of."""
    (payment,) = reading.payments(body)
    return payment


def test_what_stripes_own_library_signs_is_taken_and_the_other_way_round(reading: Reading) -> None:
    """Header and code are those of the library Stripe publishes."""
    body = json.dumps(sample("stripe", "charge.failed"))
    secret, now = SECRETS["stripe"][0], time.time()
    code = stripe.WebhookSignature._compute_signature(f"{int(now)}.{body}", secret)
    theirs = Webhook(body.encode(), {HEADER: f"t={int(now)},v1={code}".encode()})
    reading.adapter.verify(theirs, now)
    ours = SOURCE.sign(body.encode(), secret, now)
    assert stripe.WebhookSignature.verify_header(body, ours.headers[HEADER].decode(), secret, tolerance=300)


def test_a_signature_over_a_body_written_anew_is_wrong(reading: Reading) -> None:
    """The very bytes count: the same JSON with other blanks is not what was signed."""
    body = sample("stripe", "charge.failed")
    webhook = signed("stripe", json.dumps(body, indent=2).encode())
    reading.adapter.verify(webhook, NOW)
    with pytest.raises(Unverified, match="signature_wrong"):
        reading.adapter.verify(Webhook(json.dumps(body).encode(), webhook.headers), NOW)


@pytest.mark.parametrize("seconds", [-301.0, 301.0, -86_400.0])
def test_the_time_is_checked_on_both_sides(reading: Reading, seconds: float) -> None:
    """A replay of long ago is refused, and so is what was signed for later; five minutes either way are taken."""
    body = sample("stripe", "charge.failed")
    with pytest.raises(Unverified, match="timestamp_outside"):
        reading.adapter.verify(signed("stripe", body, now=NOW + seconds), NOW)
    for near in (-299, 299):
        reading.adapter.verify(signed("stripe", body, now=NOW + near), NOW)


def test_one_of_several_codes_is_enough(reading: Reading) -> None:
    """While a secret is rolled Stripe signs with both; codes of other schemes count for nothing."""
    body = json.dumps(sample("stripe", "charge.failed")).encode()
    old, new = (SOURCE.sign(body, secret, NOW).headers[HEADER] for secret in ("whsec_unknown", SECRETS["stripe"][0]))
    both = old + b"," + new.partition(b",")[2]
    reading.adapter.verify(Webhook(body, {HEADER: both}), NOW)
    for header in (new.replace(b"v1=", b"v0="), b"v1=" + new.partition(b"v1=")[2], b"t=,v1=,", b"t=x,v1=00", b"===,,"):
        with pytest.raises(Unverified):
            reading.adapter.verify(Webhook(body, {HEADER: header}), NOW)


def test_a_redelivery_after_days_is_signed_anew_and_stored_once() -> None:
    """Stripe tries for three days, with a new time in the signature each time; the event stays what it was."""
    receiver = Receiver("stripe")
    body = sample("stripe", "charge.failed", now=NOW - 3 * 86_400)
    for _ in range(46):
        assert receiver.send(signed("stripe", body)).status == 200
    (event,) = receiver.events()
    assert event["event_timestamp"] == "2026-01-06T12:00:00Z"
    assert receiver.counted() == {"accepted": 1, "duplicate": 45}


def test_the_same_attempt_is_one_event_under_whatever_id_and_type(reading: Reading) -> None:
    """Another `evt_` id, and the failed payment intent beside the failed charge."""
    charge = sample("stripe", "charge.failed")
    intent = sample("stripe", "payment_intent.payment_failed")  # of the same seed: the same charge
    ids = {reading.event(body)["event_id"] for body in (charge, charge | {"id": "evt_other"}, intent)}
    assert len(ids) == 1
    later = changed(charge, id="ch_other")
    assert reading.event(later)["event_id"] not in ids
    hashes = {reading.event(body)["payment_intent_id_hash"] for body in (charge, later, intent)}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("currency", "amount", "minor", "bucket"),
    [
        ("usd", 12_345, 12_345, "50-200"),
        ("jpy", 12_345, 12_345, "5000-20000"),
        ("kwd", 12_345, 12_345, "10-50"),
        ("isk", 1_234_500, 12_345, "5000-20000"),
        ("ugx", 1_234_500, 12_345, "10000-50000"),
        ("mga", 12_345, 1_234_500, "5000+"),
    ],
)
def test_amounts_are_in_the_minor_units_of_the_currency(
    reading: Reading, currency: str, amount: int, minor: int, bucket: str
) -> None:
    """Yen have no cents, dinars have thousandths, and Stripe's own exceptions are undone."""
    event = reading.event(changed(sample("stripe", "charge.failed"), currency=currency, amount=amount))
    assert (event["currency"], event["amount_minor"], event["amount_bucket"]) == (currency.upper(), minor, bucket)


def test_a_failed_charge_becomes_everything_that_is_known_of_it(reading: Reading) -> None:
    """Issuer and shopper apart, method, network, codes, who began it; category and origin of the taxonomy."""
    event = reading.event(changed(sample("stripe", "charge.failed"), amount=9900))
    assert {name: text for name, text in event.items() if not name.endswith(("_hash", "_id"))} == {
        "event_type": "payment_failed",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "processor": "stripe",
        "failure_category": "insufficient_funds",
        "retry_count": 0,
        "geo_bucket": "DE",
        "amount_bucket": "50-200",
        "system_source": "webhook",
        "payment_method_bucket": "credit_card",
        "channel": "online",
        "retry_result": "failed",
        "failure_origin": "issuer",
        "card_network": "visa",
        "network_response_code": "51",
        "network_advice_code": "02",
        "currency": "EUR",
        "amount_minor": 9900,
        "initiator": "cit",
        "issuer_country": "DE",
    }


def test_test_mode_is_stored_and_never_scored(reading: Reading) -> None:
    """Its type is `test`, and what became of the payment is still told."""
    event = reading.event(sample("stripe", "charge.failed") | {"livemode": False})
    assert (event["event_type"], event["retry_result"]) == ("test", "failed")


def test_an_endpoint_of_several_accounts_keeps_them_apart(reading: Reading) -> None:
    """The connected account is the merchant, and a customer's card is another one's at another account."""
    body = sample("stripe", "charge.failed")
    first, second = (reading.event(body | {"account": f"acct_{name}"}) for name in ("a", "b"))
    for member in ("merchant_id_hash", "payment_intent_id_hash", "payment_method_fingerprint_hash"):
        assert first[member] != second[member]
    assert reading.event(body)["merchant_id_hash"] == ""


def test_who_began_it(reading: Reading) -> None:
    """What no request brought about was begun by Stripe for the merchant; without a word of it nobody knows."""
    body = sample("stripe", "charge.failed")
    assert one(reading, body | {"request": {"id": None}}).initiator == "mit"
    assert one(reading, body | {"request": "req_1"}).initiator == "cit"
    assert one(reading, {name: value for name, value in body.items() if name != "request"}).initiator == ""


def test_an_authorisation_is_no_second_success(reading: Reading) -> None:
    """What is only authorised says so, and its capture is an operation of its own."""
    charge = changed(sample("stripe", "charge.succeeded"), captured=False)
    assert one(reading, charge).event_type == "payment_authorized"
    captured = charge | {"type": "charge.captured"}
    assert one(reading, captured).event_type == "capture_succeeded"
    assert one(reading, captured).reference != one(reading, charge).reference


@pytest.mark.parametrize(
    ("kind", "members", "event_type"),
    [
        ("payment_intent.succeeded", {"latest_charge": "ch_1"}, "payment_succeeded"),
        ("payment_intent.succeeded", {"charges": {"data": [{"id": "ch_1"}], "total_count": 3}}, "payment_succeeded"),
        ("payment_intent.requires_action", {}, "payment_requires_action"),
        ("payment_intent.canceled", {}, "payment_cancelled"),
        ("setup_intent.setup_failed", {"last_setup_error": {"code": "card_declined"}}, "setup_failed"),
        ("refund.updated", {"status": "failed", "failure_reason": "lost_or_stolen_card"}, "refund_failed"),
        ("charge.refund.updated", {"status": "succeeded"}, "payment_refunded"),
        ("charge.dispute.closed", {"status": "won"}, "dispute_closed"),
    ],
)
def test_what_else_is_used(reading: Reading, kind: str, members: dict[str, Any], event_type: str) -> None:
    """Intents, set-ups, refunds and disputes in the same words as those of everybody else."""
    body = {
        "id": "evt_1",
        "type": kind,
        "created": int(NOW),
        "livemode": True,
        "data": {"object": {"id": "x"} | members},
    }
    payment = one(reading, body)
    assert payment.event_type == event_type
    assert payment.retries == (2 if "charges" in members else 0)


@pytest.mark.parametrize("kind", ["review.opened", "v2.core.event_destination.ping", "invoice.paid"])
def test_a_kind_that_is_not_used_is_nothing(reading: Reading, kind: str) -> None:
    """Whatever stands in it, it is no error."""
    assert (
        reading.payments({"id": "evt_1", "type": kind, "created": 1, "data": {"object": {"reason": {}, "id": 5}}}) == []
    )
    assert reading.payments({"type": kind}) == []


def test_what_has_no_id_is_unreadable(reading: Reading) -> None:
    """Without one, two payments would be one event."""
    for body in (
        {"type": "charge.failed", "created": 1, "data": {"object": {"id": "ch_1"}}},
        {"id": "evt_1", "type": "charge.failed", "created": 1, "data": {"object": {}}},
        {"id": "evt_1", "type": "refund.failed", "created": 1, "data": {"object": {"status": "failed"}}},
        {"id": "evt_1", "type": "charge.failed", "created": 1},
        {"id": "evt_1"},
    ):
        with pytest.raises(Unreadable):
            reading.payments(body)


@pytest.mark.parametrize("code", [*DECLINE_CODES, *REASONS])
def test_every_published_code_is_mapped(reading: Reading, code: str) -> None:
    """To a category that is not `unknown`, and that the line says again when it is read."""
    outcome = {"reason": code, "network_decline_code": None, "network_advice_code": None}
    (normal,) = reading.normals(changed(sample("stripe", "charge.failed"), outcome=outcome))
    category = json.loads(normal.event.data)["failure_category"]
    assert category in CATEGORIES
    assert category != UNKNOWN
    assert normal.unmapped == ""
    assert failure_of(category).category == category


def test_a_code_nobody_knows_is_named(reading: Reading) -> None:
    """It stands in the line as it is, and is counted by its name."""
    (normal,) = reading.normals(changed(sample("stripe", "charge.failed"), outcome={"reason": "flux_capacitor_empty"}))
    assert normal.unmapped == json.loads(normal.event.data)["failure_category"] == "flux_capacitor_empty"


def test_what_stands_beside_the_secret_is_refused() -> None:
    """An API key or the endpoint's id, pasted in its place."""
    assert not SOURCE.is_secret("sk_live_1")
    assert not SOURCE.is_secret("we_1")
    assert SOURCE.is_secret("whsec_1")
