"""The schemes of an adapter's file: what is signed is believed, and nothing else."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

import pytest

from payflux.webhooks import Unverified, Webhook
from payflux.webhooks.declared.schemes import Hmac, Password, Scheme, Standard, Unsigned, basic, bearer
from receiving import NOW

BODY = b'{"id":"1", "amount": 100}'
SECRETS = ("first secret of two", "second secret of two")
STAMPED = Hmac(b"x-signature", value="t={timestamp},v1={signature}", signed="{timestamp}.{body}")
SCHEMES: dict[str, tuple[Scheme, tuple[str, str]]] = {
    "hmac": (Hmac(b"x-signature"), SECRETS),
    "sha1 in base64": (Hmac(b"x-signature", digest="sha1", encoding="base64"), SECRETS),
    "sha512": (Hmac(b"x-signature", digest="sha512", value="{any}/SHA512/{signature}"), SECRETS),
    "url": (Hmac(b"x-signature", signed="{url}{body}", url="https://example.com/hook", encoding="base64"), SECRETS),
    "hex key": (Hmac(b"x-signature", key="hex"), ("ab" * 16, "cd" * 16)),
    "stamped": (STAMPED, SECRETS),
    "stamped elsewhere": (Hmac(b"x-signature", signed="{timestamp}{body}", timestamp_header=b"x-time"), SECRETS),
    "header": (Hmac(b"x-signature", signed="{header:X-Id}.{body}"), SECRETS),
    "standard": (Standard(), (f"whsec_{base64.b64encode(b'k' * 24).decode()}", base64.b64encode(b"l" * 24).decode())),
    "basic": (basic(), ("user:password", "user:other")),
    "bearer": (bearer(), SECRETS),
    "token": (bearer(b"x-api-key"), SECRETS),
}


def refusal(scheme: Scheme, webhook: Webhook, secrets: tuple[str, ...], now: float = NOW) -> str:
    """Why it is not believed; empty when it is."""
    try:
        scheme.verify(webhook, [secret.encode() for secret in secrets], now)
    except Unverified as error:
        return error.code
    return ""


@pytest.mark.parametrize("name", SCHEMES)
def test_either_live_secret_may_have_signed(name: str) -> None:
    """And no other one; without any proof that is said."""
    scheme, secrets = SCHEMES[name]
    assert all(scheme.is_secret(secret) for secret in secrets)
    for secret in secrets:
        webhook = scheme.sign(BODY, secret, NOW)
        assert refusal(scheme, webhook, secrets) == ""
        (other,) = set(secrets) - {secret}
        assert refusal(scheme, webhook, (other,)) == "signature_wrong"
    assert refusal(scheme, Webhook(BODY, {}), secrets) == "signature_missing"
    assert scheme.told
    assert scheme.secret


@pytest.mark.parametrize("name", [name for name, (scheme, _) in SCHEMES.items() if not isinstance(scheme, Password)])
def test_the_very_bytes_are_signed(name: str) -> None:
    """The same JSON, written anew, is another body."""
    scheme, secrets = SCHEMES[name]
    webhook = scheme.sign(BODY, secrets[0], NOW)
    again = Webhook(b'{"id": "1", "amount": 100}', webhook.headers)
    assert refusal(scheme, again, secrets) == "signature_wrong"


def changed(webhook: Webhook, headers: Mapping[bytes, bytes]) -> Webhook:
    """The same with other headers."""
    return Webhook(webhook.body, {**webhook.headers, **headers})


@pytest.mark.parametrize("name", ["stamped", "stamped elsewhere", "standard"])
def test_the_time_is_checked_on_both_sides_and_is_signed(name: str) -> None:
    """Too long ago and too far ahead are refused, and so is another time beside the same code."""
    scheme, secrets = SCHEMES[name]
    for moved, code in ((-299, ""), (299, ""), (-301, "timestamp_outside"), (301, "timestamp_outside")):
        assert refusal(scheme, scheme.sign(BODY, secrets[0], NOW + moved), secrets) == code
    webhook = scheme.sign(BODY, secrets[0], NOW - 1000)
    old, new = (b"%d" % (NOW - 1000), b"%d" % NOW)
    fresh = {header: value.replace(old, new) for header, value in webhook.headers.items()}
    assert fresh != webhook.headers
    assert refusal(scheme, changed(webhook, fresh), secrets) == "signature_wrong"


def test_codes_are_those_of_the_schemes() -> None:
    """Made by hand, in either letter case or alphabet, with another code before it, and in milliseconds."""
    code = hmac.new(SECRETS[0].encode(), BODY, hashlib.sha256)
    plain, inner = Hmac(b"x-signature", value="sha256={signature}"), Hmac(b"x-signature", encoding="base64")
    for given in (f"sha256={code.hexdigest()}", f"sha256={'0' * 64}, sha256={code.hexdigest().upper()}"):
        assert refusal(plain, Webhook(BODY, {b"x-signature": given.encode()}), SECRETS) == ""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for short in (encode(code.digest()), encode(code.digest()).rstrip(b"=")):
            assert refusal(inner, Webhook(BODY, {b"x-signature": short}), SECRETS) == ""
    stamp = b"%d" % (NOW * 1000)
    late = hmac.new(SECRETS[0].encode(), stamp + b"." + BODY, hashlib.sha256).hexdigest().encode()
    given_late = b"t=" + stamp + b",v1=" + late
    assert refusal(STAMPED, Webhook(BODY, {b"x-signature": given_late}), SECRETS) == ""


@pytest.mark.parametrize(
    ("scheme", "text"),
    [(Hmac(b"x", key="hex"), "no hex"), (Standard(), "no base64!"), (basic(), "password"), (bearer(), "")],
)
def test_what_can_be_no_secret(scheme: Scheme, text: str) -> None:
    """It is not written as one of this scheme is."""
    assert not scheme.is_secret(text)


@pytest.mark.parametrize("given", [b"", b"\xff\xfe", b"sha256=", b"=" * 50, b"t=x,v1=y", b"a" * 5000, b"A" * 28 + b"="])
def test_whatever_stands_in_the_header_is_refused(given: bytes) -> None:
    """By every scheme, in words."""
    for scheme, secrets in SCHEMES.values():
        header = getattr(scheme, "header", b"webhook-signature")
        assert refusal(scheme, Webhook(BODY, {header: given}), secrets) in ("signature_missing", "signature_wrong")


def test_unsigned_believes_everybody() -> None:
    """As its file says."""
    assert refusal(Unsigned(), Unsigned().sign(BODY, "", NOW), ()) == ""
    assert not Unsigned().is_secret("any")
