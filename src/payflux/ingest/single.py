"""The producer's side: key, rate, validation, append, answer. Every HTTP status of an event is decided here.

Single events; `payflux.ingest.batch` takes many at once.
"""

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil

from payflux.errors import FieldError, InvalidEvent, StreamUnavailable
from payflux.event.decode import StoredEvent, decode_event, decode_events
from payflux.http.limits import INTERNAL_ERROR
from payflux.http.messages import Lane, Request, Respond, Response, problem
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.log import log
from payflux.stream.protocol import APPENDED, AppendStream
from payflux.telemetry.metrics import (
    AUTH_DENIED,
    BY_PROCESSOR,
    DURATION_BUCKETS,
    INGEST_ACCEPTED,
    INGEST_DUPLICATE,
    INGEST_DURATION,
    INGEST_REJECTED,
    Metrics,
)

BODY_BYTES = 1_048_576
TOGETHER = 8  # events that arrive together are decoded together from here on
JSON_TYPES = (b"application/json",)

ACCEPTED = Response(202, b'{"status":"accepted"}')
DUPLICATE = Response(202, b'{"status":"duplicate"}')
UNAUTHORIZED = problem(
    401, "unauthorized", "send a valid key as Authorization: Bearer KEY", headers=[(b"WWW-Authenticate", b"Bearer")]
)
BODY_TOO_LARGE = problem(413, "body_too_large", f"a body may have {BODY_BYTES} bytes at most")
BAD_ENCODING = problem(
    415, "unsupported_encoding", "send the body without Content-Encoding", headers=[(b"Accept-Encoding", b"identity")]
)
Arrived = tuple[int, bytes, Respond]
"""An event that waits to be worked off: the number of its key, its body, and who waits for the answer."""

_NOBODY: tuple[None, None] = (None, None)


def bad_type(*allowed: bytes) -> Response:
    """The refusal of another Content-Type."""
    names = b" or ".join(allowed).decode()
    return problem(
        415, "unsupported_media_type", f"send Content-Type: {names}", headers=[(b"Accept", b", ".join(allowed))]
    )


def too_fast(seconds: float) -> Response:
    """The refusal of a key that is over its rate, with how long to wait."""
    wait = str(max(1, ceil(seconds))).encode()
    return problem(429, "rate_limited", "this key sends too fast", headers=[(b"Retry-After", wait)])


class Door:
    """What single events and batches have in common: key, size, content type and encoding, in this order."""

    def __init__(self, gatekeeper: Gatekeeper, metrics: Metrics, types: Sequence[bytes]) -> None:
        self._gatekeeper, self._metrics = gatekeeper, metrics
        self._types = frozenset(types)
        self._bad_type = bad_type(*types)

    def admit(self, request: Request) -> Response | None:
        """Judge a request by its head."""
        headers = request.headers
        if request.connection.get(self, _NOBODY)[0] is headers:
            return None  # the server gives equal heads as one object: this one was let in before
        authorization = headers.get(b"authorization")
        key = self._gatekeeper.identify(authorization, request.connection)
        if key is None:
            self._metrics.add(AUTH_DENIED, "missing" if authorization is None else "invalid")
            return self.refused("unauthorized", UNAUTHORIZED)
        if request.content_length is not None and request.content_length > BODY_BYTES:
            return self.refused("body_too_large", BODY_TOO_LARGE)
        content_type = headers.get(b"content-type", b"")
        if content_type not in self._types and content_type.partition(b";")[0].strip().lower() not in self._types:
            return self.refused("unsupported_media_type", self._bad_type)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return self.refused("unsupported_encoding", BAD_ENCODING)
        request.connection[self] = (headers, key)
        request.lane = self.lane(key)
        return None

    def lane(self, key: int) -> Lane | None:  # noqa: ARG002 - the parameter is for those who have one
        """What further requests with an admitted head may take; None: they are handled like the first."""
        return None

    def key(self, request: Request) -> int:
        """The number of an admitted request's key. It may have waited behind others, and the next may carry another."""
        headers, known = request.connection.get(self, _NOBODY)
        if headers is request.headers:
            return int(known)
        key = self._gatekeeper.identify(request.headers.get(b"authorization"), request.connection)
        assert key is not None
        return key

    def limited(self, seconds: float) -> Response:
        """The refusal of a key that is too fast."""
        return self.refused("rate_limited", too_fast(seconds))

    def refused(self, reason: str, response: Response) -> Response:
        """Count a refusal and pass it on."""
        self._metrics.add(INGEST_REJECTED, reason)
        return response


def unavailable(error: StreamUnavailable) -> Response:
    """What is answered when Redis did not confirm: whether the event is stored is unknown, sending it again is safe."""
    detail = "the buffer did not confirm; sending the same events again is safe"
    return problem(503, error.code, detail, headers=[(b"Retry-After", b"1")])


def invalid(error: InvalidEvent) -> Response:
    """The refusal of an event, naming every bad field."""
    return problem(400, error.code, str(error), errors=fields(error.errors))


def fields(errors: Sequence[FieldError]) -> list[dict[str, str]]:
    """Field errors as they stand in an answer."""
    return [{"field": error.field, "code": error.code, "message": error.message} for error in errors]


class Counts:
    """Counts what was stored, with its slots at hand."""

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


class Ingest(Door):
    """Single events: `POST /v1/events/payment_exhaust`."""

    def __init__(
        self,
        stream: AppendStream,
        gatekeeper: Gatekeeper,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """Prepare.

        Args:
            stream: where events go.
            gatekeeper: knows the keys and their rates.
            metrics: of this child.
            now: a monotonic clock.
            soon: runs something when everything that arrived together has been read; unset: the event loop does.
        """
        super().__init__(gatekeeper, metrics, JSON_TYPES)
        self._stream = stream
        self._bucket = gatekeeper.bucket
        self._counts = Counts(metrics, now)
        self._now = now
        self._soon = soon or asyncio.get_running_loop().call_soon
        self._arrived: list[Arrived] = []
        self._since = 0.0

    def handle(self, request: Request, respond: Respond) -> None:
        """Store one event and answer 202, or say why not."""
        self._arrive(self.key(request), request.body, respond)

    def lane(self, key: int) -> Lane:
        """Store events of this key."""
        return partial(self._arrive, key)

    def _arrive(self, key: int, body: bytes, respond: Respond) -> None:
        """Keep it until all that came with it is there: what is done for many at once costs each of them less."""
        self._arrived.append((key, body, respond))
        if len(self._arrived) == 1:
            self._since = self._now()
            self._soon(self._work)

    def _work(self) -> None:
        arrived, self._arrived = self._arrived, []
        over = self._over_rate(arrived)
        if over:
            arrived = [one for one in arrived if one[0] not in over or self._passes(one)]
        events, waiting = self._decode_together(arrived) or self._decode(arrived)
        if events:
            self._stream.append(events, partial(self._stored, events, waiting, self._since))

    def _decode_together(self, arrived: Sequence[Arrived]) -> tuple[list[StoredEvent], list[Respond]] | None:
        """All of them; None when they are few, or one of them is not plainly valid."""
        if len(arrived) < TOGETHER:
            return None
        try:
            events = decode_events([body for _, body, _ in arrived])
        except Exception:  # noqa: BLE001 - a defect of ours: one by one it costs the request it belongs to
            return None
        return None if events is None else (events, [respond for _, _, respond in arrived])

    def _passes(self, one: Arrived) -> bool:
        """Whether an event is within the rate of its key; answers it when not."""
        key, _, respond = one
        wait = self._bucket.take(key, 1)
        if wait:
            respond(self.limited(wait))
        return not wait

    def _decode(self, arrived: Sequence[Arrived]) -> tuple[list[StoredEvent], list[Respond]]:
        """The valid events, and who waits for each; the others are answered."""
        events: list[StoredEvent] = []
        waiting: list[Respond] = []
        for _, body, respond in arrived:
            try:
                event = decode_event(body)
            except InvalidEvent as error:
                respond(self.refused(error.code, invalid(error)))
            except Exception as error:  # noqa: BLE001 - a defect of ours costs one request, not those beside it
                log("error", "handler_failed", error=type(error).__name__)
                respond(INTERNAL_ERROR)
            else:
                events.append(event)
                waiting.append(respond)
        return events, waiting

    def _over_rate(self, arrived: Sequence[Arrived]) -> set[int]:
        """The keys not all of whose events may pass; the others have paid for theirs."""
        counts = Counter([key for key, _, _ in arrived])
        return {key for key, n in counts.items() if not self._bucket.take_each(key, n)}

    def _stored(
        self,
        events: Sequence[StoredEvent],
        waiting: Sequence[Respond],
        since: float,
        results: bytes,
        error: StreamUnavailable | None,
    ) -> None:
        self._counts.took(since, len(waiting))
        self._counts.stored([event.processor for event in events], results)
        if results.count(APPENDED) == len(waiting):
            for respond in waiting:
                respond(ACCEPTED)
            return
        for respond, result in zip(waiting, results, strict=False):
            respond(ACCEPTED if result == APPENDED else DUPLICATE)
        if error is not None:
            refusal = unavailable(error)
            for respond in waiting[len(results) :]:
                respond(self.refused("unavailable", refusal))
