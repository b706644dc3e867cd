"""Identifiers of processors: what becomes of them before anything is stored.

A raw id leads whoever reads a stream or a log to an account, a payment or a person, and many are short enough to be
found by trying. So they are kept as keyed hashes alone, and the id of the key stands before each, so that hashes of
before and after a change of key are not taken for each other.
"""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache

from payflux.settings import Values, optional

LEAST_KEY = 16
_HASH_BYTES = 16  # 128 bits: nobody meets two alike
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


_BLOCK = 64


def hmac_of(key: bytes) -> Callable[[bytes], bytes]:
    """HMAC-SHA-256 (RFC 2104) with one key for many texts: its halves are begun once, which halves the cost."""
    padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))

    def digest(text: bytes) -> bytes:
        first, second = inner.copy(), outer.copy()
        first.update(text)
        second.update(first.digest())
        return second.digest()

    return digest


class Hasher:
    """Keyed hashes of identifiers: HMAC-SHA-256, its first 128 bits in hex, behind the id of the key.

    Args:
        key: the value of `PAYFLUX_HASH_KEY`.

    Attributes:
        owner: the same for whose an event is, which repeats from one to the next, as ids of payments do not.
    """

    def __init__(self, key: str) -> None:
        digest = hmac_of(key.encode(errors="replace"))
        prefix = digest(b"key id").hex()[:_KEY_DIGITS] + ":"

        def hashed(identifier: str) -> str:
            return prefix + digest(identifier.encode(errors="replace"))[:_HASH_BYTES].hex()

        self._hashed = hashed
        self.owner = lru_cache(maxsize=4096)(self.__call__)

    def __call__(self, *parts: str) -> str:
        """The hash of an identifier.

        Args:
            parts: the identifier, last, and before it what it is unique in; none of them may be raw anywhere else.

        Returns:
            Id of the key, colon, hash; empty when the identifier is.
        """
        return self._hashed("\x1f".join(parts)) if parts[-1] else ""


def event_id(processor: str, reference: Sequence[str]) -> str:
    """The id of the event that something a processor told becomes: the same whenever it tells it again.

    Args:
        processor: its slug.
        reference: what it calls the thing; see `Payment.reference`.

    Returns:
        A UUID of version 5 (RFC 9562 section 5.5).
    """
    begun = _BEGUN.copy()
    begun.update("\x1f".join((processor, *reference)).encode(errors="replace"))
    digest = bytearray(begun.digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def hasher_of(values: Values) -> Hasher:
    """The hashes of a node; its key must be set."""
    key = values[HASH_KEY]
    assert key is not None
    return Hasher(key)
