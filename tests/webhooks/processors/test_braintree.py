"""Braintree: its form, its challenge, and XML that is not believed."""

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qs, urlencode

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.event.taxonomy import CATEGORIES, UNKNOWN
from payflux.webhooks import Unreadable, Unverified, Webhook
from payflux.webhooks.processors.braintree import SOURCE, prove
from receiving import NOW, SECRETS, Reading, Receiver, sample, signed


@pytest.fixture
def reading() -> Reading:
    """The adapter."""
    return Reading("braintree")


def form(payload: bytes, signature: str | None = None, *, text: bytes | None = None) -> Webhook:
    """A body, signed by hand: HMAC-SHA-1 with the SHA-1 of the private key."""
    key = hashlib.sha1(b"private key 1", usedforsecurity=False).digest()
    code = hmac.new(key, payload if text is None else text, hashlib.sha1).hexdigest()
    given = f"public1|{code}" if signature is None else signature
    return Webhook(urlencode({"bt_signature": given, "bt_payload": payload}).encode(), {})


def failed(**members: Any) -> Any:
    """A charge of a subscription that failed, with other members of its transaction."""
    body = sample("braintree", "subscription_charged_unsuccessfully")
    body["subject"]["subscription"]["transactions"]["transaction"] |= members
    return body


def test_the_signature_is_that_of_the_payload(reading: Reading) -> None:
    """With or without a line end, among pairs of other keys; each key has its own."""
    payload = base64.encodebytes(b"<notification/>")
    reading.adapter.verify(form(payload), NOW)
    reading.adapter.verify(form(payload.rstrip(), text=payload), NOW)
    code = parse_qs(form(payload).body.decode())["bt_signature"][0]
    reading.adapter.verify(form(payload, f"other|{'0' * 40}&{code}"), NOW)
    reading.adapter.verify(signed("braintree", failed(), secret=1), NOW)
    for signature, expected in (
        ("other|" + code.partition("|")[2], "signature_wrong"),
        ("public2|" + code.partition("|")[2], "signature_wrong"),
        ("public1|", "signature_missing"),
        ("", "signature_missing"),
    ):
        with pytest.raises(Unverified, match=expected):
            reading.adapter.verify(form(payload, signature), NOW)


def test_the_challenge_is_answered() -> None:
    """By the public key and a code over it; what is no challenge is not."""
    secrets = SECRETS["braintree"]
    challenge = "20f9f8ed05f77439fe955c977e4c8a53"
    key = hashlib.sha1(b"private key 1", usedforsecurity=False).digest()
    code = hmac.new(key, challenge.encode(), hashlib.sha1).hexdigest()
    assert prove(f"bt_challenge={challenge}", secrets) == f"public1|{code}".encode()
    for query in ("", "bt_challenge=", "bt_challenge=xyz", f"bt_challenge={challenge}0", "a=1&" * 20):
        assert prove(query, secrets) is None


def test_a_failed_charge_becomes_everything_that_is_known_of_it(reading: Reading) -> None:
    """Of the subscription's last transaction."""
    event = reading.event(failed())
    assert {name: text for name, text in event.items() if not name.endswith(("_hash", "_id"))} == {
        "event_type": "payment_failed",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "processor": "braintree",
        "failure_category": "insufficient_funds",
        "retry_count": 0,
        "geo_bucket": "",
        "amount_bucket": "10-50",
        "system_source": "webhook",
        "payment_method_bucket": "card",
        "channel": "online",
        "retry_result": "failed",
        "failure_origin": "issuer",
        "card_network": "visa",
        "network_response_code": "51",
        "currency": "EUR",
        "amount_minor": 4999,
        "initiator": "mit",
    }


def test_of_several_transactions_the_first_counts(reading: Reading) -> None:
    """Braintree writes the last one first."""
    one, other = (
        f"<transaction><id>{name}</id><processor-response-code>{code}</processor-response-code></transaction>"
        for name, code in (("new", "3000"), ("old", "2001"))
    )
    inner = f"<subscription><id>s</id><transactions>{one}{other}</transactions></subscription>"
    text = (
        "<notification><kind>subscription_charged_unsuccessfully</kind><timestamp>2026-01-09T12:00:00Z</timestamp>"
        f"<subject>{inner}</subject></notification>"
    )
    (payment,) = reading.adapter.read(form(base64.b64encode(text.encode())))
    assert (payment.intent, payment.failure) == ("new", "processor_technical")


@pytest.mark.parametrize("code", [str(code) for code in (*range(2000, 2109), 3000) if code != 2052])
def test_published_codes_are_mapped(reading: Reading, code: str) -> None:
    """Each of those for authorisations, whatever the text beside it; 2052 there is none."""
    members = {"processor-response-code": code, "processor-response-text": "", "network-response-code": ""}
    (normal,) = reading.normals(failed(**members))
    category = json.loads(normal.event.data)["failure_category"]
    assert category in CATEGORIES
    assert category != UNKNOWN
    assert normal.unmapped == ""


@pytest.mark.parametrize(
    "document",
    [
        b"no xml",
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><notification>&b;</notification>",
        b"<!doctype x SYSTEM 'file:///etc/passwd'><notification/>",
        b"<other/>",
        b"<notification>" + b"<a>" * 50 + b"</a>" * 50 + b"</notification>",
        b"<notification><kind>dispute_opened</kind><subject><dispute/></subject></notification>",
        b"<?xml version='1.0' encoding='no-such'?><notification/>",
    ],
)
def test_what_is_unreadable(reading: Reading, document: bytes) -> None:
    """Entities above all, which can grow without end or name files."""
    with pytest.raises(Unreadable):
        list(reading.adapter.read(form(base64.b64encode(document))))


CARD = "4111 1111 1111 1111"
ELEMENT = st.sampled_from(["kind", "timestamp", "id", "amount", "currency-iso-code", "processor-response-text", "odd"])
TEXT = st.text(st.characters(exclude_categories=["C"], exclude_characters="<&"), max_size=20) | st.just(CARD)
KIND = st.sampled_from(["subscription_charged_unsuccessfully", "transaction_settled", "dispute_lost", "check", "odd"])


@given(
    kind=KIND,
    what=st.sampled_from(["subscription", "transaction", "dispute"]),
    members=st.dictionaries(ELEMENT, TEXT, max_size=6),
    torn=st.binary(max_size=40),
)
@hypothesis.settings(max_examples=25)
def test_any_signed_payload_is_taken_or_refused(kind: str, what: str, members: dict[str, str], torn: bytes) -> None:
    """2xx or 4xx, whatever the XML says or if it is none, by a signature that this file makes; no card is stored."""
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in members.items())
    text = f"<notification><kind>{kind}</kind>{inner}<subject><{what}>{inner}</{what}></subject></notification>"
    receiver = Receiver("braintree")
    for payload in (text.encode(), text.encode() + torn, torn):
        answer = receiver.send(form(base64.encodebytes(payload) or b"="))
        assert 200 <= answer.status < 500
        assert CARD.encode() not in answer.body
    assert not any(CARD.encode() in entry for entry in receiver.stream.entries)


def test_what_is_no_form_or_no_base64(reading: Reading) -> None:
    """Refused in words."""
    for body in (b"", b"\xff", b"bt_payload=%00", b"&" * 100):
        with pytest.raises(Unverified, match="signature_missing"):
            reading.adapter.verify(Webhook(body, {}), NOW)
        with pytest.raises(Unreadable):
            list(reading.adapter.read(Webhook(body, {})))


def test_a_key_alone_is_no_secret() -> None:
    """Both belong together."""
    assert SOURCE.is_secret("public:private")
    assert not SOURCE.is_secret("private")
    assert not SOURCE.is_secret(":private")
