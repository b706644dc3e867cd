"""`payflux replay`: events of the past once more, as marked lines, into another stream, or to an exporter."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from payflux.errors import ExportFailed, InvalidEvent, SettingsError, StreamUnavailable
from payflux.exporters.grouped import GROUPED, problems_of
from payflux.log import Say
from payflux.redis.address import address_of
from payflux.redis.entries import FIRST, id_after, parse_position
from payflux.redis.history import PAGE, StreamHistory
from payflux.redis.keys import Keys
from payflux.settings import Values, environment
from payflux.stream.deliveries import Delivery, entry_key
from payflux.terminal.arguments import range_problems, redis_settings
from payflux.terminal.ending import EXIT_FAILED, EXIT_INTERRUPTED, complain, operate, refuse
from payflux.terminal.one_off import OneOff, declared, is_exporter
from payflux.terminal.output import emit, narrator, printable
from payflux.terminal.scored_lines import LineFilter, LineMaker

MARK = b',"replayed":true}\n'
NEWEST = b"+"


@dataclass
class Tally:
    """What a replay did so far.

    Attributes:
        read: entries looked at.
        replayed: those written to where they should go.
        invalid: those that are no canonical events, and were left out.
        last_id: the newest one read.
        in_doubt: how many more may have been written, in part or whole, when it was stopped.
    """

    read: int = 0
    replayed: int = 0
    invalid: int = 0
    last_id: bytes = FIRST
    in_doubt: int = 0


def replay(
    *,
    from_: Annotated[
        str,
        Parameter(name="--from", help="Time, RFC 3339 or -15m, or entry id; included.", allow_leading_hyphen=True),
    ] = "0-0",
    until: Annotated[
        str | None,
        Parameter(
            help="Time, RFC 3339 or -15m, or entry id; included; by default the newest entry.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    to: Annotated[
        str | None,
        Parameter(
            help="Deliver to an exporter: webhook, parquet, kafka or module:Name. A time or an entry id is taken for "
            "`--until`.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    processor: Annotated[list[str] | None, Parameter(help="Only this processor; repeatable.", negative="")] = None,
    limit: Annotated[int | None, Parameter(help="At most so many events.")] = None,
    to_stdout: Annotated[bool, Parameter(help="Write export lines to stdout.", negative="")] = False,
    to_stream: Annotated[str | None, Parameter(help="Append entries to this stream.")] = None,
) -> int:
    """Replay events that are still in the stream, by time or by entry id.

    To stdout it writes the lines of the export, marked `"replayed":true`, with the risk they were exported with, from
    the log of assessments. To another stream it appends entries with `data`, `seq` and `replayed`. To an exporter it
    delivers these lines in batches, as a node would whose `PAYFLUX_EXPORTERS` names it, with the same settings
    (`PAYFLUX_EXPORT_PARQUET_URL`, ...); a destination that is down is tried for five minutes. The events stay where
    they are and no consumer group is touched. A replay that is cut short says how to continue.

    For example:

        payflux replay --from 2026-01-09T12:00:00Z --to-stdout > again.jsonl
        payflux replay --from -15m --processor stripe --to-stdout
        payflux replay --from 1767957855596-0 --limit 100 --to-stdout
        payflux replay --processor stripe --to-stream stripe_again
        payflux replay --from -1h --until -5m --to parquet

    Only Redis must be configured (REDIS_ADDR or REDIS_URL), PAYFLUX_RISK_SCORE_* and PAYFLUX_OUTCOMES as for the
    node, and the exporter, if there is one.

    Exit codes: 0 done, or the reader of stdout has gone; 1 Redis, stdout or the destination failed, or it refused
    some; 2 wrong usage or configuration; 130 interrupted.
    """
    end, option = (to, "--to") if until is None and to is not None and _is_position(to) else (until, "--until")
    exporter = None if to is None or option == "--to" else to
    places = Places(exporter, to_stream, to_stdout)
    problems = [*range_problems(from_, end, option), *_problems(limit, places)]
    try:
        values = places.settings()
    except SettingsError as error:
        problems += error.problems
    if problems:
        return refuse(SettingsError(problems))
    span = parse_position(from_, end=False), None if end is None else parse_position(end, end=True)
    say = narrator()
    wanted = LineFilter(processors=frozenset(processor or ()))
    try:
        carrier = None if exporter is None else OneOff(exporter, values, say, processors=wanted.processors)
    except ExportFailed as error:
        return _complain(error)
    job = Replay(values, wanted, limit, say, to_stream=to_stream, carrier=carrier)
    return operate(lambda: job.run(*span))


def _complain(error: ExportFailed) -> int:
    return complain(f"the destination failed: {printable(str(error))} ({error.code})")


class Places(NamedTuple):
    """Where events are to go, as it was asked for.

    Attributes:
        exporter: by name.
        stream: by name.
        stdout: whether as lines.
    """

    exporter: str | None
    stream: str | None
    stdout: bool

    def settings(self) -> Values:
        """Redis's, and those of the exporter; raises SettingsError."""
        name = self.exporter
        if name is None or not is_exporter(name):
            return redis_settings()

        def check(values: Values) -> Iterator[str]:
            return (f"{problem}, as --to names {name}" for problem in problems_of(values, name))

        return redis_settings(declared(name, environment()), [check])


def _is_position(text: str) -> bool:
    try:
        return bool(parse_position(text, end=True))
    except ValueError:
        return False


def _problems(limit: int | None, places: Places) -> Iterator[str]:
    """One line for each thing wrong with the arguments, the range aside."""
    exporter, stream, stdout = places
    if limit is not None and limit < 1:
        yield f"--limit {limit}: expected a number of events, 1 or more"
    if (exporter is not None) + (stream is not None) + stdout != 1:
        yield "--to-stdout, --to-stream NAME, --to EXPORTER: expected one of them"
    if stream is not None and (not stream.strip() or Keys().owns(stream)):
        yield f"--to-stream {stream}: expected the name of another stream, this one is PayFlux's own"
    if exporter is not None and not is_exporter(exporter):
        known = ", ".join(GROUPED)
        yield f"--to {exporter}: expected an exporter ({known} or module:Name), or a time or an entry id to end with"


class Replay:
    """One replay, to stdout, to another stream or to an exporter."""

    def __init__(
        self,
        values: Values,
        wanted: LineFilter,
        limit: int | None,
        say: Say,
        *,
        to_stream: str | None,
        carrier: OneOff | None,
    ) -> None:
        self._history = StreamHistory(address_of(values), Keys(), "payflux-replay")
        self._maker = LineMaker("payflux-replay", values)
        self._wanted, self._limit, self._to_stream, self._say = wanted, limit, to_stream, say
        self._carrier = carrier
        self._tally = Tally()

    async def run(self, start: bytes, end: bytes | None) -> int:
        """Replay everything from `start` to `end`, or to what is the newest entry now.

        Raises:
            StreamUnavailable, OSError: Redis or stdout failed; how to continue has been said.
        """
        begun = time.monotonic()
        try:
            async with self._history as history:
                newest = await history.newest()
                await self._replay(start, newest if end is None else min(end, newest, key=entry_key))
        except BrokenPipeError:
            raise
        except (StreamUnavailable, OSError, ExportFailed, asyncio.CancelledError) as error:
            if self._tally.read or self._tally.in_doubt:
                self._sum_up("error", "replay_cut_short", begun, continue_with=f"--from {self._next(start)}")
            if isinstance(error, asyncio.CancelledError):
                return EXIT_INTERRUPTED
            if isinstance(error, ExportFailed):
                return _complain(error)
            raise
        finally:
            if self._carrier is not None:
                self._carrier.close()
        self._sum_up("info", "replay_ended", begun)
        return EXIT_FAILED if self._carrier is not None and self._carrier.refused else 0

    def _next(self, start: bytes) -> str:
        if self._carrier is not None and self._carrier.waiting:
            return self._carrier.next_entry.decode()
        return (id_after(self._tally.last_id) if self._tally.read else start).decode()

    def _sum_up(self, level: str, msg: str, begun: float, **further: str) -> None:
        tally = self._tally
        facts: dict[str, object] = {"read": tally.read, "replayed": tally.replayed, "invalid": tally.invalid}
        if self._carrier is not None:
            carrier = self._carrier
            facts |= {"replayed": carrier.confirmed, "filtered": carrier.filtered, "refused": carrier.refused}
        if tally.read:
            facts["last_id"] = tally.last_id.decode()
        if tally.in_doubt:
            facts["perhaps_written_too"] = tally.in_doubt
        self._say(level, msg, **facts, seconds=round(time.monotonic() - begun, 1), **further)

    async def _replay(self, start: bytes, end: bytes) -> None:
        await self._warn_if_trimmed(start)
        await self._read(start, end)
        if self._carrier is not None:
            self._tally.in_doubt = len(self._carrier.waiting)
            await self._carrier.flush()
            self._tally.in_doubt = 0

    async def _read(self, start: bytes, end: bytes) -> None:
        """Page by page, and write what is wanted of it."""
        to_stdout = self._to_stream is None and self._carrier is None
        with _progress(await self._span(start, end), to_stdout=to_stdout) as advance:
            while entry_key(start) <= entry_key(end) and self._tally.replayed != self._limit:
                page = await self._history.page(start, end)
                if page and self._to_stream is None:
                    await self._maker.catch_up(self._history, page[-1].id)
                read, chosen = self._choose(page)
                await self._write(chosen)
                if read:
                    self._tally.last_id = page[read - 1].id
                self._tally.read += read
                advance(read)
                if len(page) < PAGE:
                    return
                start = id_after(page[-1].id)

    def _choose(self, page: Sequence[Delivery]) -> tuple[int, list[tuple[Delivery, bytes]]]:
        """How many entries of a page to take, and those of them that are wanted, with their lines."""
        chosen: list[tuple[Delivery, bytes]] = []
        for number, delivery in enumerate(page):
            if self._limit is not None and self._tally.replayed + len(chosen) == self._limit:
                return number, chosen
            try:
                line = self._maker.line(delivery)
            except InvalidEvent:
                self._tally.invalid += 1
                continue
            if self._wanted.takes(line.shown):
                chosen.append((delivery, line.data))
        return len(page), chosen

    async def _write(self, chosen: Sequence[tuple[Delivery, bytes]]) -> None:
        self._tally.in_doubt = len(chosen)
        if self._carrier is not None:
            self._tally.in_doubt += len(self._carrier.waiting)
            await self._carrier.put([line[:-2] + MARK for _, line in chosen])
        elif self._to_stream is None:
            emit(b"".join(line[:-2] + MARK for _, line in chosen))
        elif chosen:
            await self._history.copy_to(self._to_stream, [delivery for delivery, _ in chosen])
        self._tally.in_doubt = 0
        self._tally.replayed += len(chosen)

    async def _warn_if_trimmed(self, start: bytes) -> None:
        oldest = await self._history.page(FIRST, NEWEST, 1)
        if oldest and start != FIRST and oldest[0].seq > 1 and entry_key(start) < entry_key(oldest[0].id):
            self._say("warning", "older_entries_trimmed", oldest_id=oldest[0].id.decode())

    async def _span(self, start: bytes, end: bytes) -> int | None:
        """How many entries there are to read, by the first and the last number; None where these do not tell."""
        first = await self._history.page(start, end, 1)
        last = await self._history.page_back(id_after(end), 1)
        if not first or not last or not 0 < first[0].seq <= last[0].seq:
            return None
        return last[0].seq - first[0].seq + 1


@contextmanager
def _progress(total: int | None, *, to_stdout: bool) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal, unless the lines go there."""
    if not sys.stderr.isatty() or (to_stdout and sys.stdout.isatty()):
        yield lambda _: None
        return
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.advance(task, done)
