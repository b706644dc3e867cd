"""Puts a node under load: distinct events as fast as it answers, or at a constant rate. Counts every answer.

At a constant rate an event's latency is counted from the moment it was due, not from when it could be sent: a node that
stalls makes the ones that wait look slow too, as they are to the producer (no coordinated omission).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from payflux.load.answers import Answers, Report
from payflux.load.load_connection import PAUSE_SECONDS, LoadConnection
from payflux.load.requests import Requests

TICK_SECONDS = 0.001
CONNECT_SECONDS = 10.0
FINISH_SECONDS = 10.0

Ticker = Callable[[Callable[[], None]], Callable[[], None]]
"""Calls a function again and again until what it returns is called."""


class LoadGenerator:
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

    Attributes:
        answers: what was answered so far.
        seconds: how long.
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
        self._host, self._port, self._requests = host, port, requests
        self._connections, self.seconds, self._rate, self.depth = connections, seconds, rate, depth
        self._ticker = ticker or _timer
        self.now = time.perf_counter
        self.answers = Answers(requests.size, single=requests.form == "single")
        self._open = 0  # requests without an answer
        self._free: deque[LoadConnection] = deque()
        self._waiting: deque[float] = deque()
        self._started = self._last = self._due = self._end = 0.0
        self._over = asyncio.Event()
        self._clients: set[LoadConnection] = set()
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
            self.answers.never_came(self._open + len(self._waiting))
            for client in tuple(self._clients):
                client.close()
        return self.answers.report(self._last - self._started)

    async def _dial(self) -> LoadConnection:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: LoadConnection(self), self._host, self._port)
        self._clients.add(client)
        return client

    def finish(self) -> None:
        """Send nothing more."""
        self._end = 0.0
        self._waiting.clear()

    def ready(self, client: LoadConnection) -> None:
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
                self.answers.late.add(now - self._due)
                if self._free:
                    self._free.popleft().send(self._due)
                else:
                    self._waiting.append(self._due)
                self._due += 1 / self._rate
        if now >= self._end and not self._open and not self._waiting:
            self._over.set()

    def next_request(self) -> bytes:
        """A request that is about to be sent."""
        self._open += 1
        return self._requests.next()

    def answered(self, status: int, body: bytes, since: float) -> None:
        """One request has its answer."""
        self._last = self.now()
        self._open -= 1
        self.answers.add(status, body, self._last - since)
        if status == 401:
            self.finish()

    def lost(self, client: LoadConnection, unanswered: int) -> None:
        """A connection ended; there will be another."""
        self._clients.discard(client)
        if client in self._free:
            self._free.remove(client)
        self._open -= unanswered
        self.answers.lost()
        self.answers.never_came(unanswered)
        if self._goes_on():
            task = asyncio.ensure_future(self._redial())
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

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
