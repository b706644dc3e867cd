"""Checkout.com: its signature, its codes, and one event an action."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from payflux.event.taxonomy import UNKNOWN
from payflux.webhooks import Unreadable, Unverified, Webhook
from payflux.webhooks.processors.checkout import HEADER, SOURCE
from receiving import NOW, SECRETS, Reading, sample, signed

# checkout.com/docs, response codes: those of soft and hard declines that every scheme has.
CODES = (
    *("20001", "20002", "20003", "20005", "20012", "20013", "20014", "20051", "20054", "20057", "20059", "20061"),
    *("20062", "20065", "20068", "20091", "20096", "30004", "30007", "30015", "30041", "30043", "200R1", "200R3"),
)


@pytest.fixture
def reading() -> Reading:
    """The adapter."""
    return Reading("checkout")


def declined(**members: Any) -> Any:
    """A declined payment with other members of its data."""
    body = sample("checkout", "payment_declined")
    return body | {"data": body["data"] | members}


def test_the_signature_is_that_of_the_body(reading: Reading) -> None:
    """In hex, in either letter case; of a body written anew it is wrong."""
    body = json.dumps(declined()).encode()
    code = hmac.new(SECRETS["checkout"][1].encode(), body, hashlib.sha256).hexdigest()
    for given in (code, code.upper()):
        reading.adapter.verify(Webhook(body, {HEADER: given.encode()}), NOW)
    assert signed("checkout", body, secret=1).headers[HEADER] == code.encode()
    with pytest.raises(Unverified, match="signature_wrong"):
        reading.adapter.verify(Webhook(body + b" ", {HEADER: code.encode()}), NOW)


def test_a_declined_payment_becomes_everything_that_is_known_of_it(reading: Reading) -> None:
    """Issuer and shopper apart, the code as it came, the category of the taxonomy."""
    event = reading.event(declined(amount=9900))
    assert {name: text for name, text in event.items() if not name.endswith(("_hash", "_id"))} == {
        "event_type": "payment_failed",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "processor": "checkout",
        "failure_category": "insufficient_funds",
        "retry_count": 0,
        "geo_bucket": "IE",
        "amount_bucket": "50-200",
        "system_source": "webhook",
        "payment_method_bucket": "debit_card",
        "channel": "online",
        "retry_result": "failed",
        "failure_origin": "issuer",
        "card_network": "visa",
        "network_response_code": "20051",
        "currency": "GBP",
        "amount_minor": 9900,
        "initiator": "cit",
        "issuer_country": "GB",
    }


@pytest.mark.parametrize("code", CODES)
def test_published_codes_are_mapped(reading: Reading, code: str) -> None:
    """By the scheme's code behind the prefix, without any words."""
    (normal,) = reading.normals(declined(response_code=code, response_summary=""))
    assert json.loads(normal.event.data)["failure_category"] not in ("", UNKNOWN)


def test_the_sandbox_is_stored_and_never_scored(reading: Reading) -> None:
    """The event's own address tells it."""
    links = {"self": {"href": "https://api.sandbox.checkout.com/workflows/events/evt_1"}}
    assert reading.event(declined() | {"_links": links})["event_type"] == "test"


def test_an_action_is_one_event_under_whatever_id(reading: Reading) -> None:
    """Another action of the same payment is another one."""
    ids = [
        reading.event(body)["event_id"]
        for body in (declined(), declined() | {"id": "evt_other"}, declined(action_id="act_other"))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_authentication_moto_and_what_is_unreadable(reading: Reading) -> None:
    """A failed authentication has no code; an order by telephone a channel; data without an id are unreadable."""
    failed = declined(response_code=None, response_summary=None, payment_type="MOTO")
    event = reading.event(failed | {"type": "payment_authentication_failed"})
    assert (event["failure_category"], event["channel"]) == ("authentication_failed", "moto")
    for body in ({"type": "payment_declined", "data": {}}, {"type": "payment_declined"}, {"id": "evt_1"}):
        with pytest.raises(Unreadable):
            reading.payments(body)


def test_an_api_key_is_no_secret() -> None:
    """What stands beside it is refused."""
    assert SOURCE.is_secret("a signature key")
    assert not SOURCE.is_secret("sk_abc")
