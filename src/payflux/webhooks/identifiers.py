"""Identifiers of processors: what becomes of them before anything is stored.

A raw id leads whoever reads a stream or a log to an account, a payment or a person, and many are short enough to be
found by trying. So they are kept as keyed hashes alone, and the id of the key stands before each, so that hashes of
before and after a change of key are not taken for each other.
"""

import hashlib
import uuid
from collections.abc import Callable, Sequence

from payflux.settings import Values, optional
from payflux.webhooks.signatures import Keyed

LEAST_KEY = 16
_HASH_DIGITS = 32  # 128 bits: nobody meets two alike
_KEY_DIGITS = 8
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "webhooks.payflux.dev").bytes
_BEGUN = hashlib.sha1(_NAMESPACE, usedforsecurity=False)


def _hash_key(text: str) -> str:
    if len(text) < LEAST_KEY or not text.isprintable():
        raise ValueError(f"at least {LEAST_KEY} printable characters, such as the output of `openssl rand -hex 32`")
    return text


HASH_KEY = optional(
    "PAYFLUX_HASH_KEY",
    _hash_key,
    "Key of the hashes that identifiers in webhooks become; required once a webhook has secrets. Keep it: with another "
    "one the same customer gets another hash.",
    secret=True,
)


class Hasher:
    """Keyed hashes of identifiers: HMAC-SHA-256 (RFC 2104), its first 128 bits in hex, behind the id of the key.

    Args:
        key: the value of `PAYFLUX_HASH_KEY`.
    """

    def __init__(self, key: str) -> None:
        self._keyed = Keyed.by(key.encode(errors="replace"))
        self._prefix = self._keyed.code(b"key id")[:_KEY_DIGITS] + ":"

    def within(self, *parts: str) -> Callable[[str], str]:
        """The hashes of identifiers.

        Args:
            parts: what they are unique in; none of them may be raw anywhere else.

        Returns:
            Makes an identifier its hash: id of the key, colon, hash; empty when the identifier is.
        """
        code, prefix = self._keyed.after("\x1f".join((*parts, "")).encode(errors="replace")).code, self._prefix

        def hashed(identifier: str) -> str:
            return prefix + code(identifier.encode("utf-8", "replace"))[:_HASH_DIGITS] if identifier else ""

        return hashed


def event_uid(processor: str, reference: Sequence[str]) -> bytes:
    """The id of the event that something a processor told becomes: the same whenever it tells it again.

    Args:
        processor: its slug.
        reference: what it calls the thing; see `Payment.reference`.

    Returns:
        The 16 bytes of a UUID of version 5 (RFC 9562 section 5.5).
    """
    begun = _BEGUN.copy()
    begun.update("\x1f".join((processor, *reference)).encode("utf-8", "replace"))
    digest = bytearray(begun.digest())
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest[:16])


def spelt(uid: bytes) -> str:
    """A UUID as it is written."""
    text = uid.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def hasher_of(values: Values) -> Hasher:
    """The hashes of a node; its key must be set."""
    key = values[HASH_KEY]
    assert key is not None
    return Hasher(key)
