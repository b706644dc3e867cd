"""How processors prove that a webhook is theirs: codes over its very bytes, and a time that must be near.

Every comparison takes as long whether it fails early or late, and every live secret is tried.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence

from payflux.webhooks import Unverified

TOLERANCE_SECONDS = 300.0
"""How far the time of a signature may lie from ours, before or after: what Stripe and Standard Webhooks recommend."""


def check_time(stamp: float, now: float, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Refuse what was signed too long ago, a replay perhaps, and what was signed for later, which could become one.

    Raises:
        Unverified: it lies outside.
    """
    if not abs(now - stamp) <= tolerance:  # so written, what is not a number lies outside
        raise Unverified("timestamp_outside")


def check_code(given: Iterable[bytes], secrets: Sequence[bytes], code: Callable[[bytes], bytes]) -> None:
    """Refuse what none of the secrets has signed.

    Args:
        given: the codes that came with it, one of which must be right.
        secrets: the live ones.
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


def hex_code(secret: bytes, signed: bytes, digest: str = "sha256") -> bytes:
    """HMAC (RFC 2104) of what is signed, in lower-case hex."""
    return hmac.digest(secret, signed, digest).hex().encode()
