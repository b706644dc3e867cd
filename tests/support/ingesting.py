"""The producer's side without sockets and Redis: a stream in memory, and requests driven through a handler."""

import json
import os
import uuid
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.event.intake import BATCH_PATH, EVENT_PATH
from payflux.http.messages import Request, Response
from payflux.ingest.batch import IngestBatch
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.ingest.single import Ingest
from payflux.ingest.token_bucket import BUCKETS, TokenBucket
from payflux.operations.exposition import Exposition
from payflux.stream.protocol import APPENDED, DUPLICATE, OnAppended
from payflux.telemetry.metrics import Metrics, create_slab

KEYS = ("first-key-0123456789", "second-key-0123456789")
BEARER = {b"authorization": b"Bearer " + KEYS[0].encode()}
JSON = {**BEARER, b"content-type": b"application/json"}
NDJSON = {**BEARER, b"content-type": b"application/x-ndjson"}
PAN = "4111111111111111"


class MemoryStream:
    """Keeps events in memory, each id once; settles when told to, as a stream settles later.

    Attributes:
        entries: the data of the events, in order.
        room: how many events it still takes; after that it is as unavailable as `error`.
        error: what it says then.
    """

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.room = 10**9
        self.error = StreamUnavailable("redis_down", "connection refused")
        self._ids: set[str] = set()
        self._waiting: list[tuple[Sequence[StoredEvent], OnAppended]] = []

    def append(self, events: Sequence[StoredEvent], on_appended: OnAppended) -> None:
        """Note what is to be stored."""
        self._waiting.append((events, on_appended))

    async def probe(self) -> None:
        """It works while there is room."""
        if not self.room:
            raise self.error

    def work(self) -> None:
        """Store what was noted, and settle it."""
        waiting, self._waiting = self._waiting, []
        for events, settle in waiting:
            results = bytearray()
            for event in events:
                if not self.room:
                    break
                self.room -= 1
                results.append(DUPLICATE if event.event_id in self._ids else APPENDED)
                if event.event_id not in self._ids:
                    self._ids.add(event.event_id)
                    self.entries.append(event.data)
            settle(bytes(results), self.error if len(results) < len(events) else None)


class Clock:
    """A clock that is set by hand, or goes on by a step whenever it is looked at."""

    def __init__(self) -> None:
        self.time, self.step = 1000.0, 0.0

    def __call__(self) -> float:
        """The time."""
        self.time += self.step
        return self.time


class Answer:
    """A response, read."""

    def __init__(self, response: Response) -> None:
        lines = response.head.decode().split("\r\n")
        self.status = response.status
        self.headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        self.body = response.body
        self.json: dict[str, Any] = json.loads(response.body)
        assert lines[0].startswith(f"HTTP/1.1 {self.status} ")
        assert self.headers["content-length"] == str(len(self.body))

    @property
    def code(self) -> object:
        """The code of a problem, after a look at its other members."""
        assert self.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "code", "detail"} <= set(self.json)
        assert self.json["type"] == "about:blank"
        assert self.json["status"] == self.status
        assert self.json["title"]
        assert self.json["detail"]
        return self.json["code"]


class Ingestion:
    """Single events and batches over one stream in memory, with a clock set by hand."""

    def __init__(self, rate: int = 1_000_000, burst: int = 1_000_000) -> None:
        self.stream, self.clock = MemoryStream(), Clock()
        self.slab = create_slab(["ingest-0"], **{BUCKETS: 8 * len(KEYS)})
        weakref.finalize(self, os.close, self.slab.fd)
        metrics = Metrics(self.slab, "ingest-0")
        keeper = Gatekeeper(KEYS, TokenBucket(rate, burst, self.slab, alone=True, now=self.clock))
        self._together: list[Callable[[], None]] | None = None
        self.single = Ingest(self.stream, keeper, metrics, self.clock, soon=self._soon)
        self.turns: list[Callable[[], None]] = []
        self.batch = IngestBatch(self.stream, keeper, metrics, self.clock, soon=self.turns.append)

    def ask(
        self,
        body: bytes = b"",
        headers: dict[bytes, bytes] | None = None,
        path: str = EVENT_PATH,
        *,
        query: str = "",
        announced: int | None = -1,
        connection: dict[str, Any] | None = None,
    ) -> Answer:
        """One request, from its head to its answer; `announced` is its Content-Length where that is not its size."""
        length = len(body) if announced == -1 else announced
        head = Request("POST", path, query, JSON if headers is None else headers, b"", length, connection)
        handler = self.batch if path == BATCH_PATH else self.single
        refusal = handler.admit(head)
        if refusal is not None:
            return Answer(refusal)
        head.body = body
        answers: list[Response] = []
        handler.handle(head, answers.append)
        while self.turns:
            self.turns.pop(0)()
        self.stream.work()
        (answer,) = answers
        return Answer(answer)

    def _soon(self, work: Callable[[], None]) -> None:
        if self._together is None:
            work()
        else:
            self._together.append(work)

    def ask_together(self, bodies: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Answer]:
        """Single events with their headers that arrive in one turn of the loop."""
        answers: list[Answer | None] = [None] * len(bodies)
        self._together = []
        for index, (body, headers) in enumerate(bodies):
            request = Request("POST", EVENT_PATH, "", headers, body, len(body), {})
            assert self.single.admit(request) is None

            def respond(response: Response, index: int = index) -> None:
                assert answers[index] is None
                answers[index] = Answer(response)

            self.single.handle(request, respond)
        (work,), self._together = self._together, None
        work()
        self.stream.work()
        assert None not in answers
        return [answer for answer in answers if answer is not None]

    def ask_batch(self, events: Sequence[object], *, query: str = "") -> Answer:
        """A batch as a JSON array."""
        return self.ask(json.dumps(events).encode(), JSON, BATCH_PATH, query=query)

    def begin_batch(self, events: Sequence[object]) -> list[Response]:
        """A batch as NDJSON that is handed over; what there is of its answer yet."""
        body = b"\n".join(json.dumps(one).encode() for one in events)
        answers: list[Response] = []
        self.batch.handle(Request("POST", BATCH_PATH, "", NDJSON, body, len(body)), answers.append)
        return answers

    def counted(self) -> dict[str, float]:
        """Every counter that is not 0, as `name` or `name value value`, no prefix, no `_total`; keys' own aside."""
        found = {}
        for family in Exposition(self.slab).collect():
            for sample in family.samples:
                if sample.value and sample.name.endswith("_total") and "key" not in sample.labels:
                    name = sample.name.removeprefix("payflux_").removesuffix("_total")
                    found[" ".join([name, *sample.labels.values()])] = sample.value
        return found

    def timed(self) -> tuple[float, float]:
        """How many requests were timed, and how long they took together."""
        values = {s.name: s.value for f in Exposition(self.slab).collect() for s in f.samples}
        return values["payflux_ingest_duration_seconds_count"], values["payflux_ingest_duration_seconds_sum"]


def payment(**members: object) -> dict[str, Any]:
    """An event with an id of its own."""
    required = {
        "event_type": "payment_failed",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "event_id": str(uuid.uuid4()),
        "processor": "stripe",
    }
    return required | members


def dumped(**members: object) -> bytes:
    """The same, as JSON."""
    return json.dumps(payment(**members)).encode()
