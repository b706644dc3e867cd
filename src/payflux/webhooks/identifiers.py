"""Identifiers of processors: what becomes of them before anything is stored.

A raw id leads whoever reads a stream or a log to an account, a payment or a person, and many are short enough to be
found by trying. So they are kept as keyed hashes alone, and the id of the key stands before each, so that hashes of
before and after a change of key are not taken for each other.
"""

import hashlib
import uuid
from collections.abc import Sequence
from functools import lru_cache

from payflux.settings import Values, optional

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


_BLOCK = 64


class Hasher:
    """Keyed hashes of identifiers: HMAC-SHA-256 (RFC 2104), its first 128 bits in hex, behind the id of the key.

    Its halves are begun once for all identifiers, which halves the cost.

    Args:
        key: the value of `PAYFLUX_HASH_KEY`.

    Attributes:
        owner: the same for whose an event is, which repeats from one to the next, as ids of payments do not.
    """

    def __init__(self, key: str) -> None:
        secret = key.encode(errors="replace")
        padded = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
        self._inner, self._outer = (hashlib.sha256(bytes(byte ^ pad for byte in padded)).copy for pad in (0x36, 0x5C))
        self._prefix = self._digest(b"key id")[:_KEY_DIGITS] + ":"
        self.owner = lru_cache(maxsize=4096)(self.__call__)

    def _digest(self, text: bytes) -> str:
        first, second = self._inner(), self._outer()
        first.update(text)
        second.update(first.digest())
        return second.hexdigest()

    def __call__(self, *parts: str) -> str:
        """The hash of an identifier.

        Args:
            parts: the identifier, last, and before it what it is unique in; none of them may be raw anywhere else.

        Returns:
            Id of the key, colon, hash; empty when the identifier is.
        """
        if not parts[-1]:
            return ""
        return self._prefix + self._digest("\x1f".join(parts).encode(errors="replace"))[:_HASH_DIGITS]


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
