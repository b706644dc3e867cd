"""Puts a node under load: distinct events as fast as it answers, or at a constant rate. Counts every answer.

At a constant rate an event's latency is counted from the moment it was due, not from when it could be sent: a node that
stalls makes the ones that wait look slow too, as they are to the producer (no coordinated omission).
"""

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import count

import msgspec

from payflux.load.latencies import Latencies
from payflux.load.sender import BATCH_PATH, SINGLE_PATH, Form

TICK_SECONDS = 0.001
CONNECT_SECONDS = 10.0
FINISH_SECONDS = 10.0
PAUSE_SECONDS = 0.1  # of a connection that was refused for now, or broke
CACHED_HEADS = 64

Ticker = Callable[[Callable[[], None]], Callable[[], None]]
"""Calls a function again and again until what it returns is called."""


class Report(msgspec.Struct):
    """What came of a load.

    Attributes:
        seconds: from the first request to the last answer that came in time.
        requests: answered ones.
        accepted: events stored now.
        duplicates: events stored before.
        rejected: events refused, with the whole request or in a batch.
        statuses: answers by HTTP status.
        codes: requests that were refused or not answered, by their code.
        broken: connections that failed or ended with a request open.
        unanswered: requests without an answer.
        max_ms: the longest latency.
        late_p99_ms: how late the load itself was, measured against its schedule; 0 without one.
        late_max_ms: the same, at its worst.
    """

    seconds: float
    requests: int
    accepted: int
    duplicates: int
    rejected: int
    statuses: dict[int, int]
    codes: dict[str, int]
    broken: int
    unanswered: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0


class Requests:
    """Makes requests, each of distinct events.

    Args:
        event: one event's JSON with `@` where its `event_id` belongs.
        host: for the Host header, with the port.
        key: the API key.
        size: events in a request.
        form: how they are sent; `single` for a size of 1.
    """

    def __init__(self, event: str, host: str, key: str, *, size: int, form: Form) -> None:
        one, two = secrets.token_hex(4), secrets.token_hex(3)
        before, after = event.split("@")
        self._before, self._after = f"{before}{one}-{two[:4]}-4{two[4:]}0-8000-".encode(), after.encode()
        self._open, self._between, self._end = {
            "single": (b"", b"", b""),
            "array": (b"[", b",", b"]"),
            "ndjson": (b"", b"\n", b"\n"),
        }[form]
        self.size, self.form = size, form
        each = len(self._before) + 12 + len(self._after)
        length = len(self._open) + size * each + (size - 1) * len(self._between) + len(self._end)
        kind = "x-ndjson" if form == "ndjson" else "json"
        self._head = (
            f"POST {SINGLE_PATH if form == 'single' else BATCH_PATH} HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {key}\r\nContent-Type: application/{kind}\r\nContent-Length: {length}\r\n\r\n"
        ).encode("latin-1")
        self._numbers = count(1)

    def next(self) -> bytes:
        """The next one."""
        before, after, numbers = self._before, self._after, self._numbers
        if self.form == "single":
            return b"%b%b%012x%b" % (self._head, before, next(numbers), after)
        events = [b"%b%012x%b" % (before, next(numbers), after) for _ in range(self.size)]
        return self._head + self._open + self._between.join(events) + self._end


class _Counts(msgspec.Struct):
    accepted: int
    duplicates: int
    rejected: int


class _Problem(msgspec.Struct):
    code: str


class Pressure:
    """One load on one node.

    Args:
        host: of the node.
        port: of the node.
        requests: what to send.
        connections: how many at once, each with `depth` requests open.
        seconds: how long.
        rate: requests a second, constant; None for as many as are answered.
        depth: requests sent on a connection before their answers are awaited.
        ticker: what drives the schedule; by default a timer of 1 ms.
    """

    def __init__(
        self,
        host: str,
        port: int,
        requests: Requests,
        *,
        connections: int,
        seconds: float,
        rate: float | None = None,
        depth: int = 1,
        ticker: Ticker | None = None,
    ) -> None:
        self._host, self._port, self.requests = host, port, requests
        self._connections, self.seconds, self._rate, self.depth = connections, seconds, rate, depth
        self._ticker = ticker or _timer
        self.now = time.perf_counter
        self.latencies, self._late = Latencies(), Latencies()
        self.statuses: Counter[int] = Counter()
        self.codes: Counter[str] = Counter()
        self.accepted = self.duplicates = self.rejected = self.broken = 0
        self.open = 0
        self._free: deque[_Client] = deque()
        self._waiting: deque[float] = deque()
        self._started = self._last = self._due = self._end = 0.0
        self._over = asyncio.Event()
        self._clients: set[_Client] = set()
        self._dialling: set[asyncio.Task[None]] = set()

    async def run(self) -> Report:
        """Make the load, wait for the last answers, and say what came of it.

        Raises:
            OSError: the node cannot be reached at the beginning; TimeoutError is one of them.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            clients = await asyncio.gather(*(self._dial() for _ in range(self._connections)))
        self._started = self._last = self._due = self.now()
        self._end = self._started + self.seconds
        timer = loop.call_later(self.seconds + FINISH_SECONDS, self._over.set)
        stop = self._ticker(self._tick)
        for client in clients:
            self.ready(client)
        try:
            await self._over.wait()
        finally:
            timer.cancel()
            stop()
            for task in self._dialling:
                task.cancel()
            self._unanswered(self.open + len(self._waiting))
            for client in tuple(self._clients):
                client.close()
        return self._report()

    async def _dial(self) -> "_Client":
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: _Client(self), self._host, self._port)
        self._clients.add(client)
        return client

    def finish(self) -> None:
        """Send nothing more."""
        self._end = 0.0
        self._waiting.clear()

    def ready(self, client: "_Client") -> None:
        """A connection can take requests."""
        if self._rate is None:
            if self.now() < self._end:
                client.send(0.0)
            return
        if self._waiting:
            client.send(self._waiting.popleft())
        else:
            self._free.append(client)

    def _tick(self) -> None:
        """Send what is due, and see whether all is done."""
        now = self.now()
        if self._rate is not None:
            until = min(now, self._end)
            while self._due < until:
                self._late.add(now - self._due)
                if self._free:
                    self._free.popleft().send(self._due)
                else:
                    self._waiting.append(self._due)
                self._due += 1 / self._rate
        if now >= self._end and not self.open and not self._waiting:
            self._over.set()

    def answered(self, status: int, body: bytes, since: float) -> None:
        """One request has its answer."""
        self._last = self.now()
        self.open -= 1
        self.statuses[status] += 1
        self.latencies.add(self._last - since)
        size = self.requests.size
        if status == 202 and self.requests.form == "single":
            if body.find(b"duplicate") >= 0:
                self.duplicates += 1
            else:
                self.accepted += 1
        elif status == 200 and self.requests.form != "single":
            self._count(body)
        else:
            self.rejected += size
            self._refused(status, body)

    def _count(self, body: bytes) -> None:
        try:
            counts = msgspec.json.decode(body, type=_Counts)
        except msgspec.DecodeError:
            self.codes["unreadable_answer"] += 1
            return
        self.accepted += counts.accepted
        self.duplicates += counts.duplicates
        self.rejected += counts.rejected

    def _refused(self, status: int, body: bytes) -> None:
        try:
            self.codes[msgspec.json.decode(body, type=_Problem).code] += 1
        except msgspec.DecodeError:
            self.codes["unreadable_answer"] += 1
        if status == 401:
            self.finish()

    def lost(self, client: "_Client", unanswered: int) -> None:
        """A connection ended; there will be another."""
        self._clients.discard(client)
        if client in self._free:
            self._free.remove(client)
        self.broken += 1
        self.open -= unanswered
        self._unanswered(unanswered)
        if self._goes_on():
            task = asyncio.ensure_future(self._redial())
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

    def _unanswered(self, requests: int) -> None:
        if requests:
            self.codes["no_answer"] += requests

    def _goes_on(self) -> bool:
        """Whether anything is still to be sent."""
        return self.now() < self._end or bool(self._waiting)

    async def _redial(self) -> None:
        while self._goes_on():
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                client = await self._dial()
            except OSError:
                continue
            self.ready(client)
            return

    def _report(self) -> Report:
        percentiles = {name: self.latencies.percentile(of) * 1e3 for name, of in _PERCENTILES.items()}
        return Report(
            seconds=max(self._last - self._started, 1e-9),
            requests=self.latencies.count,
            accepted=self.accepted,
            duplicates=self.duplicates,
            rejected=self.rejected,
            statuses=dict(self.statuses),
            codes=dict(self.codes),
            broken=self.broken,
            unanswered=self.codes.get("no_answer", 0),
            max_ms=self.latencies.longest * 1e3,
            late_p99_ms=self._late.percentile(99) * 1e3,
            late_max_ms=self._late.longest * 1e3,
            **percentiles,
        )


_PERCENTILES = {"p50_ms": 50, "p99_ms": 99, "p999_ms": 99.9}


class _Client(asyncio.Protocol):
    """One connection: as many requests at once as the load has depth, then their answers."""

    def __init__(self, load: Pressure) -> None:
        self._load = load
        self._transport: asyncio.WriteTransport | None = None
        self._since: deque[float] = deque()
        self._rest = b""
        self._heads: dict[bytes, tuple[int, int]] = {}
        self._pause = False
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's are not instances of it

    def send(self, due: float) -> None:
        """Send requests; `due` is when they should have gone, 0 for now."""
        load = self._load
        assert self._transport is not None
        since = due or load.now()
        for _ in range(load.depth):
            self._since.append(since)
            load.open += 1
            self._transport.write(load.requests.next())

    def close(self) -> None:
        """End it."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at = 0
        while (end := data.find(b"\r\n\r\n", at)) >= 0:
            status, length = self._head(data[at:end])
            body = end + 4
            if len(data) < body + length:
                break
            if status == 0 or not self._since:
                self._end()  # that is no HTTP, or nobody asked
                return
            self._load.answered(status, data[body : body + length], self._since.popleft())
            self._pause = status in (429, 503)
            at = body + length
        self._rest = data[at:]
        if not self._since and not self._rest:
            self._again()

    def _again(self) -> None:
        if self._pause:
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._load.ready, self)
        else:
            self._load.ready(self)

    def _head(self, head: bytes) -> tuple[int, int]:
        """Status and length of the body; heads come again and again until the date changes."""
        if (known := self._heads.get(head)) is None:
            length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r")[0].strip() or b"0"
            known = (int(head[9:12]), int(length)) if head[9:12].isdigit() and length.isdigit() else (0, 0)
            if len(self._heads) >= CACHED_HEADS:
                self._heads.clear()
            self._heads[head] = known
        return known

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended makes no difference
        if not self._closing:
            self._load.lost(self, len(self._since))
            self._since.clear()


def _timer(tick: Callable[[], None]) -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def again() -> None:
        nonlocal timer
        timer = loop.call_later(TICK_SECONDS, again)
        tick()

    again()

    def stop() -> None:
        if timer is not None:
            timer.cancel()

    return stop
