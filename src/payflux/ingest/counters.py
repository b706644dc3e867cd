"""What is counted of events that come in: stored, refused by the handlers, refused by the HTTP server before them."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from payflux.client.card_numbers import contains_pan
from payflux.http.limits import BAD_REQUEST, BODY_TOO_LARGE, HEAD_TOO_LARGE, TIMED_OUT, TOO_MANY_CONNECTIONS
from payflux.http.messages import Request, Response
from payflux.log import Say, log
from payflux.stream.protocol import APPENDED
from payflux.telemetry.metrics import (
    BY_PROCESSOR,
    DURATION_BUCKETS,
    HTTP_REFUSED,
    INGEST_ACCEPTED,
    INGEST_DUPLICATE,
    INGEST_DURATION,
    INGEST_REJECTED,
    KEY_DUPLICATES,
    KEY_EVENTS,
    Metrics,
)

CUT_SHORT = {BODY_TOO_LARGE: "body_too_large", TIMED_OUT: "request_timeout"}
"""Why the HTTP server refuses a request that was let in: it reads the body, so no handler sees it."""

UNHANDLED = CUT_SHORT | {
    BAD_REQUEST: "bad_request",
    HEAD_TOO_LARGE: "head_too_large",
    TOO_MANY_CONNECTIONS: "too_many_connections",
}
UNROUTED = {404: "not_found", 405: "method_not_allowed"}
SAY_SECONDS = 60.0
PATH_CHARACTERS = 100


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
        self._of_key: dict[int, tuple[int, int]] = {}

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

    def stored_of(self, processor: int, results: bytes) -> None:
        """Count events of one processor by what became of them.

        Args:
            processor: its number among the processors of the metrics.
            results: `APPENDED` or `DUPLICATE` for each, as far as it is known.
        """
        values, appended = self._values, results.count(APPENDED)
        values[self._accepted] += appended
        values[self._duplicate] += len(results) - appended
        values[self._processor + processor] += appended

    def taken(self, key: int, events: int) -> None:
        """Count events that a key has paid for."""
        self._values[self._slots(key)[0]] += events

    def repeated(self, key: int, events: int) -> None:
        """Count those of them that were stored already."""
        self._values[self._slots(key)[1]] += events

    def _slots(self, key: int) -> tuple[int, int]:
        found = self._of_key.get(key)
        if found is None:
            name = self._metrics.keys.index(str(key + 1))
            found = self._metrics.slot(KEY_EVENTS, name), self._metrics.slot(KEY_DUPLICATES, name)
            self._of_key[key] = found
        return found

    def took(self, started: float, requests: int = 1) -> None:
        """Requests were answered."""
        seconds = self.now() - started
        self._values[self._duration + bisect_left(DURATION_BUCKETS, seconds)] += requests
        self._values[self._sum] += seconds * requests

    def refuse(self, reason: str, response: Response) -> Response:
        """Count a refusal and pass it on."""
        self._metrics.add(INGEST_REJECTED, reason)
        return response


class RefusalCounter:
    """Counts what no handler saw: refused by the router, or by the HTTP server itself. Says the first of each a minute.

    Args:
        metrics: of this child.
        paths: those that take events in.
        now: a monotonic clock.
        say: as `log`.
    """

    def __init__(
        self,
        metrics: Metrics,
        paths: Collection[str],
        now: Callable[[], float] = time.monotonic,
        say: Say = log,
    ) -> None:
        self._metrics, self._paths, self._now, self._say = metrics, paths, now, say
        self._silent_until: dict[str, float] = {}

    def __call__(self, request: Request, response: Response, peer: str) -> None:
        """Note what a request was answered by its head, or before it was complete; handlers count what they refuse."""
        reason = UNHANDLED.get(response) or UNROUTED.get(response.status)
        if reason is None:
            return
        self._metrics.add(HTTP_REFUSED, reason)
        if response in CUT_SHORT and request.path in self._paths:
            self._metrics.add(INGEST_REJECTED, reason)
        now = self._now()
        if now >= self._silent_until.get(reason, now):
            self._silent_until[reason] = now + SAY_SECONDS
            path = "" if contains_pan(request.path) else request.path[:PATH_CHARACTERS]
            self._say("warning", "http_refused", reason=reason, peer=peer, method=request.method, path=path)
