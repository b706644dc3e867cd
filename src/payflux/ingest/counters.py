"""What is counted of events that come in: stored, refused by the handlers, refused by the HTTP server before them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from payflux.http.limits import BODY_TOO_LARGE, TIMED_OUT
from payflux.http.messages import Request, Response
from payflux.stream.protocol import APPENDED
from payflux.telemetry.metrics import (
    BY_PROCESSOR,
    DURATION_BUCKETS,
    INGEST_ACCEPTED,
    INGEST_DUPLICATE,
    INGEST_DURATION,
    INGEST_REJECTED,
    Metrics,
)

CUT_SHORT = {BODY_TOO_LARGE: "body_too_large", TIMED_OUT: "request_timeout"}
"""Why the HTTP server refuses a request that was let in: it reads the body, so no handler sees it."""


class IngestCounters:
    """Counts events and requests, with the slots of what is counted for each event at hand.

    Args:
        metrics: of this child.
        now: a monotonic clock.
    """

    def __init__(self, metrics: Metrics, now: Callable[[], float]) -> None:
        self._metrics, self._values, self.now = metrics, metrics.values, now
        self._accepted = metrics.slot(INGEST_ACCEPTED)
        self._duplicate = metrics.slot(INGEST_DUPLICATE)
        self._processor = metrics.slot(BY_PROCESSOR, 0)
        self._duration = metrics.slot(INGEST_DURATION)
        self._sum = self._duration + len(DURATION_BUCKETS) + 1

    def stored(self, processors: Sequence[str], results: bytes) -> None:
        """Count events by what became of them.

        Args:
            processors: of each event.
            results: `APPENDED` or `DUPLICATE` for each, as far as it is known.
        """
        values, appended = self._values, results.count(APPENDED)
        values[self._accepted] += appended
        values[self._duplicate] += len(results) - appended
        if appended < len(processors):
            processors = [name for name, result in zip(processors, results, strict=False) if result == APPENDED]
        for processor, n in Counter(processors).items():
            values[self._processor + self._metrics.processors.index(processor)] += n

    def took(self, started: float, requests: int = 1) -> None:
        """Requests were answered."""
        seconds = self.now() - started
        self._values[self._duration + bisect_left(DURATION_BUCKETS, seconds)] += requests
        self._values[self._sum] += seconds * requests

    def refuse(self, reason: str, response: Response) -> Response:
        """Count a refusal and pass it on."""
        self._metrics.add(INGEST_REJECTED, reason)
        return response


class CutShortCounter:
    """Counts what the HTTP server refused by itself on the paths that take events in.

    Args:
        metrics: of this child.
        paths: those that take events in.
    """

    def __init__(self, metrics: Metrics, paths: Collection[str]) -> None:
        self._metrics, self._paths = metrics, paths

    def __call__(self, request: Request, response: Response) -> None:
        """Note that the server gave this answer before the request was complete."""
        reason = CUT_SHORT.get(response)
        if reason is not None and request.path in self._paths:
            self._metrics.add(INGEST_REJECTED, reason)
