"""A sliding window over one processor's events: counts in buckets of stream time that expire."""

from collections import deque
from operator import sub

from payflux.event.outcome import Outcome

BUCKET_SEC = 10
BUCKET_MS = BUCKET_SEC * 1000

MAX_GEOS = 256
"""Geographies remembered per window: more than ISO 3166-1 has countries."""

Counts = tuple[int, ...]
"""Events, successes, failures, timeouts, authentication failures, retries: of one bucket, or of several together."""


class Window:
    """The last `ceil(window_sec / 10)` buckets of 10 s, the current one included.

    Only buckets that hold events are kept, and only running totals are counted up: what the current bucket holds is
    their growth since it opened. So an event costs O(1), and a bucket is subtracted once, when it expires. An event
    older than the current bucket is counted into the current one.

    Attributes:
        events: how many events lie in the window.
        successes: how many of them are successes.
        failures: how many of them are failures.
        timeouts: how many failures are timeouts.
        auth_failures: how many failures are failures of authentication.
        retries: the sum of the retry counts of all events.
        earlier_events: how many events lie in other buckets than the current one.
        earlier_buckets: how many other buckets hold them.
        ends_ms: the stream time at which the current bucket is over.
        geos: the distinct geographies, the `MAX_GEOS` seen last, oldest first, and the bucket each was last seen in.
    """

    __slots__ = (
        "_closed",
        "_length",
        "_number",
        "_opened",
        "auth_failures",
        "earlier_buckets",
        "earlier_events",
        "ends_ms",
        "events",
        "failures",
        "geos",
        "retries",
        "successes",
        "timeouts",
    )

    def __init__(self, window_sec: int) -> None:
        self._length = -(-window_sec // BUCKET_SEC)
        self._number = 0
        self.ends_ms = BUCKET_MS
        self._opened: Counts = (0, 0, 0, 0, 0, 0)  # the totals when the current bucket opened
        self._closed: deque[tuple[int, Counts]] = deque()  # number and counts of each earlier bucket, oldest first
        self.geos: dict[str, int] = {}
        self.events = self.successes = self.failures = self.timeouts = self.auth_failures = self.retries = 0
        self.earlier_events = self.earlier_buckets = 0

    def add(self, at_ms: int, outcome: Outcome, retry_count: int, geo: str) -> None:
        """Count one event.

        Args:
            at_ms: its stream time in milliseconds.
            outcome: what it says.
            retry_count: its retries, 0 or more.
            geo: its geography; an empty one is none.
        """
        if at_ms >= self.ends_ms:
            self._open(at_ms // BUCKET_MS)
        self.events += 1
        if retry_count:
            self.retries += retry_count
        kind = outcome.kind
        if kind == "success":
            self.successes += 1
        elif kind == "failure":
            self.failures += 1
            if outcome.timeout:
                self.timeouts += 1
            if outcome.auth:
                self.auth_failures += 1
        if geo and self.geos.get(geo) != self._number:
            self._see(geo)

    def ahead(self, at_ms: int) -> "Window":
        """A copy of the window, moved forward to a stream time at or after `ends_ms`.

        Looking ahead in a copy never changes what later events add up to, whatever clock the one who looks goes by.
        """
        ahead = Window(self._length * BUCKET_SEC)
        ahead._restore(self._totals())
        ahead._opened = self._opened
        ahead._closed = self._closed.copy()
        ahead._number = self._number
        ahead.geos = self.geos.copy()
        ahead._open(at_ms // BUCKET_MS)
        return ahead

    def _open(self, number: int) -> None:
        totals = self._totals()
        if totals[0] > self._opened[0]:
            self._closed.append((self._number, tuple(map(sub, totals, self._opened))))
        expired = number - self._length
        while self._closed and self._closed[0][0] <= expired:
            totals = tuple(map(sub, totals, self._closed.popleft()[1]))
        self._restore(totals)
        self._opened = totals
        self._number = number
        self.ends_ms = (number + 1) * BUCKET_MS
        self.earlier_events = self.events
        self.earlier_buckets = len(self._closed)
        self._forget_geos(expired)

    def _totals(self) -> Counts:
        return self.events, self.successes, self.failures, self.timeouts, self.auth_failures, self.retries

    def _restore(self, totals: Counts) -> None:
        self.events, self.successes, self.failures, self.timeouts, self.auth_failures, self.retries = totals

    def _see(self, geo: str) -> None:
        self.geos.pop(geo, None)  # inserted anew, so that the order of the dict stays that of the buckets
        if len(self.geos) == MAX_GEOS:
            del self.geos[next(iter(self.geos))]
        self.geos[geo] = self._number

    def _forget_geos(self, expired: int) -> None:
        while self.geos:
            oldest = next(iter(self.geos))
            if self.geos[oldest] > expired:
                return
            del self.geos[oldest]
