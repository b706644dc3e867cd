"""`payflux send`: the events of a file to a node, each until its fate is known."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event
from payflux.event.items import items_of_array
from payflux.event.rules import BOM
from payflux.http.limits import BODY_BYTES
from payflux.load.attempts import Item
from payflux.load.node_connection import AnswerError, UrlError
from payflux.load.sender import Sender
from payflux.terminal.arguments import Key, batch_problems, key_problems, keys_of_environment

PATIENCE_SECONDS = 60.0

_item = msgspec.json.Decoder(msgspec.Raw).decode


class Line(NamedTuple):
    """One event of the file: its place, counted from 1, and its JSON in one line."""

    number: int
    body: bytes


@dataclass
class Tally:
    """What became of the events.

    `problems` names those that are not stored, `refusal` is why it ended early, `trouble` why it last had to try again.
    """

    place: str
    total: int
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[int, str]] = field(default_factory=list)
    refusal: str = ""
    trouble: str = ""

    @property
    def done(self) -> int:
        """How many have a fate."""
        return self.counts.total()

    def refuse(self, line: Line, verdict: str, reason: str) -> None:
        """One event is not stored."""
        self.counts[verdict] += 1
        self.problems.append((line.number, reason))

    def report(self) -> int:
        """Say what happened on stderr; returns the exit code."""
        for number, reason in sorted(self.problems):
            sys.stderr.write(f"{self.place} {number}: {reason}\n")
        if self.refusal:
            sys.stderr.write(f"payflux: gave up: {self.refusal}\n")
        table = Table("result", "events")
        for verdict, count in self.counts.items():
            table.add_row(verdict, f"{count:,}")
        Console(stderr=True, highlight=False).print(table)
        return 1 if self.problems or self.refusal else 0


def send(
    file: Annotated[
        str, Parameter(help="JSON lines, one JSON array or one event; `-` is stdin.", allow_leading_hyphen=True)
    ],
    /,
    *,
    url: Annotated[str, Parameter(help="The node.")] = "http://127.0.0.1:8080",
    key: Key = None,
    batch: Annotated[int, Parameter(help="Events per request, 1 to 1,000.")] = 500,
    dry_run: Annotated[bool, Parameter(help="Only validate; nothing is sent.", negative="")] = False,
) -> int:
    """Send the events of a file to a node.

    Batches that are limited, not confirmed or not answered are sent again for up to a minute; that is safe, as the node
    stores an `event_id` once. Events that are not stored are named on stderr by line (in an array: by item) with the
    reason, a table of the results follows. On a terminal it shows its progress.

    For example:

        payflux send events.jsonl --key KEY
        payflux send events.json --dry-run
        zcat events.jsonl.gz | payflux send -

    Exit codes: 0 all are stored (with --dry-run: valid), 1 some are not, 2 wrong usage.
    """
    keys = [key] if key is not None else keys_of_environment()
    problems = list(_problems(keys, batch, dry_run=dry_run))
    lines: list[Line] = []
    place = "line"
    try:
        sender = Sender(url, keys, connections=1, patience_seconds=PATIENCE_SECONDS)
        place, lines = read(file)
    except UrlError as error:
        problems.append(f"--url: {error}")
    except FileNotFoundError:
        problems.append(f"{file}: no such file")
    except (OSError, ValueError) as error:
        problems.append(f"{file}: {getattr(error, 'strerror', None) or error}")
    if problems:
        sys.stderr.write("".join(f"payflux: {problem}\n" for problem in problems))
        return 2
    tally = Tally(place, len(lines))
    if dry_run:
        _validate(lines, tally)
    else:
        _run(lines, tally, sender, batch)
    return tally.report()


def read(file: str) -> tuple[str, list[Line]]:
    """The events of a file.

    Args:
        file: its path; `-` is stdin.

    Returns:
        What an event's number counts, `line` or `item`; and the events.

    Raises:
        OSError: it cannot be read.
        ValueError: it is an array that is no JSON, or holds no event at all.
    """
    text = (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).removeprefix(BOM)
    if text.lstrip().startswith(b"["):
        try:
            # Line feeds stand between members, never in a string.
            bodies = [item.replace(b"\n", b" ") for item in items_of_array(text, sys.maxsize)]
        except ValueError as error:
            raise ValueError(f"expected a JSON array ({error})") from None
        place, lines = "item", [Line(number, body) for number, body in enumerate(bodies, 1)]
    elif body := _alone(text):
        place, lines = "item", [Line(1, body)]
    else:
        numbered = enumerate(text.split(b"\n"), 1)
        place, lines = "line", [Line(number, line.strip()) for number, line in numbered if line.strip()]
    if not lines:
        raise ValueError("expected at least one event")
    return place, lines


def _alone(text: bytes) -> bytes:
    """The one event of a text that spreads it over several lines; empty for any other text."""
    if b"\n" not in text.strip():
        return b""
    try:
        return msgspec.json.format(bytes(_item(text)), indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""


def _problems(keys: Sequence[str], batch: int, *, dry_run: bool) -> Iterator[str]:
    """One line for each thing wrong with the arguments."""
    if keys or not dry_run:
        yield from key_problems(keys)
    yield from batch_problems(batch)


def _validate(lines: Sequence[Line], tally: Tally) -> None:
    for line in lines:
        try:
            decode_event(line.body)
        except InvalidEvent as error:
            tally.refuse(line, "invalid", f"{error.code}: {error}")
        else:
            tally.counts["valid"] += 1


def batches(lines: Sequence[Line], events: int) -> Iterator[list[Line]]:
    """The events in order, at most so many at once, and never more than a node takes in one request."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == events or size + len(line.body) + 1 > BODY_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.body) + 1
    yield batch


def _run(lines: Sequence[Line], tally: Tally, sender: Sender, batch: int) -> None:
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    tally.counts.update({"accepted": 0, "duplicate": 0, "rejected": 0, "given up": 0})
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:

        def noticed(reason: str) -> None:
            if not tally.trouble:
                text = f"payflux: {reason}; trying again for up to {PATIENCE_SECONDS:.0f} s"
                progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
            tally.trouble = reason

        sender.noticed = noticed
        task = progress.add_task("", total=tally.total)
        try:
            asyncio.run(
                _send(batches(lines, batch), tally, sender, lambda: progress.update(task, completed=tally.done))
            )
        except KeyboardInterrupt:
            tally.refusal = "interrupted"
    tally.counts["given up"] += tally.total - tally.done


async def _send(todo: Iterator[Sequence[Line]], tally: Tally, sender: Sender, progressed: Callable[[], None]) -> None:
    async with sender:
        for batch in todo:
            try:
                goes_on = await send_batch(sender, batch, tally)
            except AnswerError as error:
                tally.refusal = str(error)
                return
            progressed()
            if not goes_on:
                why = f": {tally.trouble}" if tally.trouble else ""
                tally.refusal = f"no settled answer within {PATIENCE_SECONDS:.0f} s{why}"
                return


async def send_batch(sender: Sender, batch: Sequence[Line], tally: Tally) -> bool:
    """Send one batch until its fate is known or patience ends; False when it ended.

    Raises:
        AnswerError: the node refuses the key, or is none.
    """
    attempts = await sender.send([Item(str(line.number), line.body) for line in batch], "ndjson")
    last = {attempt.event_id: attempt for attempt in attempts}
    for line in batch:
        attempt = last[str(line.number)]
        if not attempt.settled:
            tally.refuse(line, "given up", f"not confirmed ({_answered(attempt.status)}); it may be stored")
        elif attempt.verdict == "rejected":
            tally.refuse(line, "rejected", _reason(line, attempt.code))
        else:
            tally.counts[attempt.verdict] += 1
    return all(attempt.settled for attempt in last.values())


def _answered(status: int) -> str:
    return f"HTTP {status}" if status else "no answer"


def _reason(line: Line, code: str) -> str:
    """The node's code, with the words it has for it: its rules are ours."""
    try:
        decode_event(line.body)
    except InvalidEvent as error:
        return f"{code}: {error}"
    return code
