"""Who may send, and how fast: keys compared in constant time, and one token bucket per key for the whole node."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Any

from payflux.settings import Setting, Values, integer, optional, words
from payflux.telemetry.slab import Slab

API_KEYS = optional(
    "PAYFLUX_API_KEYS", words, "Valid keys, separated by commas; several at once allow rotation.", secret=True
)


def _one_key(text: str) -> tuple[str, ...]:
    if "," in text:
        raise ValueError("one key without commas; PAYFLUX_API_KEYS takes several")
    return (text,)


API_KEY = optional(
    "PAYFLUX_API_KEY",
    _one_key,
    "One key, used when PAYFLUX_API_KEYS is unset. One of the two is required.",
    secret=True,
)
RATELIMIT_RPS = Setting("PAYFLUX_RATELIMIT_RPS", integer(1, 10_000_000), "100", "Events per second and key.")
RATELIMIT_BURST = Setting(
    "PAYFLUX_RATELIMIT_BURST", integer(1, 10_000_000), "500", "Events a key may send at once after a rest."
)
BUCKETS = "buckets"
_BEARER = b"bearer "


def check_a_key(values: Values) -> list[str]:
    """The rule that there is a key."""
    return [] if keys_of(values) else ["PAYFLUX_API_KEYS (or PAYFLUX_API_KEY): expected at least one key, none is set"]


def check_keys(values: Values) -> list[str]:
    """The rule that each key can stand in a header."""
    keys = keys_of(values)
    name = "PAYFLUX_API_KEYS" if values[API_KEYS] else "PAYFLUX_API_KEY"
    if any(not key.isascii() or not key.isprintable() or " " in key for key in keys):
        return [f"{name}: expected keys of printable ASCII characters without blanks, one is not (value masked)"]
    return []


def keys_of(values: Values) -> tuple[str, ...]:
    """The configured keys, each once."""
    several, one = values[API_KEYS], values[API_KEY]
    return tuple(dict.fromkeys(several or one or ()))


class TokenBucket:
    """A rate for each key, kept as one timestamp (GCRA, ITU-T I.371): when the bucket will be full again.

    Args:
        rate: tokens per second.
        burst: tokens in a full bucket.
        slab: where the node's processes share the timestamps.
        alone: no other process uses them, so they need no lock.
        now: a monotonic clock all processes of the machine share.
    """

    def __init__(
        self, rate: int, burst: int, slab: Slab, *, alone: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / rate
        self._burst = burst
        self._span = burst * self._interval  # not burst / rate: a full bucket has to be full to the last bit
        self._slab, self._full_at = slab, slab.doubles(BUCKETS)
        self._alone, self._now = alone, now

    def take(self, key: int, tokens: int) -> float:
        """Take tokens if the bucket of a key has them.

        More than a full bucket holds are given when it is full, and leave it in debt.

        Returns:
            0 when they were taken, else the seconds until they could be.
        """
        if self._alone:
            return self._take(key, tokens)
        with self._slab.locked(BUCKETS):
            return self._take(key, tokens)

    def take_each(self, key: int, requests: int) -> bool:
        """Take one token for each of several requests, if the bucket has them all; else none is taken.

        What `take` would grant them one by one; asked once, as the lock costs more than all the rest.
        """
        return requests <= self._burst and not self.take(key, requests)

    def _take(self, key: int, tokens: int) -> float:
        now = self._now()
        full_at = self._full_at[key]
        if full_at < now:  # noqa: PLR1730 - max() costs a call, and this is on the path of every event
            full_at = now
        wait = full_at - now - self._span + (tokens if tokens < self._burst else self._burst) * self._interval  # noqa: FURB136
        if wait > 1e-9:
            return wait
        self._full_at[key] = full_at + tokens * self._interval
        return 0.0

    def wait(self, key: int) -> float:
        """The seconds until one token could be taken; 0 when it could be now."""
        now = self._now()
        wait = max(self._full_at[key], now) - now - self._span + self._interval
        return wait if wait > 1e-9 else 0.0


class Gatekeeper:
    """Tells whose key a request carries.

    Args:
        keys: the valid ones.
        bucket: their rates.
    """

    def __init__(self, keys: Sequence[str], bucket: TokenBucket) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]
        self.bucket = bucket

    def identify(self, authorization: bytes | None, connection: dict[str, Any]) -> int | None:
        """Which key a header holds.

        Every key is compared, with its digest, so that the time says nothing about any of them. What a connection
        proved before is compared in constant time too.

        Args:
            authorization: the header's value: `Bearer` in any letter case, one blank, the key.
            connection: where the answer is remembered for the connection's next request.

        Returns:
            The key's number; None when it is missing or wrong.
        """
        if authorization is None:
            return None
        proved = connection.get("authorization")
        if proved is not None and hmac.compare_digest(proved[0], authorization):
            number: int = proved[1]
            return number
        if authorization[:7].lower() != _BEARER:
            return None
        digest = hashlib.sha256(authorization[7:]).digest()
        found = None
        for index, known in enumerate(self._digests):
            if hmac.compare_digest(digest, known):
                found = index
        if found is not None:
            connection["authorization"] = (authorization, found)
        return found
