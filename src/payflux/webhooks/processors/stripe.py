"""Stripe: charges, payment intents, refunds, disputes, early fraud warnings.

Signatures: docs.stripe.com/webhooks, "Verify manually"; shapes: stripe/openapi. Stripe's own library is not used: its
check of the time is one-sided, and its import alone costs a third of a second.

One attempt at a payment is told by its charge and by its payment intent, and sometimes under two event ids. All of them
have the same reference here, the charge and what became of it, so that they are one event whichever are subscribed to.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from payflux.webhooks import ISO, Opening, Payment, Source, Unreadable, Unverified, Webhook, vocabulary
from payflux.webhooks.reading import member, read_json, text, whole
from payflux.webhooks.signatures import Keyed, check_code, check_time
from payflux.webhooks.stripe_objects import State, states_of

HEADER = b"stripe-signature"
EXPONENTS = {"isk": 2, "ugx": 2, "mga": 0}
"""Currencies whose smallest unit at Stripe is not that of ISO 4217: docs.stripe.com/currencies, "Special cases"."""


class _Card(msgspec.Struct, gc=False):
    country: str | None = None
    fingerprint: str | None = None
    funding: str | None = None
    network: str | None = None
    brand: str | None = None


class _Details(msgspec.Struct, gc=False):
    type: str | None = None
    card: _Card | None = None
    card_present: _Card | None = None


class _Address(msgspec.Struct, gc=False):
    country: str | None = None


class _Billing(msgspec.Struct, gc=False):
    address: _Address | None = None


class _Outcome(msgspec.Struct, gc=False):
    reason: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None


class _Charge(msgspec.Struct, gc=False):
    id: str
    amount: int | None = None
    amount_captured: int | None = None
    amount_refunded: int | None = None
    currency: str | None = None
    captured: bool | None = None
    payment_intent: str | None = None
    payment_method_details: _Details | None = None
    billing_details: _Billing | None = None
    failure_code: str | None = None
    outcome: _Outcome | None = None


class _Request(msgspec.Struct, gc=False):
    id: str | None = None


class _Data(msgspec.Struct, gc=False):
    object: msgspec.Raw = msgspec.Raw(b"null")


class _Event(msgspec.Struct, gc=False):
    type: str
    id: str = ""
    created: int = 0
    livemode: bool = False
    account: str | None = None
    request: _Request | str | None = ""
    data: _Data | None = None


_NO_CARD, _NO_DETAILS, _NO_OUTCOME = _Card(), _Details(), _Outcome()
_read_event = msgspec.json.Decoder(_Event)
_read_charge = msgspec.json.Decoder(_Charge)
_read_object = msgspec.json.Decoder(dict[str, Any])


class Stripe:
    """The adapter.

    Args:
        secrets: signing secrets of endpoints, `whsec_…`.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [Keyed.by(secret.encode()) for secret in secrets]

    def verify(self, webhook: Webhook, now: float) -> None:
        """`t=…,v1=…`: HMAC-SHA-256 of time, dot and body; while a secret is rolled there are several v1."""
        stamp, codes = _signature(webhook.headers.get(HEADER))
        signed = stamp + b"." + webhook.body
        check_code(codes, self._keys, lambda key: key.code(signed).encode())
        check_time(float(stamp) if stamp.isdigit() else float("nan"), now)

    def read(self, webhook: Webhook) -> Sequence[Payment]:
        """One payment of an event that is used."""
        event = read_json(_read_event, webhook.body)
        if event.type not in _CHARGES and event.type not in _OBJECTS:
            return ()
        if event.data is None or not event.id or not event.created:
            raise Unreadable("an event of Stripe has an id, a time and data")
        return _payments(event, event.data.object)


def _payments(event: _Event, told: msgspec.Raw) -> Sequence[Payment]:
    """One payment of an object, by the type of the event that tells of it."""
    if (kind := _CHARGES.get(event.type)) is not None:
        return (_of_charge(event, read_json(_read_charge, told), *kind),)
    if (reader := _OBJECTS.get(event.type)) is None:
        return ()
    payment = reader(event, read_json(_read_object, told))
    return () if payment is None else (payment,)


def exported(body: bytes) -> Iterator[Payment] | None:
    """What an object of the API says, or a list of them, as if an event had told its state; None for an event."""
    states = states_of(body)
    return None if states is None else chain.from_iterable(map(_of_state, states))


def _of_state(state: State) -> Sequence[Payment]:
    if state.event_type and not state.created:
        raise Unreadable("an object of Stripe has a time")
    event = _Event(type=state.event_type, created=state.created, livemode=state.livemode)
    return _payments(event, msgspec.Raw(state.body))


def _signature(header: bytes | None) -> tuple[bytes, list[bytes]]:
    """The time as it was signed, and the codes."""
    if not header:
        raise Unverified("signature_missing")
    stamp, codes = b"", []
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"v1":
            codes.append(value)
        elif name == b"t":
            stamp = stamp or value
    return stamp, codes


def _of_charge(event: _Event, charge: _Charge, event_type: str, what: str) -> Payment:
    details = charge.payment_method_details or _NO_DETAILS
    card = details.card or details.card_present or _NO_CARD
    outcome = charge.outcome or _NO_OUTCOME
    address = charge.billing_details.address if charge.billing_details else None
    if event_type == vocabulary.PAYMENT_SUCCEEDED and charge.captured is False:
        event_type = vocabulary.PAYMENT_AUTHORIZED
    part, amount = "", charge.amount
    if what in ("captured", "refunded"):
        amount = charge.amount_captured if what == "captured" else charge.amount_refunded
        part = str(amount)
    currency = charge.currency or ""
    return Payment(
        event_type=event_type,
        reference=("charge", charge.id, what, part),
        at=event.created,
        live=event.livemode,
        account=event.account or "",
        intent=charge.payment_intent or charge.id,
        instrument=card.fingerprint or "",
        event=event.id,
        shopper_country=(address.country if address else None) or "",
        issuer_country=card.country or "",
        method="card" if card is not _NO_CARD else details.type or "",
        funding=card.funding or "",
        channel="pos" if details.card_present else "online",
        network=card.network or card.brand or "",
        currency=currency,
        amount=amount,
        exponent=EXPONENTS.get(currency, ISO),
        initiator=_initiator(event) if card is not _NO_CARD else "",
        failure=outcome.reason or charge.failure_code or "",
        response_code=outcome.network_decline_code or "",
        advice_code=outcome.network_advice_code or "",
    )


def _initiator(event: _Event) -> str:
    """An event without a request was begun by Stripe on the merchant's behalf, a renewal for one."""
    request = event.request.id if isinstance(event.request, _Request) else event.request
    return "" if request == "" else "cit" if request else "mit"


def _common(event: _Event, found: dict[str, Any], event_type: str, *reference: str) -> dict[str, Any]:
    currency = text(found.get("currency"))
    return {
        "event_type": event_type,
        "reference": reference,
        "at": event.created,
        "live": event.livemode,
        "account": event.account or "",
        "event": event.id,
        "currency": currency,
        "amount": whole(found.get("amount")),
        "exponent": EXPONENTS.get(currency, ISO),
    }


def _id(value: object) -> str:
    """An id, of an object that may stand in its place."""
    return text(value.get("id")) if isinstance(value, dict) else text(value)


def _own_id(found: dict[str, Any]) -> str:
    """The id of the object itself, without which two of them would be one."""
    if not (own := text(found.get("id"))):
        raise Unreadable("an object of Stripe has an id")
    return own


def _latest_charge(found: dict[str, Any]) -> str:
    charges = member(found, "charges", "data")  # before API version 2022-11-15
    listed = charges[-1] if isinstance(charges, list) and charges else None
    return _id(found.get("latest_charge")) or _id(listed)


def _of_method(method: Any) -> dict[str, Any]:
    card = member(method, "card")
    kind = text(member(method, "type"))
    return {
        "method": "card" if card else kind,
        "funding": text(member(card, "funding")),
        "network": text(member(card, "networks", "preferred")) or text(member(card, "brand")),
        "instrument": text(member(card, "fingerprint")),
        "issuer_country": text(member(card, "country")),
        "shopper_country": text(member(method, "billing_details", "address", "country")),
    }


def _of_error(error: Any) -> dict[str, Any]:
    """What an API error says of a failure, and of the payment method it met."""
    return _of_method(member(error, "payment_method")) | {
        "failure": text(member(error, "decline_code")) or text(member(error, "code")) or text(member(error, "type")),
        "response_code": text(member(error, "network_decline_code")),
        "advice_code": text(member(error, "network_advice_code")),
    }


def _intent(event_type: str, what: str) -> Callable[[_Event, dict[str, Any]], Payment]:
    def read(event: _Event, found: dict[str, Any]) -> Payment:
        intent, error = _own_id(found), found.get("last_payment_error")
        failed = event_type == vocabulary.PAYMENT_FAILED
        settled = failed or event_type in (vocabulary.PAYMENT_SUCCEEDED, vocabulary.PAYMENT_AUTHORIZED)
        charge = (_id(member(error, "charge")) if failed else "") or (_latest_charge(found) if settled else "")
        # Without a charge the attempt has no name of its own: authentication may fail more than once.
        told = ("charge", charge, what, "") if charge else ("intent", intent, what, str(event.created))
        tries = whole(member(found, "charges", "total_count")) or 0
        return Payment(
            **_common(event, found, event_type, *told) | (_of_error(error) if failed else {}),
            intent=intent,
            channel="online",
            retries=max(0, tries - 1),
        )

    return read


def _setup(event_type: str) -> Callable[[_Event, dict[str, Any]], Payment]:
    def read(event: _Event, found: dict[str, Any]) -> Payment:
        setup = _own_id(found)
        told = ("setup", setup, event_type, _id(found.get("latest_attempt")) or str(event.created))
        error = _of_error(found.get("last_setup_error")) if event_type == vocabulary.SETUP_FAILED else {}
        return Payment(**_common(event, found, event_type, *told) | error, intent=setup, channel="online")

    return read


_REFUNDS = {
    "failed": vocabulary.REFUND_FAILED,
    "succeeded": vocabulary.PAYMENT_REFUNDED,
    "pending": vocabulary.REFUND_PENDING,
    "requires_action": vocabulary.REFUND_PENDING,
}


def _refund(event: _Event, found: dict[str, Any]) -> Payment | None:
    status = text(found.get("status"))
    if status not in _REFUNDS:
        return None
    told = ("refund", _own_id(found), status)
    intent = _id(found.get("payment_intent")) or _id(found.get("charge"))
    common = _common(event, found, _REFUNDS[status], *told)
    return Payment(**common, intent=intent, failure=text(found.get("failure_reason")))


def _dispute(event_type: str) -> Callable[[_Event, dict[str, Any]], Payment]:
    def read(event: _Event, found: dict[str, Any]) -> Payment:
        told = ("dispute", _own_id(found), event.type, text(found.get("status")))
        intent = _id(found.get("payment_intent")) or _id(found.get("charge"))
        network = text(member(found, "payment_method_details", "card", "brand"))
        return Payment(**_common(event, found, event_type, *told), intent=intent, network=network)

    return read


def _fraud_warning(event: _Event, found: dict[str, Any]) -> Payment:
    intent = _id(found.get("payment_intent")) or _id(found.get("charge"))
    told = ("fraud_warning", _own_id(found))
    return Payment(**_common(event, found, vocabulary.FRAUD_WARNING_CREATED, *told), intent=intent)


_CHARGES = {
    "charge.succeeded": (vocabulary.PAYMENT_SUCCEEDED, "succeeded"),
    "charge.failed": (vocabulary.PAYMENT_FAILED, "failed"),
    "charge.pending": (vocabulary.PAYMENT_PENDING, "pending"),
    "charge.captured": (vocabulary.CAPTURE_SUCCEEDED, "captured"),
    "charge.expired": (vocabulary.PAYMENT_EXPIRED, "expired"),
    "charge.refunded": (vocabulary.PAYMENT_REFUNDED, "refunded"),
}
_OBJECTS: dict[str, Callable[[_Event, dict[str, Any]], Payment | None]] = {
    "payment_intent.succeeded": _intent(vocabulary.PAYMENT_SUCCEEDED, "succeeded"),
    "payment_intent.amount_capturable_updated": _intent(vocabulary.PAYMENT_AUTHORIZED, "succeeded"),
    "payment_intent.payment_failed": _intent(vocabulary.PAYMENT_FAILED, "failed"),
    "payment_intent.requires_action": _intent(vocabulary.PAYMENT_REQUIRES_ACTION, "requires_action"),
    "payment_intent.processing": _intent(vocabulary.PAYMENT_PENDING, "processing"),
    "payment_intent.canceled": _intent(vocabulary.PAYMENT_CANCELLED, "cancelled"),
    "setup_intent.succeeded": _setup(vocabulary.SETUP_SUCCEEDED),
    "setup_intent.setup_failed": _setup(vocabulary.SETUP_FAILED),
    **dict.fromkeys(
        ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"),
        _refund,
    ),
    "charge.dispute.created": _dispute(vocabulary.DISPUTE_CREATED),
    "charge.dispute.updated": _dispute(vocabulary.DISPUTE_UPDATED),
    "charge.dispute.closed": _dispute(vocabulary.DISPUTE_CLOSED),
    "radar.early_fraud_warning.created": _fraud_warning,
}


def _is_secret(secret: str) -> bool:
    return not secret.startswith(("sk_", "rk_", "pk_", "we_"))  # what stands beside it in the Dashboard


def sign(body: bytes, secret: str, now: float) -> Webhook:
    """Sign as Stripe does."""
    stamp = b"%d" % now
    code = Keyed.by(secret.encode()).code(stamp + b"." + body).encode()
    return Webhook(body, {HEADER: b"t=" + stamp + b",v1=" + code, b"content-type": b"application/json"})


def _make(opening: Opening) -> Stripe:
    return Stripe(opening.secrets)


SOURCE = Source(
    _make,
    "charges, payment intents, refunds, disputes and early fraud warnings",
    secret="a signing secret of the endpoint, whsec_…",  # noqa: S106 - what one looks like
    is_secret=_is_secret,
    sign=sign,
    signed_by="`Stripe-Signature`: HMAC-SHA-256 of time and body, 5 minutes either way",
    days=3,
    exported=exported,
)
