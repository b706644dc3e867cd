"""Lines of Adyen's reports: columns as published, each the event that its webhook would be."""

import json
from typing import Any

import pytest

from payflux.event.taxonomy import failure_of
from payflux.normalize import normalize
from payflux.webhooks import Unreadable
from payflux.webhooks.adyen_reports import interaction_of, method_of, payment_of, raw_code_of
from receiving import HASH_KEY, Reading, sample

RECEIVED = {
    "Company Account": "Example",
    "Merchant Account": "ExampleMerchant",
    "Psp Reference": "ABCDEFGHJKLMNP12",
    "Merchant Reference": "order-1",
    "Payment Method": "visa",
    "Creation Date": "2026-01-09 13:00:00",
    "TimeZone": "CET",
    "Currency": "JPY",
    "Amount": "1130",
    "Type": "Refused",
    "Shopper Interaction": "ContAuth",
    "Shopper Name": "Jenny Rosen",
    "Shopper PAN": "4111111111111111",
    "Shopper Country": "BE",
    "Issuer Country": "NL",
    "Acquirer Response": "Not enough balance",
    "Raw acquirer response": "51 : Insufficient funds",
    "Payment Method Variant": "visastandarddebit",
}
ACCOUNTING = {
    "Merchant Account": "ExampleMerchant",
    "Psp Reference": "ABCDEFGHJKLMNP12",
    "Merchant Reference": "order-1",
    "Payment Method": "mc_applepay",
    "Booking Date": "2026-01-09 12:00:00",
    "Booking Date TimeZone": "UTC",
    "Main Currency": "EUR",
    "Main Amount": "-11.30",
    "Record Type": "SentForSettle",
    "Modification Psp Reference": "ABCDEFGHJKLMNP99",
}
SETTLEMENT = {
    "Merchant Account": "ExampleMerchant",
    "Psp Reference": "ABCDEFGHJKLMNP12",
    "Merchant Reference": "order-1",
    "Payment Method": "mc",
    "Creation Date": "2026-07-09 12:00:00",
    "TimeZone": "CEST",
    "Type": "Settled",
    "Modification Reference": "ABCDEFGHJKLMNP99",
    "Gross Currency": "EUR",
    "Gross Debit (GC)": "",
    "Gross Credit (GC)": "11.30",
    "Batch Number": "4",
}


def event(row: dict[str, str]) -> dict[str, Any]:
    """The one event a line becomes."""
    (normal,) = normalize("adyen", json.dumps(row).encode(), HASH_KEY)
    found: dict[str, Any] = json.loads(normal.data)
    return found


def test_a_received_payment_becomes_everything_that_is_known_of_it() -> None:
    """The time in UTC, the amount in minor units; card and name are in columns nobody reads."""
    found = event(RECEIVED)
    assert {name: text for name, text in found.items() if not name.endswith(("_hash", "_id"))} == {
        "event_type": "payment_failed",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "processor": "adyen",
        "failure_category": "insufficient_funds",
        "retry_count": 0,
        "geo_bucket": "BE",
        "amount_bucket": "1000-5000",
        "system_source": "webhook",
        "payment_method_bucket": "debit_card",
        "channel": "online",
        "retry_result": "failed",
        "failure_origin": "issuer",
        "card_network": "visa",
        "network_response_code": "51",
        "currency": "JPY",
        "amount_minor": 1130,
        "initiator": "mit",
        "issuer_country": "NL",
    }


def test_a_line_is_the_event_that_its_webhook_is() -> None:
    """The refusal, and the capture with its own reference, whichever of the reports tells it."""
    item = sample("adyen", "AUTHORISATION.refused")
    told = item["notificationItems"][0]["NotificationRequestItem"]
    told |= {"merchantAccountCode": "ExampleMerchant", "pspReference": "ABCDEFGHJKLMNP12"}
    refused = Reading("adyen").event(item)
    assert event(RECEIVED)["event_id"] == refused["event_id"]
    told |= {"eventCode": "CAPTURE", "success": "true", "pspReference": "ABCDEFGHJKLMNP99"}
    captured = Reading("adyen").event(item)
    assert {event(ACCOUNTING)["event_id"], event(SETTLEMENT)["event_id"]} == {captured["event_id"]}


def test_amounts_and_times_of_each_report() -> None:
    """Debits are amounts too; each date has the time zone that stands beside it."""
    for row, at in ((ACCOUNTING, "2026-01-09T12:00:00Z"), (SETTLEMENT, "2026-07-09T10:00:00Z")):
        found = event(row)
        assert (found["amount_minor"], found["currency"], found["event_timestamp"]) == (1130, "EUR", at)
        assert (found["card_network"], found["event_type"]) == ("mastercard", "capture_succeeded")


@pytest.mark.parametrize(
    ("record", "event_type"),
    [
        ("Authorised", "payment_authorized"),
        ("AuthorisedPending", "payment_pending"),
        ("Error", "payment_failed"),
        ("Cancelled", "payment_cancelled"),
        ("Expired", "payment_expired"),
        ("CaptureFailed", "capture_failed"),
        ("Refunded", "payment_refunded"),
        ("RefundFailed", "refund_failed"),
        ("Chargeback", "dispute_created"),
        ("SecondChargeback", "dispute_updated"),
        ("ChargebackReversed", "dispute_closed"),
    ],
)
def test_types_of_records(record: str, event_type: str) -> None:
    """In the same words as webhooks."""
    assert event(ACCOUNTING | {"Record Type": record})["event_type"] == event_type


@pytest.mark.parametrize("record", ["Received", "SentForRefund", "Fee", "MerchantPayout", "", "Unheard Of"])
def test_what_is_no_news_of_a_payment_is_nothing(record: str) -> None:
    """Fees, payouts and the steps before."""
    assert payment_of(SETTLEMENT | {"Type": record}) is None
    assert normalize("adyen", json.dumps(SETTLEMENT | {"Type": record}).encode(), HASH_KEY) == []


def test_an_error_counts_against_adyen_and_a_refusal_does_not() -> None:
    """Where the report says no more than the type."""
    for record, counts in (("Error", True), ("Refused", False)):
        found = event(ACCOUNTING | {"Record Type": record})
        assert failure_of(found["failure_category"], found["failure_origin"]).counts_against_processor is counts


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"Psp Reference": ""}, "Psp Reference"),
        ({"Creation Date": "9 January"}, "Creation Date"),
        ({"TimeZone": "Mars"}, "TimeZone: expected one of UTC"),
    ],
)
def test_what_is_missing_is_named(members: dict[str, str], expected: str) -> None:
    """The column, and never what stands in it."""
    with pytest.raises(Unreadable, match=expected) as caught:
        payment_of(RECEIVED | members)
    assert "Mars" not in str(caught.value)
    assert "9 January" not in str(caught.value)


def test_words_that_webhooks_share() -> None:
    """Methods with the wallet they came from, raw codes, who began it."""
    assert method_of("mc_applepay") == ("card", "mc")
    assert method_of("ideal") == ("ideal", "")
    assert (raw_code_of("05 : Do not honor"), raw_code_of("refused")) == ("05", "")
    assert interaction_of("ContAuth") == ("online", "mit")
    assert interaction_of("") == ("", "")
