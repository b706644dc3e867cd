"""How fast a key may send: one token bucket per key, shared by all processes of the node."""

import time
from collections.abc import Callable

from payflux.settings import Setting, integer
from payflux.telemetry.slab import Slab

RATELIMIT_RPS = Setting("PAYFLUX_RATELIMIT_RPS", integer(1, 10_000_000), "100", "Events per second and key.")
RATELIMIT_BURST = Setting(
    "PAYFLUX_RATELIMIT_BURST", integer(1, 10_000_000), "500", "Events a key may send at once after a rest."
)
BUCKETS = "buckets"
"""The part of the shared memory that holds them."""


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
