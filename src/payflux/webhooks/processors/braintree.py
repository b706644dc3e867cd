"""Braintree: disputes, settlements and what becomes of subscriptions. Declines of live payments are no webhooks of it.

Signatures, challenge and kinds: developer.paypal.com/braintree/docs/guides/webhooks, and the published Python library
(`webhook_notification_gateway.py`), whose import costs more than this file. The body is a form of a signature and a
payload, the payload base64 of XML.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree as ET

import msgspec

from payflux.webhooks import Opening, Payment, Source, Unreadable, Unverified, Webhook, vocabulary
from payflux.webhooks.money import minor_of_decimal
from payflux.webhooks.signatures import check_code

_KINDS = {
    "transaction_settled": ("transaction", vocabulary.CAPTURE_SUCCEEDED),
    "transaction_settlement_declined": ("transaction", vocabulary.CAPTURE_FAILED),
    "subscription_charged_successfully": ("subscription", vocabulary.PAYMENT_SUCCEEDED),
    "subscription_charged_unsuccessfully": ("subscription", vocabulary.PAYMENT_FAILED),
    "dispute_opened": ("dispute", vocabulary.DISPUTE_CREATED),
    "dispute_under_review": ("dispute", vocabulary.DISPUTE_UPDATED),
    "dispute_disputed": ("dispute", vocabulary.DISPUTE_UPDATED),
    "dispute_accepted": ("dispute", vocabulary.DISPUTE_CLOSED),
    "dispute_auto_accepted": ("dispute", vocabulary.DISPUTE_CLOSED),
    "dispute_expired": ("dispute", vocabulary.DISPUTE_CLOSED),
    "dispute_won": ("dispute", vocabulary.DISPUTE_CLOSED),
    "dispute_lost": ("dispute", vocabulary.DISPUTE_CLOSED),
}
"""The kinds that are used: what each is of, and what it is."""

_CODES = {
    code: category
    for category, codes in {
        "insufficient_funds": "2001",
        "limit_exceeded": "2002 2003 2056 2086 2097 2098",
        "do_not_honor": "2000 2011 2015 2034 2038 2041 2043 2044 2046 2057 2074 2076 2104 2105 2106",
        "processor_technical": "2035 3000",
        "authentication_required": "2099 2101",
        "fraud_suspected": "2014 2020 2021 2077 2085",
        "lost_or_stolen": "2012 2013 2047 2053",
        "account_closed_or_invalid": "2005 2007 2008 2009 2075 2093 2107 2108",
        "expired_or_bad_data": "2004 2006 2010 2022 2051 2059 2060 2092 2102 2103",
        "not_permitted": "2019 2023 2024 2082",
        "mandate_revoked": "2017 2018 2070",
        "merchant_configuration": (
            "2025 2026 2027 2028 2029 2030 2032 2040 2042 2045 2055 2058 2063 2066 2068 2071 2072 2079 2080 2087 2088 "
            "2089 2090 2091 2100"
        ),
        "invalid_request": (
            "2016 2031 2033 2036 2037 2039 2048 2049 2050 2054 2061 2062 2064 2065 2067 2069 2073 2078 2081 2083 2084 "
            "2094 2095 2096"
        ),
    }.items()
    for code in codes.split()
}
"""`processor_response_code`: developer.paypal.com/braintree, "Authorization responses"; others are read as text."""

_CHALLENGE = re.compile(r"[a-f0-9]{20,32}", re.ASCII)
_FORBIDDEN = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_MOST_DEPTH = 20


def _key(private: str) -> bytes:
    return hashlib.sha1(private.encode(), usedforsecurity=False).digest()


def _code(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha1").hex().encode()


def _form(body: bytes) -> dict[str, str]:
    """The members of the form; what is none has none."""
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=8)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


class Braintree:
    """The adapter.

    Args:
        secrets: pairs of keys of the API, `public:private`.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        pairs = [secret.partition(":") for secret in secrets]
        self._keys = [(public.encode(), _key(private)) for public, _, private in pairs]

    def verify(self, webhook: Webhook, now: float) -> None:
        """Pairs of a public key and a code over the payload, with or without the line end it came with."""
        del now
        form = _form(webhook.body)
        pairs = [pair.partition("|") for pair in form.get("bt_signature", "").split("&")][:16]
        payload = form.get("bt_payload", "").encode()
        known = dict(self._keys)
        given = [(known[public.encode()], code.encode()) for public, _, code in pairs if public.encode() in known]
        if not payload or not any(code for _, _, code in pairs):
            raise Unverified("signature_missing")
        if not given:
            raise Unverified("signature_wrong")
        codes = [code for _, code in given]
        keys = [key for key, _ in given]
        try:
            check_code(codes, keys, lambda key: _code(key, payload))
        except Unverified:
            check_code(codes, keys, lambda key: _code(key, payload + b"\n"))

    def read(self, webhook: Webhook) -> Iterator[Payment]:
        """One payment of a notification that is used."""
        notification = _notification(_form(webhook.body).get("bt_payload", ""))
        kind = notification.get("kind", "")
        if kind in _KINDS:
            yield _payment(notification, kind, *_KINDS[kind])


def _notification(payload: str) -> dict[str, str]:
    """The elements of the XML by dotted path, `subject.dispute.id` for one."""
    try:
        document = base64.b64decode(payload)
        if _FORBIDDEN.search(document):
            raise Unreadable("the notification has a document type")
        root = ET.fromstring(document)  # noqa: S314 - see above
    except (binascii.Error, ValueError, ET.ParseError, LookupError):
        raise Unreadable("the notification is not XML in base64") from None
    if root.tag != "notification":
        raise Unreadable("the payload is no notification")
    return dict(_elements(root, "", 0))


def _elements(element: ET.Element, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Every text below an element; of several alike the first is told last, and so kept."""
    if depth > _MOST_DEPTH:
        raise Unreadable("the notification is nested too deep")
    for inner in reversed(element):
        name = f"{path}{inner.tag}"
        yield name, (inner.text or "").strip()
        yield from _elements(inner, f"{name}.", depth + 1)


def _payment(notification: dict[str, str], kind: str, what: str, event_type: str) -> Payment:
    subject = f"subject.{what}."
    own = notification.get(f"{subject}id", "")
    if not own:
        raise Unreadable("the subject of a notification of Braintree has an id")
    # The last charge of a subscription stands first among its transactions.
    paid = f"{subject}transactions.transaction." if what == "subscription" else subject
    transaction = notification.get(f"{paid}id", "") if what != "dispute" else ""
    disputed = notification.get(f"{subject}transaction.id", "")
    currency = notification.get(f"{paid}currency-iso-code", "")
    amount = notification.get(f"{paid}amount", "") or notification.get(f"{subject}amount-disputed", "")
    code = notification.get(f"{paid}processor-response-code", "")
    reason = notification.get(f"{paid}processor-response-text", "")
    return Payment(
        event_type=event_type,
        reference=(kind, own, transaction or notification.get("timestamp", "")),
        at=notification.get("timestamp", ""),
        account=notification.get(f"{paid}merchant-account-id", ""),
        intent=transaction or disputed or own,
        instrument=notification.get(f"{paid}credit-card.unique-number-identifier", ""),
        method="card" if notification.get(f"{paid}payment-instrument-type") == "credit_card" else "",
        network=notification.get(f"{paid}credit-card.card-type", ""),
        channel="online",
        initiator="mit" if what == "subscription" else "",
        currency=currency,
        amount=minor_of_decimal(amount, currency) if amount and currency else None,
        failure=_CODES.get(code, reason) or code,
        response_code=notification.get(f"{paid}network-response-code", ""),
    )


def prove(query: str, secrets: tuple[str, ...]) -> bytes | None:
    """The answer to `bt_challenge`, by the first pair of keys."""
    try:
        challenge = parse_qs(query, max_num_fields=8).get("bt_challenge", [""])[0]
    except ValueError:
        return None
    if not _CHALLENGE.fullmatch(challenge):
        return None
    public, _, private = secrets[0].partition(":")
    return public.encode() + b"|" + _code(_key(private), challenge.encode())


def _xml(name: str, value: Any) -> str:
    inner = "".join(_xml(one, text) for one, text in value.items()) if isinstance(value, dict) else _escaped(str(value))
    return f"<{name}>{inner}</{name}>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sign(body: bytes, secret: str, now: float) -> Webhook:
    """Sign as Braintree does, a notification that is written as JSON: names of elements, and what is in them."""
    del now
    public, _, private = secret.partition(":")
    document = _xml("notification", msgspec.json.decode(body))
    payload = base64.encodebytes(document.encode(errors="replace"))
    signature = f"{public}|{_code(_key(private), payload).decode()}"
    form = urlencode({"bt_signature": signature, "bt_payload": payload.decode()})
    return Webhook(form.encode(), {b"content-type": b"application/x-www-form-urlencoded"})


def _make(opening: Opening) -> Braintree:
    return Braintree(opening.secrets)


def _is_secret(secret: str) -> bool:
    public, _, private = secret.partition(":")
    return bool(public and private)


SOURCE = Source(
    _make,
    "disputes, settlements and charges of subscriptions of Braintree; declines of other payments it does not send",
    secret="the public and the private key of the API, public:private",  # noqa: S106 - what one looks like
    is_secret=_is_secret,
    sign=sign,
    signed_by="`bt_signature` of the form: HMAC-SHA-1 of the payload",
    days=2,
    challenge=prove,
)
