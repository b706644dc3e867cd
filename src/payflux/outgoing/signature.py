"""Signatures of what is sent, as Standard Webhooks has them (github.com/standard-webhooks, specification 1.0.0)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64


def key_of(secret: str) -> bytes:
    """The key a secret stands for.

    Args:
        secret: base64 of 24 to 64 bytes, `whsec_` before it or not.

    Raises:
        ValueError: it is none; the text completes "expected …".
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"{PREFIX} and base64 of {SHORTEST} to {LONGEST} bytes (openssl rand -base64 32)")
    return key


def signed(identifier: str, second: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The three headers that let a receiver verify a body.

    Args:
        identifier: of the message, the same whenever it is sent again.
        second: Unix time at which it is sent.
        body: the very bytes.
        keys: live ones, the newest first; a receiver is content with any of them.
    """
    content = b"%s.%d.%s" % (identifier.encode(), second, body)
    signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(second),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
