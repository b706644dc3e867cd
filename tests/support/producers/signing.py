"""Signatures as the processors' documentation has them, written without a line of ours: what an adapter is judged by.

Each takes a body as JSON has it, a secret, and Unix time, and gives the body's bytes and the headers that come with it.
"""

import base64
import datetime as dt
import hashlib
import hmac
import json
import re
import urllib.parse
import zlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

Signed = tuple[bytes, dict[str, str]]
Sign = Callable[[Any, str, float], Signed]

SQUARE_URL = "https://payflux.example.com/v1/webhooks/square"
PAYPAL_KEY = files("payflux.webhooks").joinpath("samples", "paypal.pem").read_bytes()


def _sha256(secret: bytes, signed: bytes) -> "hmac.HMAC":
    return hmac.new(secret, signed, hashlib.sha256)


def stripe(body: Any, secret: str, now: float) -> Signed:
    """docs.stripe.com/webhooks, "Verify webhook signatures manually"."""
    text = json.dumps(body, indent=2)  # Stripe's are indented
    code = _sha256(secret.encode(), f"{int(now)}.{text}".encode()).hexdigest()
    return text.encode(), {"Stripe-Signature": f"t={int(now)},v1={code},v0={'0' * 64}"}


ADYEN = (
    *(["pspReference"], ["originalReference"], ["merchantAccountCode"], ["merchantReference"], ["amount", "value"]),
    *(["amount", "currency"], ["eventCode"], ["success"]),
)


def adyen(body: Any, secret: str, now: float) -> Signed:
    """docs.adyen.com, "Verify HMAC signatures": eight members of each item, joined by colons."""
    del now
    body = json.loads(json.dumps(body))
    for wrapper in body["notificationItems"]:
        item, parts = wrapper["NotificationRequestItem"], []
        for path in ADYEN:
            value: Any = item
            for name in path:
                value = value.get(name, "")
            parts.append(str(value))
        code = _sha256(bytes.fromhex(secret), ":".join(parts).encode()).digest()
        item.setdefault("additionalData", {})["hmacSignature"] = base64.b64encode(code).decode()
    return json.dumps(body).encode(), {}


def checkout(body: Any, secret: str, now: float) -> Signed:
    """checkout.com/docs, "Verify webhooks"."""
    del now
    data = json.dumps(body).encode()
    return data, {"Cko-Signature": _sha256(secret.encode(), data).hexdigest()}


def paypal(body: Any, secret: str, now: float) -> Signed:
    """developer.paypal.com, "Self verification method", with the key whose certificate the node is told to believe."""
    data, own = json.dumps(body).encode(), "b2384410-f8d2-11e4-8bf3-77339302725b"
    stamp = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    key: Any = load_pem_private_key(PAYPAL_KEY, None)
    signed = f"{own}|{stamp}|{secret}|{zlib.crc32(data) & 0xFFFFFFFF}".encode()
    code = base64.b64encode(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))
    return data, {
        "PayPal-Transmission-Id": own,
        "PayPal-Transmission-Time": stamp,
        "PayPal-Transmission-Sig": code.decode(),
        "PayPal-Cert-Url": "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77",
        "PayPal-Auth-Algo": "SHA256withRSA",
    }


def _xml(value: Any) -> str:
    if not isinstance(value, dict):
        return escape(str(value))
    return "".join(f"<{name}>{_xml(inner)}</{name}>" for name, inner in value.items())


def braintree(body: Any, secret: str, now: float) -> Signed:
    """The published library's way: HMAC-SHA-1 of the base64 of the XML, its key the SHA-1 of the private key."""
    del now
    public, private = secret.split(":")
    payload = base64.encodebytes(f"<notification>{_xml(body)}</notification>".encode())
    key = hashlib.sha1(private.encode(), usedforsecurity=False).digest()
    code = hmac.new(key, payload, hashlib.sha1).hexdigest()
    form = {"bt_signature": f"strangers|{'0' * 40}&{public}|{code}", "bt_payload": payload.decode()}
    return urllib.parse.urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}


def gocardless(body: Any, secret: str, now: float) -> Signed:
    """developer.gocardless.com, "Signing webhooks"."""
    del now
    data = json.dumps(body).encode()
    return data, {"Webhook-Signature": _sha256(secret.encode(), data).hexdigest()}


def mollie(body: Any, secret: str, now: float) -> Signed:
    """docs.mollie.com, "Webhooks: security"."""
    del now
    data = json.dumps(body).encode()
    return data, {"X-Mollie-Signature": f"sha256={_sha256(secret.encode(), data).hexdigest()}"}


def razorpay(body: Any, secret: str, now: float) -> Signed:
    """razorpay.com/docs/webhooks, "Validate"."""
    del now
    data = json.dumps(body).encode()
    return data, {"X-Razorpay-Signature": _sha256(secret.encode(), data).hexdigest()}


def square(body: Any, secret: str, now: float) -> Signed:
    """developer.squareup.com, "Verify and validate": the address and the body."""
    del now
    data = json.dumps(body).encode()
    code = base64.b64encode(_sha256(secret.encode(), SQUARE_URL.encode() + data).digest())
    return data, {"X-Square-HmacSha256-Signature": code.decode()}


def worldpay(body: Any, secret: str, now: float) -> Signed:
    """docs.worldpay.com/access, "Event signature": id of the key, hash, code."""
    del now
    data = json.dumps(body).encode()
    return data, {"Event-Signature": f"1/SHA256/{_sha256(secret.encode(), data).hexdigest()}"}


SIGNERS: dict[str, Sign] = {
    "stripe": stripe,
    "adyen": adyen,
    "checkout": checkout,
    "paypal": paypal,
    "braintree": braintree,
    "gocardless": gocardless,
    "mollie": mollie,
    "razorpay": razorpay,
    "square": square,
    "worldpay": worldpay,
}

_SIGNED = re.compile(rb'"(?:amount|value|created|total|created_at|id)": *"?|bt_payload=')


def tampered(body: bytes) -> bytes:
    """The same with something else in what is signed: the last time, amount or id; in a batch that of its last item."""
    at = [*_SIGNED.finditer(body)][-1].end()
    return body[:at] + b"9" + body[at:]


def unsigned(processor: str, signed: Signed) -> Signed:
    """The same without its signature."""
    body, headers = signed
    if processor == "adyen":
        return re.sub(rb'"hmacSignature": "[^"]*"', b'"other": ""', body), headers
    if processor == "braintree":
        return body.replace(b"bt_signature=", b"other="), headers
    return body, {name: text for name, text in headers.items() if not re.search("-Sig(?:nature)?$", name)}
