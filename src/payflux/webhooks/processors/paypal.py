"""PayPal: payments, refunds, subscriptions, disputes.

Signatures: developer.paypal.com/api/rest/webhooks, "Self verification": RSA over id, time, webhook id and CRC-32 of the
body, by a certificate whose address comes along. Shapes and codes: paypal/paypal-rest-api-specifications,
payments_payment_v2. PayPal's old library asks any address for the certificate, its new one verifies nothing.
"""

import base64
import binascii
import datetime as dt
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from payflux.settings import optional
from payflux.webhooks import Opening, Payment, Source, Unreadable, Unverified, Webhook, vocabulary
from payflux.webhooks.certificates import Certificate, Certificates
from payflux.webhooks.money import minor_of_decimal
from payflux.webhooks.reading import member, read_json, text

ADDRESSES = re.compile(
    r"https://api(?:-m)?(?:\.sandbox)?\.paypal\.com/v1/notifications/certs/CERT-[0-9A-Za-z-]{8,80}", re.ASCII
)
HOLDER = ".paypal.com"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
LATE_SECONDS, EARLY_SECONDS = 4 * 86_400, 300
"""How old a webhook may be: PayPal repeats it for three days; and how far ahead its clock."""

ID, TIME, CODE = b"paypal-transmission-id", b"paypal-transmission-time", b"paypal-transmission-sig"
ADDRESS, ALGORITHM = b"paypal-cert-url", b"paypal-auth-algo"
TRIAL = files("payflux.webhooks").joinpath("samples", "paypal.pem")
"""A key that everybody knows and a certificate of it, for trials without an account."""

_CODES = {
    code: category
    for category, codes in {
        "insufficient_funds": "5120",
        "limit_exceeded": "PPAX PPEL",
        "do_not_honor": "0100 0500 5100 5900 9100 9530 9540 PPSE PPDI PPAR PPSC PPDV PPPE PPCR",
        "issuer_unavailable": "5910 5920",
        "processor_technical": "0800 8000 8010 8100 8110 8220 9600 PPMD PPNT PPER PPH1 PPSD PPLS PPIF PPLR PPS0",
        "authentication_failed": "7700 7710 PPD3 PPTV PPTE PPTR",
        "fraud_suspected": "9500 9510",
        "lost_or_stolen": "5150 9520",
        "account_closed_or_invalid": "1330 1335 5140 5180 5930 6300 PPFI PPFR 7800",
        "expired_or_bad_data": "1380 1382 5110 5130 5170 5190 5400 5500 7900 PPEX PPAD PPEF PCVV PPAV PPC2 PPS5",
        "not_permitted": (
            "1312 1384 5160 5210 1393 8030 PPCT PPTT PPQC PPVT PPDC PPAG PPCO PPUC PPBG PPMC PPAE PPNC PPUI"
        ),
        "merchant_configuration": "1340 1350 1370 8020 PPCE PPAU PPUA PPRR PPUE PPUP PPPI PPPM PPGR PPPH",
        "invalid_request": (
            "1300 1310 1317 1320 1360 1390 5200 5800 PPCU PPVE PPIM PPUR PPVC PPS1 PPS2 PPS3 PPS4 PPS6 PPRF PPAI PPFV "
            "PPII PPIT PPTF PPFE PPTI PPRE"
        ),
    }.items()
    for code in codes.split()
}
"""What `processor_response.response_code` means, where it says that something failed."""

_REASONS = {
    "DECLINED_BY_RISK_FRAUD_FILTERS": "fraud_suspected",
    "DECLINED_BY_PROCESSOR": "do_not_honor",
    "PAYMENT_DENIED": "do_not_honor",
    "PAYER_CANNOT_PAY": "do_not_honor",
    "CANNOT_BE_ZERO_OR_NEGATIVE": "invalid_request",
    "INTERNAL_SERVER_ERROR": "processor_technical",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": "account_closed_or_invalid",
    "PAYER_ACCOUNT_RESTRICTED": "account_closed_or_invalid",
    "TRANSACTION_RECEIVING_LIMIT_EXCEEDED": "limit_exceeded",
    "TRANSACTION_LIMIT_EXCEEDED": "limit_exceeded",
    "CURRENCY_MISMATCH": "invalid_request",
}
"""What reasons mean that words do not tell."""

_TYPES = {
    "PAYMENT.AUTHORIZATION.CREATED": vocabulary.PAYMENT_AUTHORIZED,
    "PAYMENT.AUTHORIZATION.DENIED": vocabulary.PAYMENT_FAILED,
    "PAYMENT.AUTHORIZATION.VOIDED": vocabulary.PAYMENT_CANCELLED,
    "PAYMENT.CAPTURE.COMPLETED": vocabulary.PAYMENT_SUCCEEDED,
    "PAYMENT.CAPTURE.DENIED": vocabulary.PAYMENT_FAILED,
    "PAYMENT.CAPTURE.DECLINED": vocabulary.PAYMENT_FAILED,
    "PAYMENT.CAPTURE.PENDING": vocabulary.PAYMENT_PENDING,
    "PAYMENT.CAPTURE.REFUNDED": vocabulary.PAYMENT_REFUNDED,
    "PAYMENT.CAPTURE.REVERSED": vocabulary.PAYMENT_REFUNDED,
    "PAYMENT.SALE.COMPLETED": vocabulary.PAYMENT_SUCCEEDED,
    "PAYMENT.SALE.DENIED": vocabulary.PAYMENT_FAILED,
    "PAYMENT.SALE.PENDING": vocabulary.PAYMENT_PENDING,
    "PAYMENT.SALE.REFUNDED": vocabulary.PAYMENT_REFUNDED,
    "PAYMENT.SALE.REVERSED": vocabulary.PAYMENT_REFUNDED,
    "PAYMENT.REFUND.PENDING": vocabulary.REFUND_PENDING,
    "PAYMENT.REFUND.FAILED": vocabulary.REFUND_FAILED,
    "CHECKOUT.PAYMENT-APPROVAL.REVERSED": vocabulary.PAYMENT_CANCELLED,
    "BILLING.SUBSCRIPTION.PAYMENT.FAILED": vocabulary.PAYMENT_FAILED,
    "CUSTOMER.DISPUTE.CREATED": vocabulary.DISPUTE_CREATED,
    "CUSTOMER.DISPUTE.UPDATED": vocabulary.DISPUTE_UPDATED,
    "CUSTOMER.DISPUTE.RESOLVED": vocabulary.DISPUTE_CLOSED,
}


def _certificates(path: str) -> tuple[Certificate, ...]:
    try:
        found = _PEM.findall(Path(path).read_text("ascii"))
        certificates = tuple(Certificate(pem.encode()) for pem in found)
    except OSError as error:
        raise ValueError(f"a file that can be read ({error.strerror})") from None
    except ValueError:
        certificates = ()
    if not certificates:
        raise ValueError("a file of certificates in PEM, with RSA keys")
    return certificates


PINNED = optional(
    "PAYFLUX_WEBHOOK_PAYPAL_CERTIFICATES",
    _certificates,
    "File with PayPal's certificates (PEM). With it no certificate is fetched, and webhooks signed by any other are "
    "refused; without it each is fetched once from api.paypal.com.",
)


class _Event(msgspec.Struct, gc=False):
    event_type: str = ""
    id: str = ""
    create_time: str = ""
    resource: Any = None
    links: Any = None


_decoder = msgspec.json.Decoder(_Event)


class PayPal:
    """The adapter.

    Args:
        secrets: ids of webhooks; they are signed, so that nobody sends here what was signed for somebody else.
        pinned: the certificates to believe; none: those PayPal publishes.
        certificates: these.
    """

    def __init__(
        self, secrets: Sequence[str], pinned: Sequence[Certificate], certificates: Certificates | None = None
    ) -> None:
        self._secrets, self._pinned = [secret.encode() for secret in secrets], pinned
        self._certificates = certificates or Certificates(ADDRESSES, HOLDER)

    def verify(self, webhook: Webhook, now: float) -> None:
        """Address, certificate, signature, and then the time, which is signed too."""
        given = webhook.headers.get(CODE)
        if not given or not webhook.headers.get(ADDRESS):
            raise Unverified("signature_missing")
        try:
            signature = base64.b64decode(given, validate=True)
        except binascii.Error:
            raise Unverified("signature_wrong") from None
        address = webhook.headers[ADDRESS].decode("latin-1")
        believed = self._pinned or (self._certificates.at(address, now),)
        signed = [_signed(webhook, secret) for secret in self._secrets]
        if not any(one.is_valid(now) and one.has_signed(signature, text) for one in believed for text in signed):
            raise Unverified("signature_wrong")
        if not -LATE_SECONDS <= _seconds(webhook.headers.get(TIME, b"")) - now <= EARLY_SECONDS:
            raise Unverified("timestamp_outside")

    def read(self, webhook: Webhook) -> Iterator[Payment]:
        """One payment of an event that is used."""
        event = read_json(_decoder, webhook.body)
        resource = event.resource if isinstance(event.resource, dict) else {}
        if (event_type := _TYPES.get(event.event_type)) is not None:
            yield _payment(event, event_type, resource, live=_is_live(webhook, event))


def _signed(webhook: Webhook, webhook_id: bytes) -> bytes:
    """What PayPal has signed, if it was sent to the webhook of this id."""
    stamped = (webhook.headers.get(ID, b""), webhook.headers.get(TIME, b""))
    return b"|".join((*stamped, webhook_id, b"%d" % zlib.crc32(webhook.body)))


def _seconds(stamp: bytes) -> float:
    try:
        return dt.datetime.fromisoformat(stamp.decode("ascii")).timestamp()
    except (ValueError, OverflowError, OSError):
        return float("nan")


def _is_live(webhook: Webhook, event: _Event) -> bool:
    """What the sandbox signs or links to is a test."""
    first = event.links[0] if isinstance(event.links, list) and event.links else None
    return ".sandbox." not in text(member(first, "href")) and b".sandbox." not in webhook.headers.get(ADDRESS, b"")


def _payment(event: _Event, event_type: str, resource: dict[str, Any], *, live: bool) -> Payment:
    own = text(resource.get("id")) or text(resource.get("dispute_id"))
    if not own:
        raise Unreadable("a resource of PayPal has an id")
    failed = member(resource, "billing_info", "last_failed_payment")
    money = resource.get("amount") or resource.get("dispute_amount") or member(failed, "amount")
    currency = text(member(money, "currency_code")) or text(member(money, "currency"))
    amount = text(member(money, "value")) or text(member(money, "total"))
    card = member(resource, "payment_source", "card")
    settled = event_type == vocabulary.PAYMENT_FAILED and failed
    return Payment(
        event_type=event_type,
        # A subscription fails again under the same id, and a dispute changes.
        reference=(event.event_type, own, text(member(failed, "time")) or text(resource.get("update_time"))),
        at=event.create_time,
        live=live,
        account=text(member(resource, "payee", "merchant_id")),
        intent=text(member(resource, "supplementary_data", "related_ids", "order_id"))
        or text(resource.get("parent_payment"))
        or own,
        event=event.id,
        method="card" if card else "paypal",
        network=text(member(card, "brand")),
        funding=text(member(card, "type")),
        channel="online",
        initiator="mit" if settled else "",
        currency=currency,
        amount=minor_of_decimal(amount, currency) if amount else None,
        failure=_failure(resource, text(member(failed, "reason_code"))),
        response_code=text(member(resource, "processor_response", "response_code")),
        advice_code=text(member(resource, "processor_response", "payment_advice_code")),
    )


def _failure(resource: Mapping[str, Any], told: str) -> str:
    """The processor's code, or else the reason."""
    code = text(member(resource, "processor_response", "response_code"))
    reason = told or text(member(resource, "status_details", "reason")) or text(resource.get("reason_code"))
    return _CODES.get(code) or _REASONS.get(reason, reason) or code


def sign(body: bytes, secret: str, now: float) -> Webhook:
    """Sign as PayPal does, by the key of trials: only who believes its certificate believes this."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - see certificates.py
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - likewise
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - likewise

    stamp = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    headers = {
        ID: b"%08x-trial" % zlib.crc32(body),
        TIME: stamp,
        ADDRESS: b"https://api.paypal.com/v1/notifications/certs/CERT-00000000-trial",
        ALGORITHM: b"SHA256withRSA",
        b"content-type": b"application/json",
    }
    key: Any = load_pem_private_key(TRIAL.read_bytes(), None)
    code = key.sign(_signed(Webhook(body, headers), secret.encode()), PKCS1v15(), SHA256())
    return Webhook(body, headers | {CODE: base64.b64encode(code)})


def _make(opening: Opening) -> PayPal:
    pinned = opening.values[PINNED]
    return PayPal(opening.secrets, () if pinned is None else pinned)


SOURCE = Source(
    _make,
    "payments, refunds, failed payments of subscriptions and disputes of PayPal",
    secret="the id of a webhook, as the app's page shows it",  # noqa: S106 - what one looks like
    is_secret=lambda secret: not secret.startswith(("https://", "sk_")),
    sign=sign,
    signed_by="`PayPal-Transmission-Sig`: RSA over id, time, webhook id and CRC-32 of the body, by a certificate",
    days=3,
    settings=(PINNED,),
    trial=((PINNED.name, str(TRIAL)),),
)
