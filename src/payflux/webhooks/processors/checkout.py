"""Checkout.com: payments, card verifications, disputes.

Signatures: checkout.com/docs, "Verify webhooks": HMAC-SHA-256 of the body in `Cko-Signature`, without a time. Shapes
and event types: checkout/checkout-api-reference. The published Python library has nothing to verify a webhook with.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from payflux.webhooks import Opening, Payment, Source, Unreadable, Webhook, vocabulary
from payflux.webhooks.reading import member, read_json, text, whole
from payflux.webhooks.signatures import check_code, hex_code

HEADER = b"cko-signature"
_TYPES = {
    "payment_approved": vocabulary.PAYMENT_AUTHORIZED,
    "payment_paid": vocabulary.PAYMENT_SUCCEEDED,
    "payment_declined": vocabulary.PAYMENT_FAILED,
    "payment_authentication_failed": vocabulary.PAYMENT_FAILED,
    "payment_pending": vocabulary.PAYMENT_PENDING,
    "payment_canceled": vocabulary.PAYMENT_CANCELLED,
    "payment_expired": vocabulary.PAYMENT_EXPIRED,
    "payment_captured": vocabulary.CAPTURE_SUCCEEDED,
    "payment_capture_declined": vocabulary.CAPTURE_FAILED,
    "payment_voided": vocabulary.PAYMENT_CANCELLED,
    "payment_void_declined": vocabulary.CANCEL_FAILED,
    "payment_refunded": vocabulary.PAYMENT_REFUNDED,
    "payment_refund_pending": vocabulary.REFUND_PENDING,
    "payment_refund_declined": vocabulary.REFUND_FAILED,
    "card_verified": vocabulary.SETUP_SUCCEEDED,
    "card_verification_declined": vocabulary.SETUP_FAILED,
    "dispute_received": vocabulary.DISPUTE_CREATED,
    "dispute_evidence_required": vocabulary.DISPUTE_CREATED,
    "dispute_evidence_submitted": vocabulary.DISPUTE_UPDATED,
    "dispute_accepted": vocabulary.DISPUTE_CLOSED,
    "dispute_canceled": vocabulary.DISPUTE_CLOSED,
    "dispute_expired": vocabulary.DISPUTE_CLOSED,
    "dispute_resolved": vocabulary.DISPUTE_CLOSED,
    "dispute_won": vocabulary.DISPUTE_CLOSED,
    "dispute_lost": vocabulary.DISPUTE_CLOSED,
}
_INITIATORS = {"Regular": "cit", "MOTO": "cit", "Recurring": "mit", "Installment": "mit", "Unscheduled": "mit"}


class _Event(msgspec.Struct, gc=False):
    type: str
    id: str = ""
    created_on: str = ""
    data: Any = None
    links: Any = msgspec.field(name="_links", default=None)


_decoder = msgspec.json.Decoder(_Event)


class Checkout:
    """The adapter.

    Args:
        secrets: signature keys of workflows.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets]

    def verify(self, webhook: Webhook, now: float) -> None:
        """The body alone; there is no time in it, and the same again is the same event."""
        del now
        given = webhook.headers.get(HEADER, b"").strip().lower()
        check_code([given] if given else [], self._secrets, lambda secret: hex_code(secret, webhook.body))

    def read(self, webhook: Webhook) -> Iterator[Payment]:
        """One payment of an event that is used."""
        event = read_json(_decoder, webhook.body)
        event_type = _TYPES.get(event.type)
        if event_type is not None:
            yield _payment(event, event_type, event.data if isinstance(event.data, dict) else {})


def _payment(event: _Event, event_type: str, data: Mapping[str, Any]) -> Payment:
    own = text(data.get("action_id")) or text(data.get("id"))
    if not own:
        raise Unreadable("data of Checkout.com have an id")
    source, kind = data.get("source"), text(data.get("payment_type"))
    failed = event.type == "payment_authentication_failed"
    return Payment(
        event_type=event_type,
        reference=(event.type, own),
        at=event.created_on,
        live="sandbox" not in text(member(event.links, "self", "href")),
        account=text(data.get("entity_id")) or text(data.get("processing_channel_id")),
        intent=text(data.get("payment_id")) or text(data.get("id")),
        instrument=text(member(source, "fingerprint")),
        event=event.id,
        shopper_country=text(member(source, "billing_address", "country")),
        issuer_country=text(member(source, "issuer_country")),
        method=text(member(source, "type")),
        funding=text(member(source, "card_type")),
        channel="moto" if kind == "MOTO" else "online",
        network=text(member(source, "scheme")),
        currency=text(data.get("currency")),
        amount=whole(data.get("amount")),
        initiator=_INITIATORS.get(kind, ""),
        failure="authentication_failed" if failed else text(data.get("response_summary")),
        response_code=text(data.get("response_code")),
        advice_code=text(member(data, "processing", "merchant_advice_code")),
    )


def sign(body: bytes, secret: str, now: float) -> Webhook:
    """Sign as Checkout.com does."""
    del now
    return Webhook(body, {HEADER: hex_code(secret.encode(), body), b"content-type": b"application/json"})


def _make(opening: Opening) -> Checkout:
    return Checkout(opening.secrets)


SOURCE = Source(
    _make,
    "payments, card verifications and disputes of Checkout.com",
    secret="the signature key of a workflow's webhook",  # noqa: S106 - what one looks like
    is_secret=lambda secret: not secret.startswith(("sk_", "pk_")),
    sign=sign,
    signed_by="`Cko-Signature`: HMAC-SHA-256 of the body",
    days=2,
)
