"""Sends simulated traffic at its own pace, and keeps count of what became of it."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import msgspec

from payflux.load.attempts import Attempt, Item
from payflux.load.corpus.events import Event
from payflux.load.corpus.scenarios import Incident
from payflux.load.sender import Sender
from payflux.load.traffic import Traffic
from payflux.log import Say

CONNECTIONS = 16
LATE_SECONDS = 0.5
NAP_SECONDS = 0.005
FINISH_SECONDS = 3.0


@dataclass
class Tally:
    """What became of the events so far; `errors` are requests without an answer or with a 5xx."""

    sent: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    errors: int = 0
    incidents: tuple[Incident, ...] = ()

    def counts(self) -> dict[str, int]:
        """The numbers by name."""
        return {name: getattr(self, name) for name in ("sent", "accepted", "duplicate", "rejected", "errors")}


class Simulation:
    """Sends traffic at its own pace until stopped. When the node is down or slow it skips time and piles up nothing."""

    def __init__(
        self, sender: Sender, traffic: Traffic, start: float, *, rate: float | None, batch: int, say: Say
    ) -> None:
        """A simulation, not yet running.

        Args:
            sender: how events reach the node; should have a patience of about a second.
            traffic: what to send.
            start: the traffic's start, Unix seconds; now.
            rate: events per second in normal traffic; None for what its processors have.
            batch: events per request; 1 sends single events.
            say: told about incidents and about the node going away and coming back.
        """
        self.tally = Tally()
        self._sender = sender
        self._traffic = traffic
        self._start = start
        self._rate = rate
        self._batch = batch
        self._say = say
        self._queue: asyncio.Queue[list[Item]] = asyncio.Queue(maxsize=CONNECTIONS)
        self._down = False
        self._limited = False

    async def run(self, stop: asyncio.Event, duration: float | None = None) -> Tally:
        """Send until `stop` is set or `duration` seconds have passed, then finish what is on its way.

        Raises:
            AnswerError: the node gave an answer that makes going on pointless, such as 401.
        """
        workers = [asyncio.create_task(self._work()) for _ in range(CONNECTIONS)]
        producer = asyncio.create_task(self._produce(duration or math.inf))
        stopped = asyncio.create_task(stop.wait())
        tasks = [*workers, producer, stopped]
        try:
            await asyncio.wait(tasks, timeout=duration, return_when=asyncio.FIRST_COMPLETED)
            finished = asyncio.create_task(self._finish(producer))
            tasks.append(finished)
            await asyncio.wait([*workers, finished], timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return self.tally

    async def _finish(self, producer: asyncio.Task[None]) -> None:
        producer.cancel()
        await asyncio.wait([producer])
        await self._queue.join()

    async def _produce(self, duration: float) -> None:
        begun = time.monotonic()
        chunk: list[Item] = []
        arrivals = self._traffic.arrivals(self._rate)
        try:
            for at, event in takewhile(lambda arrival: arrival[0] < self._start + duration, arrivals):
                late = self._start + time.monotonic() - begun - at
                self._follow(self._traffic.running(at))
                if late > LATE_SECONDS:
                    await asyncio.sleep(0)
                    continue
                if late < -NAP_SECONDS:
                    await asyncio.sleep(-late)
                chunk.append(_item(event))
                if len(chunk) >= self._batch:
                    await self._queue.put(chunk)
                    chunk = []
        finally:
            if chunk and not self._queue.full():
                self._queue.put_nowait(chunk)

    def _follow(self, running: tuple[Incident, ...]) -> None:
        before, self.tally.incidents = self.tally.incidents, running
        for name, changed in (
            ("incident_ended", [incident for incident in before if incident not in running]),
            ("incident_began", [incident for incident in running if incident not in before]),
        ):
            for incident in changed:
                self._say("info", name, incident=incident.name, processor=incident.processor)

    async def _work(self) -> None:
        while True:
            items = await self._queue.get()
            self.tally.sent += len(items)
            while items:
                attempts = await self._sender.send(items, "single" if self._batch == 1 else "array")
                self._count(attempts)
                last = {attempt.event_id: attempt for attempt in attempts}
                items = [item for item in items if not last[item.event_id].settled]
            self._queue.task_done()

    def _count(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            if attempt.settled:
                self._count_settled(attempt)
        tried = {attempt.request: attempt.status for attempt in attempts}
        self.tally.errors += sum(status == 0 or status >= 500 for status in tried.values())
        if 429 in tried.values() and not self._limited:
            self._limited = True
            self._say("warning", "rate_limited", hint="lower --rate or raise PAYFLUX_RATELIMIT_RPS")
        self._notice(attempts[-1].status)

    def _count_settled(self, attempt: Attempt) -> None:
        if attempt.verdict in ("accepted", "stored"):
            self.tally.accepted += 1
        elif attempt.verdict == "duplicate":
            self.tally.duplicate += 1
        else:
            self.tally.rejected += 1

    def _notice(self, status: int) -> None:
        """Say once that the node is down, and once that it is back."""
        down = status == 0 or status >= 500
        if down and not self._down:
            why = f"it answers {status}" if status else "it does not answer"
            self._say("warning", "node_unavailable", reason=why, address=f"{self._sender.host}:{self._sender.port}")
        elif self._down and not down:
            self._say("info", "node_available")
        self._down = down


def _item(event: Event) -> Item:
    return Item(str(event["event_id"]), msgspec.json.encode(event))
