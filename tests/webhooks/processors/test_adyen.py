"""Adyen: published signatures, every item of a batch, reasons that nothing proves."""

import base64
import json
from typing import Any

import msgspec
import pytest

from payflux.event.taxonomy import CATEGORIES, UNKNOWN, failure_of
from payflux.webhooks import Unreadable, Unverified, Webhook
from payflux.webhooks.processors.adyen import BASIC, SOURCE, signed_text
from receiving import NOW, SECRETS, Reading, Receiver, sample, signed

# Published with Adyen's libraries: items, keys and the signatures they give.
PUBLISHED = [
    (
        {
            "pspReference": "7914073381342284",
            "merchantReference": "TestPayment-1407325143704",
            "merchantAccountCode": "TestMerchant",
            "amount": {"currency": "EUR", "value": 1130},
            "eventCode": "AUTHORISATION",
            "success": "true",
        },
        "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
        "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=",
    ),
    (
        {
            "pspReference": "T7FD4VM4D3RZNN82",
            "merchantReference": "\\\\slashes are fun",
            "merchantAccountCode": "AntoniStroinski",
            "amount": {"currency": "EUR", "value": 1000},
            "eventCode": "AUTHORISATION",
            "success": "true",
        },
        "74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174",
        "nIgT81gaB5oJpn2jPXupDq68iRo2wUlBsuYjtYfwKqo=",
    ),
    (
        {
            "pspReference": "M8NB66SBZSGLNK82",
            "merchantReference": ":slashes are fun",
            "merchantAccountCode": "AntoniStroinski",
            "amount": {"currency": "EUR", "value": 1000},
            "eventCode": "AUTHORISATION",
            "success": "true",
        },
        "74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174",
        "2EQYm7YJpKO4EtHSPu55SQTyWf8dkW5u2nD1tJFpViA=",
    ),
]
# docs.adyen.com/development-resources/refusal-reasons, in the words that `reason` holds.
REASONS = (
    *("Refused", "Referral", "Acquirer Error", "Blocked Card", "Expired Card", "Invalid Amount", "Invalid Card Number"),
    *("Issuer Unavailable", "Not supported", "3D Not Authenticated", "Not enough balance", "Acquirer Fraud"),
    *("Cancelled", "Shopper Cancelled", "Invalid Pin", "Pin tries exceeded", "Pin validation not possible", "FRAUD"),
    *("Not Submitted", "FRAUD-CANCELLED", "Transaction Not Permitted", "CVC Declined", "Restricted Card"),
    *("Revocation Of Auth", "Declined Non Generic", "Withdrawal amount exceeded", "Withdrawal count exceeded"),
    *("Issuer Suspected Fraud", "AVS Declined", "Card requires online pin", "No checking account available on Card"),
    *("No savings account available on Card", "Mobile pin required", "Contactless fallback"),
    *("Authentication required", "RReq not received from DS", "Current AID is in Penalty Box.", "CVM Required Restart"),
    *("3DS Authentication Error", "Transaction blocked by Adyen to prevent excessive retry fees"),
    *("Insufficient balance on payment", "Transaction hasn't been captured, refund not possible"),  # of modifications
)
PASSWORD = "webhooks:a password"
PROVED = {b"authorization": b"Basic " + base64.b64encode(PASSWORD.encode())}


@pytest.fixture
def reading() -> Reading:
    """The adapter, with signatures alone."""
    return Reading("adyen")


def wrapped(*items: dict[str, Any], live: str = "true") -> dict[str, Any]:
    """Items as they are sent."""
    return {"live": live, "notificationItems": [{"NotificationRequestItem": item} for item in items]}


def item_of(kind: str, **members: Any) -> dict[str, Any]:
    """The first item of a sample, with other members."""
    found: dict[str, Any] = sample("adyen", kind)["notificationItems"][0]["NotificationRequestItem"]
    return found | members


@pytest.mark.parametrize(("item", "key", "signature"), PUBLISHED)
def test_published_signatures_are_right(item: dict[str, Any], key: str, signature: str) -> None:
    """Colons and backslashes in a reference included; and one letter more makes them wrong."""
    adapter = Reading("adyen", PAYFLUX_WEBHOOK_ADYEN_SECRETS=key).adapter
    body = wrapped(item | {"additionalData": {"hmacSignature": signature}})
    adapter.verify(Webhook(json.dumps(body).encode(), {}), NOW)
    body = wrapped(item | {"merchantReference": "x", "additionalData": {"hmacSignature": signature}})
    with pytest.raises(Unverified, match="signature_wrong"):
        adapter.verify(Webhook(json.dumps(body).encode(), {}), NOW)


def test_every_item_is_verified() -> None:
    """A second item that was tampered with, or has no signature, spoils the whole: refused, and nothing stored."""
    receiver = Receiver("adyen")
    webhook = signed("adyen", sample("adyen", "CAPTURE"))
    second = json.loads(webhook.body)
    second["notificationItems"][1]["NotificationRequestItem"]["success"] = "true"
    assert receiver.refusal(Webhook(json.dumps(second).encode(), {})) == (401, "signature_wrong")
    del second["notificationItems"][1]["NotificationRequestItem"]["additionalData"]
    assert receiver.refusal(Webhook(json.dumps(second).encode(), {})) == (401, "signature_missing")
    assert receiver.events() == []
    assert receiver.send(webhook).status == 202
    assert [event["event_type"] for event in receiver.events()] == ["capture_succeeded", "capture_failed"]


def test_looking_at_a_signature_changes_nothing() -> None:
    """What is read afterwards is what was signed, all its members there."""
    receiver = Receiver("adyen")
    webhook = signed("adyen", sample("adyen", "AUTHORISATION.refused"))
    before = webhook.body
    receiver.send(webhook)
    assert webhook.body == before
    assert receiver.events()[0]["network_response_code"] == "51"


def test_a_batch_is_answered_for_all_its_items() -> None:
    """When the stream took only the first, all of it comes again, and the first is not stored twice."""
    receiver = Receiver("adyen")
    webhook = signed("adyen", sample("adyen", "CAPTURE"))
    receiver.stream.room = 1
    assert receiver.refusal(webhook) == (503, "redis_down")
    receiver.stream.room = 10
    answer = receiver.send(webhook)
    assert (answer.status, answer.body) == (202, b"[accepted]")
    assert len(receiver.events()) == 2
    assert receiver.counted() == {"accepted": 2, "duplicate": 1, "unavailable": 1}


def test_a_reason_that_nothing_proves_never_raises_the_score(reading: Reading) -> None:
    """The signature leaves it out, so it is marked and does not count against Adyen, whatever it says."""
    for kind in ("AUTHORISATION.acquirer_error", "AUTHORISATION.refused"):
        event = reading.event(sample("adyen", kind))
        told = (event["failure_category"], event["failure_origin"], event["network_response_code"], "visa")
        assert event["failure_origin"] == "unverified"
        assert failure_of(*told).counts_against_processor is False
    empty = reading.event(wrapped(item_of("AUTHORISATION.refused", reason="", additionalData={})))
    assert failure_of(empty["failure_category"], empty["failure_origin"]).counts_against_processor is False


def test_with_a_password_the_reason_counts() -> None:
    """Who knows the password sent all of it."""
    receiver = Receiver("adyen", PAYFLUX_WEBHOOK_ADYEN_BASIC=PASSWORD)
    webhook = signed("adyen", sample("adyen", "AUTHORISATION.acquirer_error"))
    assert receiver.refusal(webhook) == (401, "signature_missing")
    wrong = b"Basic " + base64.b64encode(b"webhooks:another")
    assert receiver.refusal(webhook, authorization=wrong) == (401, "signature_wrong")
    assert receiver.send(Webhook(webhook.body, PROVED)).status == 202
    (event,) = receiver.events()
    assert (event["failure_category"], event["failure_origin"]) == ("processor_technical", "processor")
    assert failure_of(event["failure_category"], event["failure_origin"]).counts_against_processor


def test_one_endpoint_serves_several_merchant_accounts(reading: Reading) -> None:
    """The same reference at another account is another payment, event and merchant."""
    first, second = (
        reading.event(wrapped(item_of("AUTHORISATION", merchantAccountCode=name))) for name in ("One", "Other")
    )
    for member in ("event_id", "merchant_id_hash", "payment_intent_id_hash"):
        assert first[member] != second[member]


def test_what_changed_its_mind_is_another_event(reading: Reading) -> None:
    """A redelivery is the same, whenever; a refusal that became a success is not."""
    item = item_of("AUTHORISATION.refused")
    ids = [
        reading.event(wrapped(item | change))["event_id"]
        for change in ({}, {"eventDate": "2026-02-09T12:00:00+01:00"}, {"success": "true"})
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("currency", "value", "minor"),
    [("JPY", 1130, 1130), ("KWD", 1130, 1130), ("CLP", 113_000, 1130), ("IDR", 1130, 113_000), ("CVE", 11, 1100)],
)
def test_amounts_are_in_the_minor_units_of_the_currency(
    reading: Reading, currency: str, value: int, minor: int
) -> None:
    """Where Adyen counts otherwise than ISO 4217, it is undone."""
    event = reading.event(wrapped(item_of("AUTHORISATION", amount={"currency": currency, "value": value})))
    assert event["amount_minor"] == minor


def test_an_authorisation_becomes_everything_that_is_known_of_it(reading: Reading) -> None:
    """Nothing of the card's digits, the name or the references is left."""
    event = reading.event(wrapped(item_of("AUTHORISATION", amount={"currency": "EUR", "value": 1130})))
    assert {name: text for name, text in event.items() if not name.endswith(("_hash", "_id"))} == {
        "event_type": "payment_authorized",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "processor": "adyen",
        "failure_category": "",
        "retry_count": 0,
        "geo_bucket": "BE",
        "amount_bucket": "10-50",
        "system_source": "webhook",
        "payment_method_bucket": "credit_card",
        "channel": "online",
        "retry_result": "succeeded",
        "failure_origin": "",
        "card_network": "visa",
        "currency": "EUR",
        "amount_minor": 1130,
        "initiator": "cit",
        "issuer_country": "NL",
    }


def test_wallets_retries_and_who_began_it(reading: Reading) -> None:
    """A wallet's card is a card of its network; Adyen's own retries count; a subscription is the merchant's."""
    extra = {"retry.attempt1.rawResponse": "05", "retry.attempt2.rawResponse": "00", "shopperInteraction": "ContAuth"}
    event = reading.event(wrapped(item_of("AUTHORISATION", paymentMethod="mc_applepay", additionalData=extra)))
    assert (event["payment_method_bucket"], event["card_network"]) == ("card", "mastercard")
    assert (event["retry_count"], event["initiator"]) == (1, "mit")
    rescued = reading.event(wrapped(item_of("AUTHORISATION", additionalData={"retry.orderAttemptNumber": "4"})))
    assert rescued["retry_count"] == 3


def test_test_payments_are_stored_and_never_scored(reading: Reading) -> None:
    """Those of an endpoint that is not live."""
    assert reading.event(wrapped(item_of("AUTHORISATION"), live="false"))["event_type"] == "test"


@pytest.mark.parametrize(
    ("code", "success", "event_type"),
    [
        ("CAPTURE_FAILED", "true", "capture_failed"),
        ("CANCEL_OR_REFUND", "true", "payment_cancelled"),
        ("REFUND", "false", "refund_failed"),
        ("EXPIRE", "true", "payment_expired"),
        ("NOTIFICATION_OF_FRAUD", "true", "fraud_warning_created"),
        ("SECOND_CHARGEBACK", "true", "dispute_updated"),
    ],
)
def test_what_else_is_used(reading: Reading, code: str, success: str, event_type: str) -> None:
    """In the same words as those of everybody else."""
    assert reading.event(wrapped(item_of("CHARGEBACK", eventCode=code, success=success)))["event_type"] == event_type


def test_a_refund_that_is_called_otherwise(reading: Reading) -> None:
    """`CANCEL_OR_REFUND` says in another member which of the two it was."""
    item = item_of("CHARGEBACK", eventCode="CANCEL_OR_REFUND", additionalData={"modification.action": "refund"})
    assert reading.event(wrapped(item))["event_type"] == "payment_refunded"


@pytest.mark.parametrize("reason", REASONS)
def test_every_published_reason_is_mapped(reading: Reading, reason: str) -> None:
    """To a category that is not `unknown`, with no code beside it."""
    (normal,) = reading.normals(wrapped(item_of("AUTHORISATION.refused", reason=reason, additionalData={})))
    category = json.loads(normal.event.data)["failure_category"]
    assert category in CATEGORIES
    assert category != UNKNOWN
    assert normal.unmapped == ""


@pytest.mark.parametrize("body", [{"live": "true", "notificationItems": []}, {"live": "true"}, [], wrapped({})])
def test_what_has_no_item_is_unreadable(reading: Reading, body: object) -> None:
    """An empty batch, another shape, an item without its reference."""
    if isinstance(body, dict) and body.get("notificationItems"):
        body["notificationItems"][0]["NotificationRequestItem"]["eventCode"] = "AUTHORISATION"
    with pytest.raises(Unreadable):
        reading.payments(body)


def test_what_is_no_key_or_password_is_refused() -> None:
    """A key is hex; a password stands behind its user."""
    assert SOURCE.is_secret(SECRETS["adyen"][0])
    assert not SOURCE.is_secret("not hex")
    assert not SOURCE.is_secret("ab")
    with pytest.raises(ValueError, match="user:password"):
        BASIC.parse("password")


def test_a_boolean_is_signed_as_it_is_written() -> None:
    """Should Adyen ever send `success` as one."""
    assert signed_text({"success": True, "amount": {"value": 5}}) == "::::5:::true"
    assert msgspec.json.decode(signed("adyen", wrapped({})).body)["notificationItems"]
