"""The producer's side: key, rate, validation, append, answer. Every HTTP status of an event is decided here."""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil

import msgspec

from payflux.auth import Gatekeeper
from payflux.errors import FieldError, InvalidEvent, StreamUnavailable
from payflux.event import StoredEvent, decode_event
from payflux.http import Lane, Request, Respond, Response, problem
from payflux.metrics import (
    AUTH_DENIED,
    BY_PROCESSOR,
    DURATION_BUCKETS,
    INGEST_ACCEPTED,
    INGEST_DUPLICATE,
    INGEST_DURATION,
    INGEST_REJECTED,
    Metrics,
)
from payflux.stream import APPENDED, AppendStream

BODY_BYTES = 1_048_576
BATCH_EVENTS = 1000
JSON_TYPES = (b"application/json",)
NDJSON_TYPES = (b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/jsonlines")

ACCEPTED = Response(202, b'{"status":"accepted"}')
DUPLICATE = Response(202, b'{"status":"duplicate"}')
UNAUTHORIZED = problem(
    401, "unauthorized", "send a valid key as Authorization: Bearer KEY", headers=[(b"WWW-Authenticate", b"Bearer")]
)
BODY_TOO_LARGE = problem(413, "body_too_large", f"a body may have {BODY_BYTES} bytes at most")
BAD_ENCODING = problem(
    415, "unsupported_encoding", "send the body without Content-Encoding", headers=[(b"Accept-Encoding", b"identity")]
)
INVALID_BATCH = problem(
    400,
    "invalid_batch",
    "a batch is a JSON array of at least one event; one event a line takes Content-Type: application/x-ndjson",
)
BATCH_TOO_LARGE = problem(400, "batch_too_large", f"a batch may have {BATCH_EVENTS} events at most")

_NOBODY: tuple[None, None] = (None, None)
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Named(msgspec.Struct):
    event_id: str


_named = msgspec.json.Decoder(_Named).decode


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

    def accepted(self, processor: str) -> None:
        """One event was appended."""
        self._values[self._accepted] += 1
        self._values[self._processor + self._metrics.processors.index(processor)] += 1

    def duplicate(self) -> None:
        """One event was there already."""
        self._values[self._duplicate] += 1

    def took(self, started: float) -> None:
        """A request was answered."""
        seconds = self.now() - started
        self._values[self._duration + bisect_left(DURATION_BUCKETS, seconds)] += 1
        self._values[self._sum] += seconds


class Ingest(Door):
    """Single events: `POST /v1/events/payment_exhaust`."""

    def __init__(
        self,
        stream: AppendStream,
        gatekeeper: Gatekeeper,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(gatekeeper, metrics, JSON_TYPES)
        self._stream = stream
        self._take = gatekeeper.bucket.take
        self._counts = Counts(metrics, now)
        self._now = now

    def handle(self, request: Request, respond: Respond) -> None:
        """Store one event and answer 202, or say why not."""
        self._store(self.key(request), request.body, respond)

    def lane(self, key: int) -> Lane:
        """Store events of this key."""
        return partial(self._store, key)

    def _store(self, key: int, body: bytes, respond: Respond) -> None:
        started = self._now()
        wait = self._take(key, 1)
        if wait:
            respond(self.limited(wait))
            return
        try:
            event = decode_event(body)
        except InvalidEvent as error:
            respond(self.refused(error.code, invalid(error)))
            return
        self._stream.append((event,), partial(self._stored, event.processor, started, respond))

    def _stored(
        self, processor: str, started: float, respond: Respond, results: bytes, error: StreamUnavailable | None
    ) -> None:
        counts = self._counts
        if error is not None:
            respond(self.refused("unavailable", unavailable(error)))
        elif results[0] == APPENDED:
            counts.accepted(processor)
            respond(ACCEPTED)
        else:
            counts.duplicate()
            respond(DUPLICATE)
        counts.took(started)


class IngestBatch(Door):
    """Many events at once: `POST /v1/events/payment_exhaust/batch`."""

    def __init__(
        self,
        stream: AppendStream,
        gatekeeper: Gatekeeper,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(gatekeeper, metrics, (*JSON_TYPES, *NDJSON_TYPES))
        self._stream = stream
        self._bucket = gatekeeper.bucket
        self._counts = Counts(metrics, now)

    def handle(self, request: Request, respond: Respond) -> None:
        """Store what is valid and answer with one result for each event."""
        started = self._counts.now()
        key = self.key(request)
        wait = self._bucket.wait(key)
        if wait:
            respond(self.limited(wait))
            return
        try:
            items = split(request)
        except ValueError:
            self._bucket.take(key, 1)
            respond(self.refused("invalid_batch", INVALID_BATCH))
            return
        if len(items) > BATCH_EVENTS:
            self._bucket.take(key, 1)
            respond(self.refused("batch_too_large", BATCH_TOO_LARGE))
            return
        wait = self._bucket.take(key, len(items))
        if wait:
            respond(self.limited(wait))
            return
        batch = _Batch(items, "errors" in request.query and "results=errors" in request.query.split("&"))
        answer = partial(self._stored, batch, started, respond)
        if batch.events:
            self._stream.append(batch.events, answer)
        else:
            answer(b"", None)

    def _stored(
        self, batch: "_Batch", started: float, respond: Respond, results: bytes, error: StreamUnavailable | None
    ) -> None:
        if error is not None and not results:
            for _ in batch.events:
                self._metrics.add(INGEST_REJECTED, "unavailable")
            respond(unavailable(error))
        else:
            for event, result in zip(batch.events, results, strict=False):
                if result == APPENDED:
                    self._counts.accepted(event.processor)
                else:
                    self._counts.duplicate()
            for reason in batch.rejected(len(results)):
                self._metrics.add(INGEST_REJECTED, reason)
            respond(Response(200, batch.report(results, error)))
        self._counts.took(started)


def split(request: Request) -> list[bytes]:
    """The events of a batch, still encoded.

    Raises:
        ValueError: the body is neither what its Content-Type says nor anything with an event in it.
    """
    content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type in NDJSON_TYPES:
        items = [line for line in request.body.split(b"\n") if line and not line.isspace()]
    else:
        try:
            items = [bytes(item) for item in _items(request.body)[: BATCH_EVENTS + 1]]  # one too many is enough to know
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ValueError from None
    if not items:
        raise ValueError
    return items


class _Batch:
    """A batch: what of it is valid, and what is to be said of each item."""

    def __init__(self, items: Sequence[bytes], only_errors: bool) -> None:  # noqa: FBT001
        self.events: list[StoredEvent] = []
        self._refused: dict[int, tuple[bytes, InvalidEvent]] = {}
        self._size = len(items)
        self._only_errors = only_errors
        for index, item in enumerate(items):
            try:
                self.events.append(decode_event(item))
            except InvalidEvent as error:
                self._refused[index] = (item, error)

    def rejected(self, stored: int) -> list[str]:
        """Why each item that is not stored is not."""
        return [error.code for _, error in self._refused.values()] + ["unavailable"] * (len(self.events) - stored)

    def report(self, results: bytes, failure: StreamUnavailable | None) -> bytes:
        """The answer: counts, and one result for each item in order."""
        accepted = results.count(b"1")
        rejected = self._size - len(results)
        head = b'{"accepted":%d,"duplicates":%d,"rejected":%d,"results":[' % (
            accepted,
            len(results) - accepted,
            rejected,
        )
        return head + b",".join(self._results(results, failure)) + b"]}"

    def _results(self, results: bytes, failure: StreamUnavailable | None) -> list[bytes]:
        lines = []
        at = 0
        for index in range(self._size):
            if index in self._refused:
                lines.append(_refusal(index, *self._refused[index]))
                continue
            event_id = self.events[at].event_id
            if at >= len(results):
                code = failure.code if failure else "unavailable"
                lines.append(
                    b'{"index":%d,"event_id":"%b","status":"rejected","code":"%b","errors":[]}'
                    % (index, event_id.encode(), code.encode())
                )
            elif not self._only_errors:
                status = b"accepted" if results[at] == APPENDED else b"duplicate"
                lines.append(b'{"index":%d,"event_id":"%b","status":"%b"}' % (index, event_id.encode(), status))
            at += 1
        return lines


def _refusal(index: int, item: bytes, error: InvalidEvent) -> bytes:
    event_id = _sure_id(item, error)
    return msgspec.json.encode(
        {"index": index, "event_id": event_id, "status": "rejected", "code": error.code, "errors": fields(error.errors)}
    )


def _sure_id(item: bytes, error: InvalidEvent) -> str | None:
    """The id of a refused event; None unless it is known to be a UUID, as anything else must not be repeated."""
    if error.code in ("invalid_json", "duplicate_member") or any(e.field == "event_id" for e in error.errors):
        return None
    try:
        return _named(item).event_id.lower()
    except (msgspec.DecodeError, RecursionError):  # half a surrogate pair or deep nesting in a member that is not ours
        return None
