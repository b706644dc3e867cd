"""`payflux simulate`: realistic payment traffic for a node, with incidents on demand."""

import asyncio
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from payflux.load import AnswerError, Attempt, Item, Sender, UrlError
from payflux.log import log
from payflux.settings import environment
from payflux.traffic import INCIDENTS, Event, Incident, Traffic, one_after_another, schedule

CONNECTIONS = 16
LATE_SECONDS = 0.5
NAP_SECONDS = 0.005
FINISH_SECONDS = 3.0
PATIENCE_SECONDS = 1.0

Say = Callable[..., None]
"""Tells the user what happened: `say(level, msg, **fields)`, as `payflux.log.log`."""


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

    def __init__(self, sender: Sender, traffic: Traffic, start: float, *, rate: float, batch: int, say: Say) -> None:
        """A simulation, not yet running.

        Args:
            sender: how events reach the node; should have a patience of about a second.
            traffic: what to send.
            start: the traffic's start, Unix seconds; now.
            rate: events per second in normal traffic.
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
        at = self._start
        chunk: list[Item] = []
        try:
            while (at := at + self._traffic.pause(at, self._rate)) < self._start + duration:
                late = self._start + time.monotonic() - begun - at
                if late < -NAP_SECONDS:
                    await asyncio.sleep(-late)
                elif late > LATE_SECONDS:
                    at += late
                self._follow(self._traffic.running(at))
                chunk.append(_item(self._traffic.event(at)))
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


def simulate(
    *,
    url: Annotated[str, Parameter(help="The node.")] = "http://127.0.0.1:8080",
    key: Annotated[
        str | None,
        Parameter(help="API key; by default the first of `PAYFLUX_API_KEYS`, or `PAYFLUX_API_KEY`."),
    ] = None,
    rate: Annotated[float, Parameter(help="Events per second in normal traffic.")] = 20.0,
    seed: Annotated[int | None, Parameter(help="The same seed gives the same pattern; random by default.")] = None,
    duration: Annotated[float | None, Parameter(help="Seconds; by default until interrupted.")] = None,
    incident: Annotated[
        list[str] | None,
        Parameter(
            help="Incident to stage; several follow one another. `random`: one now and then; `list`: show them all.",
            negative="",
        ),
    ] = None,
    batch: Annotated[int, Parameter(help="Events per request, 1 to 1,000.")] = 1,
) -> int:
    """Send realistic payment traffic to a node.

    Six processors, retries of failed payments, and a normal share of declines; no real payment is behind any event.
    Ends on Ctrl-C or SIGTERM with a summary. On a terminal it shows one live line, elsewhere it logs JSON lines to
    stderr.

    Exit codes: 0 done, 1 nothing was accepted or the node refuses the key, 2 wrong usage.

    For example `payflux simulate --rate 50` until interrupted, `payflux simulate --incident outage --duration 240`
    for an outage after half a minute of normal traffic, or `payflux simulate --incident list` for all incidents.
    """
    if incident == ["list"]:
        _print_incidents()
        return 0
    keys = [key] if key is not None else _keys_of_environment()
    problems = list(_problems(keys, rate, duration, incident or [], batch))
    try:
        sender = Sender(url, keys, connections=CONNECTIONS, patience_seconds=PATIENCE_SECONDS)
    except UrlError as error:
        problems.append(f"--url: {error}")
    if problems:
        sys.stderr.write("".join(f"payflux: {problem}\n" for problem in problems))
        return 2
    chosen = seed if seed is not None else random.getrandbits(32)
    return asyncio.run(_simulate(sender, chosen, incident or [], rate=rate, batch=batch, duration=duration))


async def _simulate(
    sender: Sender, seed: int, names: Sequence[str], *, rate: float, batch: int, duration: float | None
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    start = time.time()
    traffic = Traffic(seed, start, schedule(seed) if names == ["random"] else one_after_another(names))
    tally = Tally()
    with _narrator(lambda: tally) as say:
        say("info", "simulation_began", seed=seed, rate=rate, incidents=names)
        async with sender:
            simulation = Simulation(sender, traffic, start, rate=rate, batch=batch, say=say)
            tally = simulation.tally
            refused = False
            try:
                await simulation.run(stop, duration)
            except AnswerError as error:
                refused = True
                say("error", "node_refuses", reason=str(error))
        if not (tally.accepted or tally.duplicate or tally.rejected or refused):
            say("error", "nothing_answered", address=f"{sender.host}:{sender.port}", hint="is this the node's address?")
        say("info", "simulation_ended", seconds=round(time.time() - start, 1), **tally.counts())
    return 0 if tally.accepted and not refused else 1


@contextmanager
def _narrator(tally: Callable[[], Tally]) -> Iterator[Say]:
    """How to talk to whoever reads stderr: a live line and sentences to a terminal, JSON lines to a pipe."""
    if not sys.stderr.isatty():
        yield log
        return
    console = Console(stderr=True, highlight=False)

    def say(level: Literal["info", "warning", "error"], msg: str, **fields: object) -> None:
        facts = ", ".join(f"{name} {value}" for name, value in fields.items())
        style = {"info": "", "warning": "yellow", "error": "red"}[level]
        console.print(Text(f"{msg.replace('_', ' ')}: {facts}" if facts else msg.replace("_", " "), style))

    with Live(get_renderable=lambda: _live_line(tally()), console=console, transient=True):
        yield say


def _live_line(tally: Tally) -> Text:
    numbers = " · ".join(f"{name} {count:,}" for name, count in tally.counts().items())
    incidents = ", ".join(f"{incident.name} at {incident.processor}" for incident in tally.incidents)
    return Text(numbers + (f" · {incidents}" if incidents else ""), no_wrap=True, overflow="ellipsis")


def _keys_of_environment() -> list[str]:
    environ = environment()
    text = environ.get("PAYFLUX_API_KEYS", "").strip() or environ.get("PAYFLUX_API_KEY", "")
    return [key.strip() for key in text.split(",") if key.strip()][:1]


def _problems(
    keys: Sequence[str], rate: float, duration: float | None, incidents: Sequence[str], batch: int
) -> Iterator[str]:
    """One line for each thing wrong with the arguments."""
    if not keys:
        yield "--key: none given, and neither PAYFLUX_API_KEYS nor PAYFLUX_API_KEY is set"
    elif not all(key.isascii() and key.isprintable() and key and " " not in key for key in keys):
        yield "--key: expected printable ASCII without blanks"
    if not 0 < rate <= 1_000_000:
        yield f"--rate {rate}: expected more than 0, at most 1,000,000 events per second"
    if duration is not None and not 0 < duration < math.inf:
        yield f"--duration {duration}: expected seconds, more than 0"
    if not 1 <= batch <= 1000:
        yield f"--batch {batch}: expected 1 to 1,000"
    for name in incidents:
        if name not in INCIDENTS and incidents != ["random"]:
            yield f"--incident {name}: expected one of {', '.join(INCIDENTS)}, or `random` or `list` alone"


def _print_incidents() -> None:
    table = Table("incident", "processor", "starts after", "lasts", "what happens")
    for incident in INCIDENTS.values():
        start, duration = f"{incident.start:.0f} s", f"{incident.duration:.0f} s"
        table.add_row(incident.name, incident.processor, start, duration, incident.effect.summary)
    Console().print(table)
