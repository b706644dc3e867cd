"""Many events at once: a JSON array or NDJSON, stored together, with one result for each."""

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import accumulate

import msgspec

from payflux.errors import InvalidEvent, StreamUnavailable
from payflux.event.decode import StoredEvent, decode_event, decode_events
from payflux.event.intake import BATCH_EVENTS
from payflux.event.items import items_of_array
from payflux.event.rules import BOM
from payflux.http.messages import Request, Respond, Response
from payflux.http.pipeline import defect
from payflux.ingest.admission import JSON_TYPES, Admission
from payflux.ingest.answers import BATCH_TOO_LARGE, INVALID_BATCH, fields, too_fast, unavailable
from payflux.ingest.counters import IngestCounters
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.ingest.single import TOGETHER
from payflux.stream.protocol import APPENDED, AppendStream
from payflux.telemetry.metrics import INGEST_REJECTED, Metrics

TURN_SECONDS = 0.002
"""So long batches are read in one turn of the loop, whoever sent them: others come between. A batch of a hundred
usual events takes a quarter of it."""

SLICE_BYTES, SMALL_SLICE_BYTES = 49_152, 4096
"""So much of a batch is read before the clock is looked at; and so much once it has taken longer than a turn. What is
usual is read fastest in large slices; the worst text there is takes about 10 ms for the first one."""

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
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """Prepare.

        Args:
            stream: where events go.
            gatekeeper: knows the keys and their rates.
            metrics: of this child.
            now: a monotonic clock.
            soon: runs something in the next turn of the loop; unset: the event loop does.
        """
        self._stream, self._metrics, self._bucket = stream, metrics, gatekeeper.bucket
        self._now, self._soon = now, soon
        self._unread: deque[tuple[_Batch, Respond]] = deque()
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
        only_errors = "errors" in request.query and "results=errors" in request.query.split("&")
        batch = _Batch(key, started, items, len(request.body), only_errors=only_errors)
        if self._unread or not self._read(batch, respond):
            self._unread.append((batch, respond))
            if len(self._unread) == 1:
                self._later()

    def _later(self) -> None:
        (self._soon or asyncio.get_running_loop().call_soon)(self._turn)

    def _turn(self) -> None:
        """Read for a while, a slice of each batch after the other; what is left has the next turn."""
        end = self._now() + TURN_SECONDS
        while self._unread:
            batch, respond = self._unread.popleft()
            left, over = not self._read(batch, respond), self._now() >= end
            if left:
                self._unread.append((batch.slowed() if over else batch, respond))
            if self._unread and over:
                self._later()
                return

    def _read(self, batch: "_Batch", respond: Respond) -> bool:
        """Read a slice of a batch; whether that was the last one, and it is on its way."""
        try:
            if not batch.read():
                return False
            if batch.events:
                self._stream.append(batch.events, partial(self._stored, batch, respond))
            else:
                self._stored(batch, respond, b"", None)
        except Exception as error:  # noqa: BLE001 - a defect of ours costs one batch, not those beside it
            respond(defect(error))
        return True

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

    def _stored(self, batch: "_Batch", respond: Respond, results: bytes, error: StreamUnavailable | None) -> None:
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
        self._counters.took(batch.started)


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
    """A batch: whose it is, since when it is here, what of it is valid, and what is to be said of each item."""

    def __init__(self, key: int, started: float, items: list[bytes], octets: int, *, only_errors: bool) -> None:
        self.key, self.started = key, started
        self.events: list[StoredEvent] = []
        self._refused: dict[int, tuple[str, bytes]] = {}  # its code, and what is said of it
        self._items, self._size = items, len(items)
        self._ends = [*accumulate(map(len, items))] if octets > SLICE_BYTES else []  # where slices may end
        self._at, self._slice = 0, SLICE_BYTES
        self._only_errors = only_errors

    def slowed(self) -> "_Batch":
        """The same, from now on read in small slices."""
        self._slice = SMALL_SLICE_BYTES
        return self

    def read(self) -> bool:
        """Read the next slice of the items; whether that was the last one."""
        start, items = self._at, self._items
        if self._ends:
            begun = self._ends[start - 1] if start else 0
            self._at = max(start + 1, bisect_right(self._ends, begun + self._slice))
            items = items[start : self._at]
        else:
            self._at = self._size
        together = decode_events(items) if len(items) >= TOGETHER else None
        if together:
            self.events += together
            start, items = start + len(together), items[len(together) :]
        self._read_each(start, items)
        return self._at >= self._size

    def _read_each(self, start: int, items: list[bytes]) -> None:
        for index, item in enumerate(items, start):
            try:
                self.events.append(decode_event(item))
            except InvalidEvent as error:
                self._refused[index] = (error.code, _refusal(index, item, error))

    def rejected(self, stored: int) -> list[str]:
        """Why each item that is not stored is not."""
        return [code for code, _ in self._refused.values()] + ["unavailable"] * (len(self.events) - stored)

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
                lines.append(self._refused[index][1])
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
