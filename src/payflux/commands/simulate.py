"""`payflux simulate`: realistic payment traffic for a node, with incidents on demand."""

import asyncio
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from payflux.load.node_connection import AnswerError, UrlError
from payflux.load.sender import Sender
from payflux.load.simulation import CONNECTIONS, Say, Simulation, Tally
from payflux.load.traffic import INCIDENTS, Traffic, one_after_another, schedule
from payflux.log import log
from payflux.terminal.keys import keys_of_environment

PATIENCE_SECONDS = 1.0


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
    keys = [key] if key is not None else keys_of_environment()
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
