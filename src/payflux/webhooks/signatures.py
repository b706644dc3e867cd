"""How processors prove that a webhook is theirs: codes over its very bytes, and a time that must be near.

Every comparison takes as long whether it fails early or late, and every live secret is tried.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from payflux.webhooks import Unverified

T = TypeVar("T")

TOLERANCE_SECONDS = 300.0
"""How far the time of a signature may lie from ours, before or after: what Stripe and Standard Webhooks recommend."""

_BLOCK = 64


def check_time(stamp: float, now: float, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Refuse what was signed too long ago, a replay perhaps, and what was signed for later, which could become one.

    Raises:
        Unverified: it lies outside.
    """
    if not abs(now - stamp) <= tolerance:  # so written, what is not a number lies outside
        raise Unverified("timestamp_outside")


def check_code(given: Iterable[bytes], secrets: Sequence[T], code: Callable[[T], bytes]) -> None:
    """Refuse what none of the secrets has signed.

    Args:
        given: the codes that came with it, one of which must be right.
        secrets: the live ones, in the form `code` takes.
        code: the right code by a secret, written as those given are.

    Raises:
        Unverified: none is right, or there is none.
    """
    given = list(given)
    if not given:
        raise Unverified("signature_missing")
    for secret in secrets:
        expected = code(secret)
        for one in given:
            if hmac.compare_digest(expected, one):
                return  # which of the secrets it was is none itself
    raise Unverified("signature_wrong")


class Keyed:
    """HMAC-SHA-256 (RFC 2104) by one key, in lower-case hex, of many texts.

    Its halves take the key in once, and the digest is found by its name once: that is half of the cost of a short text.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, inner: Callable[[], Any], outer: Callable[[], Any]) -> None:
        self._inner, self._outer = inner, outer

    @classmethod
    def by(cls, key: bytes) -> "Keyed":
        """Codes by this key, of any length."""
        padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        return cls(*(hashlib.sha256(bytes(byte ^ pad for byte in padded)).copy for pad in (0x36, 0x5C)))

    def after(self, text: bytes) -> "Keyed":
        """Codes of texts that begin with this one, which is left away from then on."""
        begun = self._inner()
        begun.update(text)
        return Keyed(begun.copy, self._outer)

    def code(self, text: bytes) -> str:
        """The code of a text."""
        first, second = self._inner(), self._outer()
        first.update(text)
        second.update(first.digest())
        return second.hexdigest()  # type: ignore[no-any-return]


def hex_code(secret: bytes, signed: bytes, digest: str = "sha256") -> bytes:
    """HMAC (RFC 2104) of what is signed, in lower-case hex."""
    return hmac.digest(secret, signed, digest).hex().encode()
