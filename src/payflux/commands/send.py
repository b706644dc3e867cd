"""`payflux send`: the events of a file to a node, each until its fate is known."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from payflux.errors import InvalidEvent, SettingsError
from payflux.event.decode import decode_event
from payflux.http.limits import BODY_BYTES
from payflux.load.attempts import Attempt, Item
from payflux.load.culprits import Culprits
from payflux.load.node_connection import AnswerError, UrlError
from payflux.load.sender import Sender
from payflux.terminal.arguments import Key, KeyFile, batch_problems, key_problems, keys_to_send_with
from payflux.terminal.ending import refuse
from payflux.terminal.event_files import LINE_BYTES, EventFile, FileLine
from payflux.terminal.event_items import Place, events_of

PATIENCE_SECONDS = 60.0
ASK_SECONDS = 3.0
"""How long a batch is sent again before it is asked whether something in it is the reason."""
TOO_LONG = f"body_too_large: an event may have {LINE_BYTES:,} bytes at most"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@dataclass
class Tally:
    """What became of the events.

    Attributes:
        name: of the file.
        place: what the number of an event counts.
        say: writes a line about an event that is not stored, at once: there may be any number of them.
        counts: events by their fate.
        last: the number of the last event that was sent and has a fate.
        refusal: why it ended early.
        trouble: why it last had to try again.
    """

    name: str
    place: Place
    say: Callable[[str], None] = _say
    counts: Counter[str] = field(default_factory=Counter)
    last: int = 0
    refusal: str = ""
    trouble: str = ""

    def refuse(self, number: int, verdict: str, reason: str) -> None:
        """One event is not stored."""
        self.counts[verdict] += 1
        self.say(f"{self.name}: {self.place} {number}: {reason}")

    def report(self) -> int:
        """Say on stderr what happened in all; returns the exit code."""
        if self.refusal:
            rest = f"nothing after {self.place} {self.last} was sent" if self.last else "nothing was stored"
            _say(f"payflux: gave up: {self.refusal}; {rest}")
        table = Table("result", "events")
        for verdict, count in self.counts.items():
            table.add_row(verdict, f"{count:,}")
        Console(stderr=True, highlight=False).print(table)
        lost = any(self.counts[verdict] for verdict in ("rejected", "invalid", "given up"))
        return 1 if lost or self.refusal else 0


def send(
    file: Annotated[
        str,
        Parameter(
            help="JSON lines, one JSON array or one event, plain, gzip or zstd; `-` is stdin.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
    *,
    url: Annotated[str, Parameter(help="The node.")] = "http://127.0.0.1:8080",
    key: Key = None,
    key_file: KeyFile = None,
    batch: Annotated[int, Parameter(help="Events per request, 1 to 1,000.")] = 500,
    dry_run: Annotated[bool, Parameter(help="Only validate; nothing is sent.", negative="")] = False,
) -> int:
    """Send the events of a file to a node.

    Lines are read as they are sent, so a file may be of any length; an array may have 64 MiB. Batches that are limited,
    not confirmed or not answered are sent again for up to a minute; that is safe, as the node stores an `event_id`
    once. A batch that a proxy refuses is halved until the event that it refuses is alone. Events that are not stored
    are named on stderr by file and line (in an array: by item) with the reason, a table of the results follows. On a
    terminal it shows its progress.

    For example:

        payflux send events.jsonl --key-file ~/payflux.key
        payflux send events.json.gz --dry-run
        zcat events.jsonl.gz | payflux send -

    Exit codes: 0 all are stored (with --dry-run: valid), 1 some are not, 2 wrong usage.
    """
    try:
        keys = keys_to_send_with(key, key_file)
    except SettingsError as error:
        return refuse(error)
    problems = list(_problems(keys, batch, dry_run=dry_run))
    place: Place = "line"
    lines: Iterator[FileLine] = iter(())
    with ExitStack() as stack:
        try:
            sender = Sender(url, keys, connections=1, patience_seconds=ASK_SECONDS)
            place, lines = events_of(stack.enter_context(EventFile(file)))
        except UrlError as error:
            problems.append(f"--url: {error}")
        except FileNotFoundError:
            problems.append(f"{file}: no such file")
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {getattr(error, 'strerror', None) or error}")
        if problems:
            sys.stderr.write("".join(f"payflux: {problem}\n" for problem in problems))
            return 2
        tally = Tally("stdin" if file == "-" else file, place)
        if dry_run:
            _validate(lines, tally)
        else:
            _run(lines, tally, sender, batch)
    return tally.report()


def _problems(keys: Sequence[str], batch: int, *, dry_run: bool) -> Iterator[str]:
    """One line for each thing wrong with the arguments."""
    if keys or not dry_run:
        yield from key_problems(keys)
    yield from batch_problems(batch)


def _readable(lines: Iterator[FileLine], tally: Tally, verdict: str) -> Iterator[tuple[int, bytes]]:
    """Number and text of each event that is short enough, up to where the file breaks off."""
    try:
        for number, data in lines:
            if data is None:
                tally.refuse(number, verdict, TOO_LONG)
            else:
                yield number, data
    except (OSError, ValueError) as error:
        tally.refusal = f"cannot read on: {getattr(error, 'strerror', None) or error}"


def _validate(lines: Iterator[FileLine], tally: Tally) -> None:
    for number, body in _readable(lines, tally, "invalid"):
        try:
            decode_event(body)
        except InvalidEvent as error:
            tally.refuse(number, "invalid", f"{error.code}: {error}")
        else:
            tally.counts["valid"] += 1


def batches(events: Iterator[tuple[int, bytes]], most: int) -> Iterator[list[tuple[int, bytes]]]:
    """The events in order, at most so many at once, and never more than a node takes in one request."""
    batch: list[tuple[int, bytes]] = []
    size = 0
    for number, body in events:
        if batch and (len(batch) == most or size + len(body) + 1 > BODY_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((number, body))
        size += len(body) + 1
    if batch:
        yield batch


def _run(lines: Iterator[FileLine], tally: Tally, sender: Sender, batch: int) -> None:
    columns = (TextColumn("sending"), BarColumn(), TextColumn("{task.completed:,} events"), TimeElapsedColumn())
    console = Console(stderr=True)
    tally.counts.update({"accepted": 0, "duplicate": 0, "rejected": 0, "given up": 0})
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:

        def say(text: str) -> None:
            progress.console.print(Text(text), soft_wrap=True)

        def noticed(reason: str) -> None:
            if not tally.trouble:
                say(f"payflux: {reason}; trying again for up to {PATIENCE_SECONDS:.0f} s")
            tally.trouble = reason

        tally.say = say
        sender.noticed = noticed
        task = progress.add_task("", total=None)
        todo = batches(_readable(lines, tally, "rejected"), batch)
        try:
            asyncio.run(_send(todo, tally, sender, lambda events: progress.advance(task, events)))
        except KeyboardInterrupt:
            tally.refusal = "interrupted"


async def _send(
    todo: Iterator[Sequence[tuple[int, bytes]]], tally: Tally, sender: Sender, progressed: Callable[[int], None]
) -> None:
    async with sender:
        for batch in todo:
            try:
                goes_on = await send_batch(sender, batch, tally)
            except AnswerError as error:
                tally.refusal = str(error)
                return
            progressed(len(batch))
            if not goes_on:
                why = f": {tally.trouble}" if tally.trouble else ""
                tally.refusal = f"no settled answer within {PATIENCE_SECONDS:.0f} s{why}"
                return


async def send_batch(sender: Sender, batch: Sequence[tuple[int, bytes]], tally: Tally) -> bool:
    """Send one batch until its fate is known or patience ends; False when it ended.

    Raises:
        AnswerError: the node refuses the key, or is none.
    """
    bodies = dict(batch)

    def record(attempt: Attempt) -> None:
        number = int(attempt.event_id)
        tally.last = max(tally.last, number)
        if not attempt.settled:
            tally.refuse(number, "given up", f"not confirmed ({_answered(attempt.status)}); it may be stored")
        elif attempt.verdict == "rejected":
            tally.refuse(number, "rejected", _reason(bodies[number], attempt))
        else:
            tally.counts[attempt.verdict] += 1

    items = [Item(str(number), body) for number, body in batch]
    return await Culprits(sender, PATIENCE_SECONDS, record).send(items)


def _answered(status: int) -> str:
    return f"HTTP {status}" if status else "no answer"


def _reason(body: bytes, attempt: Attempt) -> str:
    """The node's code, with the words it has for it: its rules are ours."""
    if attempt.code in (f"http_{attempt.status}", "no_answer"):
        return f"{attempt.code}: refused on its way to the node ({_answered(attempt.status)})"
    try:
        decode_event(body)
    except InvalidEvent as error:
        return f"{attempt.code}: {error}"
    return attempt.code
