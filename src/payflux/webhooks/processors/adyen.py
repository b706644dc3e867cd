"""Adyen: authorisations, modifications, disputes and notices of fraud, one or more items in a webhook.

Signatures: docs.adyen.com/development-resources/webhooks/verify-hmac-signatures; shapes: Adyen/adyen-openapi,
Webhooks-v1. Adyen's own library is not used: it looks at the first item alone. An item's signature covers eight of its
members, and `reason` is none of them; so a reason counts only where the sender has proved itself by a password too.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from payflux.settings import optional
from payflux.webhooks import ISO, Opening, Payment, Source, Unreadable, Unverified, Webhook, vocabulary
from payflux.webhooks.adyen_reports import interaction_of, method_of, payment_of, raw_code_of
from payflux.webhooks.reading import member, read_json, text, whole
from payflux.webhooks.signatures import check_code

Item = dict[str, Any]
SIGNED = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
"""The first members that are signed; the amount's two, `eventCode` and `success` follow."""

EXPONENTS = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}
"""Currencies whose minor unit at Adyen is not that of ISO 4217: docs.adyen.com/development-resources/currency-codes."""

_ATTEMPT = re.compile(r"retry\.attempt([0-9]{1,2})\.")


def _basic(given: str) -> bytes:
    user, colon, password = given.partition(":")
    if not (user and colon and password):
        raise ValueError("user:password")
    return b"Basic " + base64.b64encode(given.encode())


BASIC = optional(
    "PAYFLUX_WEBHOOK_ADYEN_BASIC",
    _basic,
    "user:password that Adyen sends with its webhooks (basic authentication). Without it the reasons of declines are "
    "shown and never count against Adyen, as its signatures leave them out.",
    secret=True,
)


class _Wrapper(msgspec.Struct, gc=False):
    item: Item = msgspec.field(name="NotificationRequestItem")


class _Notification(msgspec.Struct, gc=False):
    items: list[_Wrapper] = msgspec.field(name="notificationItems")
    live: str | bool = "false"


_decoder = msgspec.json.Decoder(_Notification)
_read_line = msgspec.json.Decoder(dict[str, str])


class Adyen:
    """The adapter.

    Args:
        secrets: HMAC keys of webhooks, in hex.
        basic: the `Authorization` header that must come with it; None: any or none may.
    """

    def __init__(self, secrets: Sequence[str], basic: bytes | None) -> None:
        self._secrets = [bytes.fromhex(secret) for secret in secrets]
        self._basic = basic

    def verify(self, webhook: Webhook, now: float) -> None:
        """Every item for itself; there is no time to check: Adyen repeats for up to 30 days what was signed once."""
        del now
        if self._basic is not None:
            given = webhook.headers.get(b"authorization")
            if given is None or not hmac.compare_digest(given, self._basic):
                raise Unverified("signature_missing" if given is None else "signature_wrong")
        for item in _items(webhook)[1]:
            given = text(member(item, "additionalData", "hmacSignature")).encode(errors="replace")
            signed = signed_text(item).encode(errors="replace")
            check_code([given] if given else [], self._secrets, lambda key, signed=signed: _code(key, signed))  # type: ignore[misc]

    def read(self, webhook: Webhook) -> Iterator[Payment]:
        """A payment for each item that says something of one."""
        live, items = _items(webhook)
        for item in items:
            if (event_type := _event_type(item)) is not None:
                yield self._payment(item, event_type, live=live)

    def _payment(self, item: Item, event_type: str, *, live: bool) -> Payment:
        more = item.get("additionalData")
        extra: Mapping[str, Any] = more if isinstance(more, dict) else {}
        psp, account = text(item.get("pspReference")), text(item.get("merchantAccountCode"))
        if not psp:
            raise Unreadable("an item of Adyen has a pspReference")
        currency = text(member(item, "amount", "currency"))
        method, network = method_of(text(item.get("paymentMethod")))
        channel, initiator = interaction_of(text(extra.get("shopperInteraction")))
        return Payment(
            event_type=event_type,
            reference=(account, psp, text(item.get("eventCode")), str(_is_true(item.get("success")))),
            at=text(item.get("eventDate")),
            live=live,
            account=account,
            intent=text(item.get("merchantReference")) or text(item.get("originalReference")) or psp,
            instrument=text(extra.get("paymentAccountReference")) or text(extra.get("alias")),
            event=psp,
            retries=_retries(extra),
            shopper_country=text(extra.get("shopperCountry")),
            issuer_country=text(extra.get("issuerCountry")) or text(extra.get("cardIssuingCountry")),
            method=method,
            funding=text(extra.get("fundingSource")),
            network=network,
            channel=channel,
            currency=currency,
            amount=whole(member(item, "amount", "value")),
            exponent=EXPONENTS.get(currency, ISO),
            initiator=initiator,
            failure=_reason(item),
            response_code=raw_code_of(text(extra.get("refusalReasonRaw"))),
            advice_code=raw_code_of(text(extra.get("merchantAdviceCode"))),
            vouched=self._basic is not None,
        )


def _items(webhook: Webhook) -> tuple[bool, list[Item]]:
    """Whether it is of real payments, and its items."""
    found = read_json(_decoder, webhook.body)
    if not found.items:
        raise Unreadable("a webhook of Adyen has at least one item")
    return _is_true(found.live), [wrapper.item for wrapper in found.items]


def _is_true(value: object) -> bool:
    return value is True or value == "true"


def _written(value: object) -> str:
    """A member as it is signed."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def signed_text(item: Item) -> str:
    """What the signature of an item covers."""
    parts = [item.get(name) for name in SIGNED]
    parts += [member(item, "amount", "value"), member(item, "amount", "currency")]
    return ":".join(map(_written, [*parts, item.get("eventCode"), item.get("success")]))


def _code(key: bytes, signed: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, signed, "sha256"))


_EITHER = {
    "AUTHORISATION": (vocabulary.PAYMENT_AUTHORIZED, vocabulary.PAYMENT_FAILED),
    "AUTHORISATION_ADJUSTMENT": (vocabulary.PAYMENT_AUTHORIZED, vocabulary.PAYMENT_FAILED),
    "CAPTURE": (vocabulary.CAPTURE_SUCCEEDED, vocabulary.CAPTURE_FAILED),
    "CANCELLATION": (vocabulary.PAYMENT_CANCELLED, vocabulary.CANCEL_FAILED),
    "TECHNICAL_CANCEL": (vocabulary.PAYMENT_CANCELLED, vocabulary.CANCEL_FAILED),
    "CANCEL_OR_REFUND": (vocabulary.PAYMENT_CANCELLED, vocabulary.CANCEL_FAILED),
    "REFUND": (vocabulary.PAYMENT_REFUNDED, vocabulary.REFUND_FAILED),
    "REFUND_WITH_DATA": (vocabulary.PAYMENT_REFUNDED, vocabulary.REFUND_FAILED),
}
"""What an event is that asks whether something was done: when it was, and when it was not."""

_ALWAYS = {
    "PENDING": vocabulary.PAYMENT_PENDING,
    "EXPIRE": vocabulary.PAYMENT_EXPIRED,
    "OFFER_CLOSED": vocabulary.PAYMENT_EXPIRED,
    "CAPTURE_FAILED": vocabulary.CAPTURE_FAILED,
    "REFUND_FAILED": vocabulary.REFUND_FAILED,
    "REFUNDED_REVERSED": vocabulary.REFUND_FAILED,
    "CHARGEBACK": vocabulary.DISPUTE_CREATED,
    "NOTIFICATION_OF_CHARGEBACK": vocabulary.DISPUTE_CREATED,
    "REQUEST_FOR_INFORMATION": vocabulary.DISPUTE_CREATED,
    "SECOND_CHARGEBACK": vocabulary.DISPUTE_UPDATED,
    "INFORMATION_SUPPLIED": vocabulary.DISPUTE_UPDATED,
    "CHARGEBACK_REVERSED": vocabulary.DISPUTE_CLOSED,
    "PREARBITRATION_WON": vocabulary.DISPUTE_CLOSED,
    "PREARBITRATION_LOST": vocabulary.DISPUTE_CLOSED,
    "DISPUTE_DEFENSE_PERIOD_ENDED": vocabulary.DISPUTE_CLOSED,
    "NOTIFICATION_OF_FRAUD": vocabulary.FRAUD_WARNING_CREATED,
}


def _event_type(item: Item) -> str | None:
    code = text(item.get("eventCode"))
    if (both := _EITHER.get(code)) is None:
        return _ALWAYS.get(code)
    if code == "CANCEL_OR_REFUND" and member(item, "additionalData", "modification.action") == "refund":
        both = _EITHER["REFUND"]
    return both[0] if _is_true(item.get("success")) else both[1]


def _reason(item: Item) -> str:
    """The refusal reason; Adyen writes the text `null` where there is none, and of some events their own names."""
    reason, code = text(item.get("reason")), text(item.get("eventCode"))
    return "" if reason in ("null", code.replace("_", " ").title()) else reason


def _retries(extra: Mapping[str, Any]) -> int:
    """Attempts before the last: those of Adyen's own retries, or of its rescue of a subscription."""
    attempts = [int(found[1]) for name in extra if (found := _ATTEMPT.match(name))]
    number = text(extra.get("retry.orderAttemptNumber"))
    return max([*attempts, int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 1]) - 1


def exported(body: bytes) -> Iterable[Payment] | None:
    """What a line of a report says, its columns as members of an object; None when it is a webhook."""
    try:
        found = _read_line.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    payment = payment_of(found)
    return [] if payment is None else [payment]


def _is_secret(secret: str) -> bool:
    try:
        return len(bytes.fromhex(secret)) >= 16
    except ValueError:
        return False


def sign(body: bytes, secret: str, now: float) -> Webhook:
    """Sign every item as Adyen does."""
    del now
    notification = msgspec.json.decode(body)
    for wrapper in notification["notificationItems"]:
        item = wrapper["NotificationRequestItem"]
        code = _code(binascii.unhexlify(secret), signed_text(item).encode())
        item.setdefault("additionalData", {})["hmacSignature"] = code.decode()
    return Webhook(msgspec.json.encode(notification), {b"content-type": b"application/json"})


def _make(opening: Opening) -> Adyen:
    return Adyen(opening.secrets, opening.values[BASIC])


SOURCE = Source(
    _make,
    "authorisations, captures, refunds, cancellations, disputes and notices of fraud",
    secret="an HMAC key in hex, as the Customer Area shows it",  # noqa: S106 - what one looks like
    is_secret=_is_secret,
    sign=sign,
    signed_by="`additionalData.hmacSignature` of each item: HMAC-SHA-256 of eight members; a password besides if set",
    days=30,
    accepted=(202, b"[accepted]"),
    settings=(BASIC,),
    exported=exported,
    columns=("Psp Reference", "Merchant Account"),
)
