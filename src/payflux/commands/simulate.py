"""`payflux simulate`: realistic payment traffic for a node, with incidents on demand."""

import asyncio
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.progress import Progress
from rich.text import Text

from payflux.errors import SettingsError
from payflux.load.corpus.population import CORPUS, DEMO, PROCESSORS, Processor
from payflux.load.corpus.scenarios import SCENARIOS
from payflux.load.corpus.schedule import PLANS, planned
from payflux.load.node_connection import AnswerError, UrlError
from payflux.load.recording import record, write_labels
from payflux.load.sender import Sender
from payflux.load.simulation import CONNECTIONS, Simulation, Tally
from payflux.load.traffic import Traffic
from payflux.log import Say, log
from payflux.terminal.arguments import Key, KeyFile, batch_problems, key_problems, keys_to_send_with
from payflux.terminal.ending import operate, refuse
from payflux.terminal.output import emit_rows, narrator

PATIENCE_SECONDS = 1.0
FASTEST = 50_000
"""Events a second; more cannot be made in time."""

RECORDED_FROM = "2026-01-05T00:00:00Z"
"""A Monday: what is recorded is the same whenever it is."""


@dataclass(frozen=True)
class Wanted:
    """The traffic that was asked for.

    Attributes:
        incidents: names of scenarios, or one of `PLANS`.
        processors: by name.
        seed: of it.
        rate: events per second in normal traffic; None for what its processors have.
        start: Unix seconds.
        duration: seconds; None until interrupted.
        warm_up: seconds of normal traffic before incidents; None for what they usually have.
        labels: the file for the truth about them.
    """

    incidents: list[str]
    processors: dict[str, Processor]
    seed: int
    rate: float | None
    start: float
    duration: float | None
    warm_up: float | None
    labels: Path | None

    def traffic(self) -> Traffic:
        """It, from its start."""
        incidents = planned(self.incidents, self.seed, self.start, self.processors, self.warm_up)
        return Traffic(self.seed, self.start, incidents, self.processors)

    def write_labels(self, seconds: float) -> None:
        """Write the truth about so many seconds of it, where that was asked for.

        Raises:
            OSError: it cannot be written.
        """
        if self.labels is not None:
            with self.labels.open("wb") as out:
                incidents = planned(self.incidents, self.seed, self.start, self.processors, self.warm_up)
                write_labels(incidents, self.start, seconds, out)


def simulate(
    *,
    url: Annotated[str, Parameter(help="The node.")] = "http://127.0.0.1:8080",
    key: Key = None,
    key_file: KeyFile = None,
    rate: Annotated[
        float | None,
        Parameter(help="Events per second in normal traffic; by default 20, or what `--processor` says."),
    ] = None,
    seed: Annotated[int | None, Parameter(help="The same seed gives the same pattern; random by default.")] = None,
    duration: Annotated[float | None, Parameter(help="Seconds; by default until interrupted.")] = None,
    incident: Annotated[
        list[str] | None,
        Parameter(
            help="Scenario to stage; several follow one another. `random`: one now and then; `corpus`: incidents every "
            "four hours and what happens daily, `benign`: only the latter; `list`: show them all.",
            negative="",
        ),
    ] = None,
    warm_up: Annotated[
        float | None,
        Parameter(help="Seconds of normal traffic before each scenario; with `corpus` before the first, 3 days."),
    ] = None,
    processor: Annotated[
        list[str] | None,
        Parameter(
            help="Only this one, several times for several: one of the six, or one with days, weeks and slow noise: "
            f"{', '.join(f'`{name}`' for name in CORPUS)}, named after their events per second.",
            negative="",
        ),
    ] = None,
    batch: Annotated[int, Parameter(help="Events per request, 1 to 1,000.")] = 1,
    output: Annotated[
        str | None,
        Parameter(
            help="File to write the events to, as fast as possible, instead of sending them; `-` is stdout.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    start: Annotated[
        str | None, Parameter(help=f"With `--output`: time of the first events, by default {RECORDED_FROM}.")
    ] = None,
    labels: Annotated[
        Path | None, Parameter(help="File for the truth about the incidents, one JSON object each, at the end.")
    ] = None,
) -> int:
    """Send realistic payment traffic to a node, or write it to a file.

    Six processors, retries of failed payments, and a normal share of declines; no real payment is behind any event.
    Ends on Ctrl-C or SIGTERM with a summary. On a terminal it shows one live line, elsewhere it logs JSON lines to
    stderr.

    Exit codes: 0 done, 1 nothing was accepted, the node refuses the key or a file cannot be written, 2 wrong usage.

    For example `payflux simulate --rate 50` until interrupted, `payflux simulate --incident outage --duration 240`
    for an outage after half a minute of normal traffic, or `payflux simulate --incident list` for all incidents.

    `payflux simulate --output day.jsonl --labels truth.jsonl --seed 1 --duration 86400 --processor p5 --incident corpus
    --warm-up 7200` writes a day of labelled incidents; the same seed gives the same bytes.
    """
    if incident == ["list"]:
        _print_incidents()
        return 0
    try:
        keys = keys_to_send_with(key, key_file)
    except SettingsError as error:
        return refuse(error)
    problems = list(_problems(rate, duration, incident or [], warm_up, processor or []))
    problems += _recording_problems(output, start, duration) if output is not None or start else []
    problems += _sending_problems(keys, batch) if output is None else []
    try:
        sender = Sender(url, keys, connections=CONNECTIONS, patience_seconds=PATIENCE_SECONDS)
    except UrlError as error:
        problems.append(f"--url: {error}")
    if problems:
        sys.stderr.write("".join(f"payflux: {problem}\n" for problem in problems))
        return 2
    wanted = Wanted(
        incident or [],
        {name: PROCESSORS[name] for name in processor} if processor else DEMO,
        seed if seed is not None else random.getrandbits(32),
        rate,
        time.time() if output is None else datetime.fromisoformat(start or RECORDED_FROM).timestamp(),
        duration,
        warm_up,
        labels,
    )
    if output is not None:
        return operate(lambda: _record(wanted, output))
    return operate(lambda: _simulate(sender, wanted, batch))


async def _simulate(sender: Sender, wanted: Wanted, batch: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    start = wanted.start
    tally = Tally()
    with _narrator(lambda: tally) as say:
        say("info", "simulation_began", seed=wanted.seed, rate=_rate(wanted), incidents=wanted.incidents)
        async with sender:
            simulation = Simulation(sender, wanted.traffic(), start, rate=wanted.rate, batch=batch, say=say)
            tally = simulation.tally
            refused = False
            try:
                await simulation.run(stop, wanted.duration)
            except AnswerError as error:
                refused = True
                say("error", "node_refuses", reason=str(error))
        if not (tally.accepted or tally.duplicate or tally.rejected or refused):
            say("error", "nothing_answered", address=f"{sender.host}:{sender.port}", hint="is this the node's address?")
        say("info", "simulation_ended", seconds=round(time.time() - start, 1), **tally.counts())
    wanted.write_labels(time.time() - start)
    return 0 if tally.accepted and not refused else 1


async def _record(wanted: Wanted, output: str) -> int:
    """Write events and labels."""
    say = narrator()
    duration = wanted.duration or 0.0
    say("info", "recording_began", seed=wanted.seed, rate=_rate(wanted), incidents=wanted.incidents)
    wanted.write_labels(duration)
    with _opened(output) as out, _progress(wanted.start, duration, shown=output != "-") as tell:
        events = record(wanted.traffic(), wanted.rate, wanted.start + duration, out, tell)
    say("info", "recording_ended", events=events)
    return 0


def _opened(output: str) -> AbstractContextManager[BinaryIO]:
    """Where events are written to: stdout stays open, a file is closed."""
    return nullcontext(sys.stdout.buffer) if output == "-" else Path(output).open("wb")


def _rate(wanted: Wanted) -> float:
    """Events per second in normal traffic."""
    natural = math.fsum(processor.rate for processor in wanted.processors.values())
    return natural if wanted.rate is None else wanted.rate


@contextmanager
def _progress(start: float, duration: float, *, shown: bool) -> Iterator[Callable[[float], None]]:
    """A bar on the terminal; tell it how far the traffic is, Unix seconds."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _: None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("recording", total=duration)
        yield lambda at: progress.update(task, completed=at - start)


@contextmanager
def _narrator(tally: Callable[[], Tally]) -> Iterator[Say]:
    """How to talk to whoever reads stderr; a terminal gets a live line beside."""
    if not sys.stderr.isatty():
        yield log
        return
    console = Console(stderr=True, highlight=False)
    with Live(get_renderable=lambda: _live_line(tally()), console=console, transient=True):
        yield narrator(console)


def _live_line(tally: Tally) -> Text:
    numbers = " · ".join(f"{name} {count:,}" for name, count in tally.counts().items())
    incidents = ", ".join(f"{incident.name} at {incident.processor}" for incident in tally.incidents)
    return Text(numbers + (f" · {incidents}" if incidents else ""), no_wrap=True, overflow="ellipsis")


def _problems(
    rate: float | None,
    duration: float | None,
    incidents: Sequence[str],
    warm_up: float | None,
    processors: Sequence[str],
) -> Iterator[str]:
    """One line for each thing wrong with the traffic asked for."""
    if rate is not None and not 0 < rate <= FASTEST:
        yield f"--rate {rate}: expected more than 0, at most {FASTEST:,} events per second"
    if duration is not None and not 0 < duration < math.inf:
        yield f"--duration {duration}: expected seconds, more than 0"
    if warm_up is not None and not 0 <= warm_up < math.inf:
        yield f"--warm-up {warm_up}: expected seconds, 0 or more"
    for name in incidents:
        if name not in SCENARIOS and (name not in PLANS or len(incidents) > 1):
            alone = ", ".join(f"`{plan}`" for plan in PLANS)
            yield f"--incident {name}: expected one of {', '.join(SCENARIOS)}, or {alone} or `list` alone"
    for name in processors:
        if name not in PROCESSORS:
            yield f"--processor {name}: expected one of {', '.join(PROCESSORS)}"


def _sending_problems(keys: Sequence[str], batch: int) -> Iterator[str]:
    """One line for each thing that keeps events from being sent."""
    yield from key_problems(keys)
    yield from batch_problems(batch)


def _recording_problems(output: str | None, start: str | None, duration: float | None) -> Iterator[str]:
    """One line for each thing that keeps events from being written."""
    if output is None:
        yield "--start: only what is written with --output may begin at another time than now"
    elif duration is None:
        yield "--output: needs --duration, in seconds"
    try:
        naive = datetime.fromisoformat(start or RECORDED_FROM).tzinfo is None
    except ValueError:
        naive = True
    if naive:
        yield f"--start {start}: expected a time such as {RECORDED_FROM}"


def _print_incidents() -> None:
    rows = []
    for name, scenario in SCENARIOS.items():
        start, duration = f"{scenario.start:.0f} s", f"{scenario.duration:.0f} s"
        summary = f"{scenario.summary} (nothing is wrong)" if scenario.benign else scenario.summary
        rows.append((name, scenario.processor, start, duration, summary))
    emit_rows(("scenario", "processor", "starts after", "lasts", "what happens"), rows, "")
