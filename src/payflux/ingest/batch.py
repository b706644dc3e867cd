"""Many events at once: a JSON array or NDJSON, stored together, with one result for each."""

import time
from collections.abc import Callable
from functools import partial

import msgspec

from payflux.errors import InvalidEvent, StreamUnavailable
from payflux.event.decode import StoredEvent, decode_event, decode_events
from payflux.event.intake import BATCH_EVENTS
from payflux.event.items import items_of_array
from payflux.event.rules import BOM
from payflux.http.messages import Request, Respond, Response
from payflux.ingest.admission import JSON_TYPES, Admission
from payflux.ingest.answers import BATCH_TOO_LARGE, INVALID_BATCH, fields, too_fast, unavailable
from payflux.ingest.counters import IngestCounters
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.ingest.single import TOGETHER
from payflux.stream.protocol import APPENDED, AppendStream
from payflux.telemetry.metrics import INGEST_REJECTED, Metrics

NDJSON_TYPES = (b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/jsonlines")


_STARTS = [f'{{"index":{index},"event_id":"' for index in range(BATCH_EVENTS)]
_ACCEPTED = '","status":"accepted"},'


class _Named(msgspec.Struct):
    event_id: str


_named = msgspec.json.Decoder(_Named).decode


class IngestBatch:
    """Many events at once: `POST /v1/events/payment_exhaust/batch`.

    Attributes:
        admit: judges a request by its head.
    """

    def __init__(
        self,
        stream: AppendStream,
        gatekeeper: Gatekeeper,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._metrics, self._bucket = stream, metrics, gatekeeper.bucket
        self._counters = IngestCounters(metrics, now)
        self._refuse = self._counters.refuse
        self._admission = Admission(gatekeeper, metrics, (*JSON_TYPES, *NDJSON_TYPES), self._refuse)
        self.admit = self._admission.admit

    def handle(self, request: Request, respond: Respond) -> None:
        """Store what is valid and answer with one result for each event."""
        started = self._counters.now()
        key = self._admission.key(request)
        items = self._paid(key, request, respond)
        if items is None:
            return
        self._counters.taken(key, len(items))
        batch = _Batch(key, items, "errors" in request.query and "results=errors" in request.query.split("&"))
        answer = partial(self._stored, batch, started, respond)
        if batch.events:
            self._stream.append(batch.events, answer)
        else:
            answer(b"", None)

    def _paid(self, key: int, request: Request, respond: Respond) -> list[bytes] | None:
        """The items of a batch whose key has paid for them; None after a refusal. What cannot be read costs one."""
        wait = self._bucket.wait(key)
        if wait:
            respond(self._refuse("rate_limited", too_fast(wait)))
            return None
        try:
            items = split(request)
        except ValueError:
            self._bucket.take(key, 1)
            respond(self._refuse("invalid_batch", INVALID_BATCH))
            return None
        if len(items) > BATCH_EVENTS:
            self._bucket.take(key, 1)
            respond(self._refuse("batch_too_large", BATCH_TOO_LARGE))
            return None
        wait = self._bucket.take(key, len(items))
        if wait:
            respond(self._refuse("rate_limited", too_fast(wait)))
            return None
        return items

    def _stored(
        self, batch: "_Batch", started: float, respond: Respond, results: bytes, error: StreamUnavailable | None
    ) -> None:
        if error is not None and not results:
            for _ in batch.events:
                self._metrics.add(INGEST_REJECTED, "unavailable")
            respond(unavailable(error))
        else:
            self._counters.stored([event.processor for event in batch.events], results)
            if repeated := len(results) - results.count(APPENDED):
                self._counters.repeated(batch.key, repeated)
            for reason in batch.rejected(len(results)):
                self._metrics.add(INGEST_REJECTED, reason)
            respond(Response(200, batch.report(results, error)))
        self._counters.took(started)


def split(request: Request) -> list[bytes]:
    """The events of a batch, still encoded.

    Raises:
        ValueError: the body is neither what its Content-Type says nor anything with an event in it.
    """
    body = request.body.removeprefix(BOM)
    content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type in NDJSON_TYPES:
        items = [line for line in body.split(b"\n") if line.strip()]
    else:
        items = items_of_array(body, BATCH_EVENTS + 1)  # one too many is enough to know
    if not items:
        raise ValueError
    return items


class _Batch:
    """A batch: whose it is, what of it is valid, and what is to be said of each item."""

    def __init__(self, key: int, items: list[bytes], only_errors: bool) -> None:  # noqa: FBT001
        self.key = key
        self.events: list[StoredEvent] = (decode_events(items) if len(items) >= TOGETHER else None) or []
        self._refused: dict[int, tuple[bytes, InvalidEvent]] = {}
        self._size = len(items)
        self._only_errors = only_errors
        for index, item in enumerate(() if self.events else items):
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
        if accepted == self._size and not self._only_errors:
            items = [start + event.event_id for start, event in zip(_STARTS, self.events, strict=False)]
            return head + _ACCEPTED.join(items).encode() + b'","status":"accepted"}]}'
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
