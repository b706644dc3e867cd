"""How a processor proves that a webhook is its own, in the words of an adapter's file: one class a scheme."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets as chance
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from payflux.webhooks import Unverified, Webhook
from payflux.webhooks.signatures import check_code, check_time

BODY, TIMESTAMP, URL, SIGNATURE, ANY = "{body}", "{timestamp}", "{url}", "{signature}", "{any}"
HEADER = re.compile(r"\{header:([A-Za-z0-9-]+)\}")
PIECE = re.compile(r"(\{[^{}]*\})")
DIGESTS = {"sha1": 20, "sha256": 32, "sha512": 64}
"""Every digest an HMAC may be made with, and the bytes of its code."""

AUTHORIZATION = b"authorization"
LATE = 10**11  # a later time of Unix is one in milliseconds: seconds reach it in the year 5138
_MOST_CODES = 16
_JSON = {b"content-type": b"application/json"}


class Scheme(Protocol):
    """A way to prove that a webhook is the processor's.

    Attributes:
        secret: what a secret of it is, completing "expected …".
        told: where the proof stands, for people.
    """

    @property
    def secret(self) -> str:
        """What a secret is."""

    @property
    def told(self) -> str:
        """Where the proof stands."""

    def is_secret(self, text: str) -> bool:
        """Whether a text can be a secret."""

    def verify(self, webhook: Webhook, secrets: Sequence[bytes], now: float) -> None:
        """Make sure of it, or raise `Unverified`."""

    def sign(self, body: bytes, secret: str, now: float) -> Webhook:
        """Sign as the processor does."""


def key_of(text: str, written: str) -> bytes:
    """The bytes of a key that is written as text, hex or base64; raises ValueError."""
    if written == "hex":
        return bytes.fromhex(text)
    return base64.b64decode(text, validate=True) if written == "base64" else text.encode()


def _seconds(stamp: bytes) -> float:
    """A time of Unix in seconds or milliseconds; what is none lies outside every tolerance."""
    if not stamp.isdigit() or len(stamp) > 16:
        return float("nan")
    return int(stamp) / 1000 if int(stamp) > LATE else float(stamp)


@dataclass(frozen=True)
class Hmac:
    """A code over the body and what is signed with it, in a header.

    Attributes:
        header: its lower-case name.
        digest: a key of `DIGESTS`.
        encoding: of the code: `hex` or `base64`.
        value: how the header is written.
        signed: what is signed.
        key: how a secret is written: `text`, `hex` or `base64`.
        url: what `{url}` stands for.
        timestamp_header: where the time stands, when it is not in the header of the code.
        tolerance: seconds it may lie before or after ours.
    """

    header: bytes
    digest: str = "sha256"
    encoding: str = "hex"
    value: str = SIGNATURE
    signed: str = BODY
    key: str = "text"
    url: str = ""
    timestamp_header: bytes = b""
    tolerance: float = 300.0

    @property
    def secret(self) -> str:
        """What a secret is."""
        return "the signing secret" if self.key == "text" else f"the signing secret in {self.key}"

    @property
    def told(self) -> str:
        """Where the proof stands."""
        name = self.header.decode().title()
        return f"`{name}`: HMAC-{self.digest.upper().replace('SHA', 'SHA-')} of `{self.signed}`"

    def is_secret(self, text: str) -> bool:
        """Whether it is written as a key is."""
        try:
            return bool(key_of(text, self.key))
        except ValueError:
            return False

    def verify(self, webhook: Webhook, secrets: Sequence[bytes], now: float) -> None:
        """The code first, then the time, which is proved by it; one of several codes is enough while keys change."""
        given = webhook.headers.get(self.header, b"").decode("latin-1")
        found = [one.groupdict() for one in _pattern(self).finditer(given)][:_MOST_CODES]
        if not found:
            raise Unverified("signature_missing")
        stamp = (found[0].get("timestamp") or "").encode("latin-1")
        stamp = webhook.headers.get(self.timestamp_header, b"") if self.timestamp_header else stamp
        signed = self._signed(webhook, stamp)
        codes = [self._plain(one["signature"]) for one in found]
        keys = [key_of(secret.decode(), self.key) for secret in secrets]
        check_code(codes, keys, lambda key: self._code(key, signed))
        if TIMESTAMP in self.signed:
            check_time(_seconds(stamp), now, self.tolerance)

    def sign(self, body: bytes, secret: str, now: float) -> Webhook:
        """Sign as the processor does, with new values for headers that are signed too."""
        stamp = b"%d" % now
        headers = {name.lower().encode(): chance.token_hex(8).encode() for name in HEADER.findall(self.signed)}
        if self.timestamp_header:
            headers[self.timestamp_header] = stamp
        code = self._code(key_of(secret, self.key), self._signed(Webhook(body, headers), stamp))
        written = base64.b64encode(binascii.unhexlify(code)) if self.encoding == "base64" else code
        value = self.value.replace(SIGNATURE, written.decode()).replace(TIMESTAMP, stamp.decode()).replace(ANY, "1")
        return Webhook(body, _JSON | headers | {self.header: value.encode()})

    def _signed(self, webhook: Webhook, stamp: bytes) -> bytes:
        """What is signed, of this webhook."""
        known = {BODY: webhook.body, TIMESTAMP: stamp, URL: self.url.encode()}
        return b"".join(
            webhook.headers.get(named[1].lower().encode(), b"")
            if (named := HEADER.fullmatch(piece))
            else known.get(piece, piece.encode())
            for piece in PIECE.split(self.signed)
        )

    def _code(self, key: bytes, signed: bytes) -> bytes:
        """The right code, in hex."""
        return hmac.digest(key, signed, self.digest).hex().encode()

    def _plain(self, written: str) -> bytes:
        """A code that was given, in hex; empty when it is none."""
        if self.encoding == "hex":
            return written.lower().encode()
        try:
            return base64.b64decode(written.translate(_URL_SAFE) + "==").hex().encode()
        except binascii.Error:
            return b""


_URL_SAFE = str.maketrans("-_", "+/")


@lru_cache(maxsize=64)
def _pattern(scheme: Hmac) -> re.Pattern[str]:
    """What the header of a scheme looks like."""
    digits = DIGESTS[scheme.digest] * 2
    code = f"[0-9A-Fa-f]{{{digits}}}" if scheme.encoding == "hex" else "[A-Za-z0-9+/_-]{27,88}={0,2}"
    known = {SIGNATURE: f"(?P<signature>{code})", TIMESTAMP: "(?P<timestamp>[0-9]{1,16})", ANY: r"[^,\s]*?"}
    return re.compile("".join(known.get(piece, re.escape(piece)) for piece in PIECE.split(scheme.value)))


_STANDARD_KEY = "whsec_"


@dataclass(frozen=True)
class Standard:
    """Standard Webhooks: HMAC-SHA-256 in base64 over id, time and body (standardwebhooks.com, version 1).

    Attributes:
        tolerance: seconds the time may lie before or after ours.
    """

    tolerance: float = 300.0
    secret = "a secret in base64, with or without whsec_ before it"  # noqa: S105 - what one looks like
    told = "`Webhook-Signature`, as Standard Webhooks has it"

    def is_secret(self, text: str) -> bool:
        """Whether it is base64."""
        try:
            return bool(self._key(text))
        except ValueError:
            return False

    def verify(self, webhook: Webhook, secrets: Sequence[bytes], now: float) -> None:
        """Any of the codes, by any of the secrets; then the time."""
        stamp = webhook.headers.get(b"webhook-timestamp", b"")
        codes = webhook.headers.get(b"webhook-signature", b"").split()
        given = [code.removeprefix(b"v1,") for code in codes if code.startswith(b"v1,")][:_MOST_CODES]
        signed = self._signed(webhook.headers.get(b"webhook-id", b""), stamp, webhook.body)
        keys = [self._key(secret.decode()) for secret in secrets]
        check_code(given, keys, lambda key: self._code(key, signed))
        check_time(_seconds(stamp), now, self.tolerance)

    def sign(self, body: bytes, secret: str, now: float) -> Webhook:
        """Sign under a new id."""
        own, stamp = b"msg_" + chance.token_hex(8).encode(), b"%d" % now
        code = b"v1," + self._code(self._key(secret), self._signed(own, stamp, body))
        return Webhook(body, _JSON | {b"webhook-id": own, b"webhook-timestamp": stamp, b"webhook-signature": code})

    def _key(self, text: str) -> bytes:
        return base64.b64decode(text.removeprefix(_STANDARD_KEY), validate=True)

    def _signed(self, own: bytes, stamp: bytes, body: bytes) -> bytes:
        return b".".join((own, stamp, body))

    def _code(self, key: bytes, signed: bytes) -> bytes:
        return base64.b64encode(hmac.digest(key, signed, hashlib.sha256))


@dataclass(frozen=True)
class Password:
    """A password in a header; it proves the sender alone, and nothing of the body.

    Attributes:
        header: its lower-case name.
        secret: what a secret is.
        told: where the proof stands.
        written: a secret as it stands in the header.
        colon: a secret must hold one.
    """

    header: bytes
    secret: str
    told: str
    written: Callable[[bytes], bytes]
    colon: bool = False

    def is_secret(self, text: str) -> bool:
        """Whether it has the form of one."""
        return bool(text) and (not self.colon or ":" in text[1:-1])

    def verify(self, webhook: Webhook, secrets: Sequence[bytes], now: float) -> None:
        """Any of the secrets."""
        del now
        given = webhook.headers.get(self.header, b"")
        check_code([given] if given else [], secrets, self.written)

    def sign(self, body: bytes, secret: str, now: float) -> Webhook:
        """Write the password into its header."""
        del now
        return Webhook(body, _JSON | {self.header: self.written(secret.encode())})


def basic() -> Password:
    """Basic authentication (RFC 7617)."""
    return Password(
        AUTHORIZATION,
        "user:password",
        "`Authorization`: user and password",
        lambda secret: b"Basic " + base64.b64encode(secret),
        colon=True,
    )


def bearer(header: bytes = AUTHORIZATION) -> Password:
    """A token (RFC 6750); in a header of another name it stands alone."""
    before = b"Bearer " if header == AUTHORIZATION else b""
    return Password(header, "the token", f"`{header.decode().title()}`: a token", lambda secret: before + secret)


@dataclass(frozen=True)
class Unsigned:
    """No proof at all, for senders in the same private network."""

    secret = "nothing, as nothing is signed"  # noqa: S105 - what is said of it
    told = "nothing; only on a private address"

    def is_secret(self, text: str) -> bool:
        """There is none."""
        del text
        return False

    def verify(self, webhook: Webhook, secrets: Sequence[bytes], now: float) -> None:
        """Everybody is believed."""

    def sign(self, body: bytes, secret: str, now: float) -> Webhook:
        """Nothing is added."""
        del secret, now
        return Webhook(body, dict(_JSON))
