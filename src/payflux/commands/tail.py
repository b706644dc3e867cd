"""`payflux tail`: events as they come, with the risk they are exported with."""

import asyncio
import select
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from payflux.errors import InvalidEvent, SettingsError, StreamUnavailable
from payflux.event.outcome import OUTCOMES, Kind
from payflux.log import Say
from payflux.redis.address import address_of
from payflux.redis.entries import FIRST, id_after
from payflux.redis.history import PAGE, StreamHistory
from payflux.redis.keys import Keys
from payflux.settings import Values
from payflux.stream.deliveries import Delivery, entry_key
from payflux.terminal.arguments import redis_settings
from payflux.terminal.ending import EXIT_USAGE, complain, operate, refuse
from payflux.terminal.output import emit, narrator, printable
from payflux.terminal.scored_lines import LineFilter, LineMaker, ScoredLine

Band = Literal["low", "elevated", "high", "critical"]

BLOCK_SECONDS = 1.0
BACKOFF_SECONDS = (0.1, 2.0)
LAST_AMONG = 200_000  # entries looked through for the last N
HOPELESS = ("redis_auth", "redis_forbidden", "redis_wrong_type", "redis_database", "redis_sentinel")
Show = Callable[[list[ScoredLine]], None]
STYLES = {"low": "green", "elevated": "yellow", "high": "red", "critical": "bold white on red"}
OUTCOME_STYLES = {"success": "green", "failure": "red", "neutral": ""}
ROW = "{:8}  {:12}  {:7}  {:18}  {:20}  {:>2}  {:4}  "


def tail(
    *,
    processor: Annotated[list[str] | None, Parameter(help="Only this processor; repeatable.", negative="")] = None,
    outcome: Annotated[list[Kind] | None, Parameter(help="Only this outcome; repeatable.", negative="")] = None,
    category: Annotated[
        list[str] | None, Parameter(help="Only this failure category; repeatable.", negative="")
    ] = None,
    band: Annotated[list[Band] | None, Parameter(help="Only this risk band; repeatable.", negative="")] = None,
    from_start: Annotated[bool, Parameter(help="Begin with the oldest entry of the stream.", negative="")] = False,
    last: Annotated[int, Parameter(help="Begin with the last N events that match, --band aside.")] = 0,
    json: Annotated[bool, Parameter(help="JSON lines on a terminal too.", negative="")] = False,
) -> int:
    """Follow the events of the stream: rows on a terminal, the export's JSON lines in a pipe.

    It reads the stream itself, without the consumer group, so it disturbs nobody and shows events a stalled export has
    not seen. Risk is what the node said, so bands agree with those of the export; an event that the node has not read
    within a second shows what was said last. Times are UTC, by Redis's clock. It waits out a restart of Redis, and
    Ctrl-C ends it.

    For example:

        payflux tail
        payflux tail --processor stripe --outcome failure --last 20
        payflux tail --band high --band critical
        payflux tail --from-start | jq -r .event_id

    Only Redis must be configured (REDIS_ADDR or REDIS_URL), and PAYFLUX_RISK_SCORE_* and PAYFLUX_OUTCOMES as for the
    node.

    Exit codes: 0 interrupted, or the reader of stdout has gone; 1 Redis cannot be used; 2 wrong usage or configuration.
    """
    if from_start and last:
        return complain("--from-start and --last: expected one of the two", EXIT_USAGE)
    if last < 0:
        return complain(f"--last {last}: expected a number of events, 1 or more", EXIT_USAGE)
    try:
        values = redis_settings()
    except SettingsError as error:
        return refuse(error)
    named = map(frozenset, (processor or (), outcome or (), category or (), band or ()))
    wanted = LineFilter(*named, declared=values[OUTCOMES])
    maker = LineMaker("payflux-tail", values)
    if band and not maker.scores:
        return complain("--band: expected PAYFLUX_RISK_SCORE_ENABLED=true, there are no bands without it", EXIT_USAGE)
    show = _show_json if json or not sys.stdout.isatty() else _Rows()
    follower = Follower(values, maker, wanted, show, narrator())
    return operate(lambda: follower.run(None if from_start else last), interrupted=0)


def _reader_gone() -> bool:
    """Whether stdout is a pipe that nobody will read from; a write would tell, but there may be nothing to write."""
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def _show_json(lines: list[ScoredLine]) -> None:
    emit(b"".join(line.data for line in lines))


class _Rows:
    """Rows for people, coloured by outcome and band."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._head = False

    def __call__(self, lines: list[ScoredLine]) -> None:
        if not self._head:
            self._head = True
            head = ROW.format("time", "processor", "outcome", "event", "category", "re", "geo") + "risk"
            self._console.print(Text(head, "dim"), no_wrap=True, overflow="ellipsis")
        for line in lines:
            self._console.print(_row(line), no_wrap=True, overflow="ellipsis")


def _row(line: ScoredLine) -> Text:
    shown = line.shown
    at = time.strftime("%H:%M:%S", time.gmtime(int(shown.stream_message_id.partition("-")[0]) / 1000))
    words = (_cut(shown.processor, 12), line.outcome, _cut(shown.event_type, 18), _cut(shown.failure_category, 20))
    row = Text(ROW.format(at, *words, shown.retry_count, _cut(shown.geo_bucket, 4)))
    row.stylize(OUTCOME_STYLES[line.outcome], 24, 31)
    if shown.band is not None:
        row.append(f"{shown.score:.2f} {shown.band:8}", STYLES[shown.band])
        row.append("  " + ", ".join(shown.drivers))
    return row


def _cut(text: str, width: int) -> str:
    text = printable(text)
    return text if len(text) <= width else text[: width - 1] + "…"


class Follower:
    """Follows the stream from one place on, whatever becomes of Redis meanwhile."""

    def __init__(self, values: Values, maker: LineMaker, wanted: LineFilter, show: Show, say: Say) -> None:
        self._history = StreamHistory(address_of(values), Keys(), "payflux-tail")
        self._maker, self._wanted, self._show, self._say = maker, wanted, show, say
        self._at = FIRST

    async def run(self, last: int | None) -> int:
        """Show what is wanted until cancelled.

        Args:
            last: how many of the events there are already; None for all of them.

        Raises:
            StreamUnavailable: Redis cannot be reached at first, or can never be used.
        """
        async with self._history as history:
            if last is not None:
                self._at = await self._behind_which(last)
            while True:
                try:
                    deliveries = await history.read_after(self._at, BLOCK_SECONDS)
                    if deliveries:
                        await self._maker.catch_up(history, deliveries[-1].id)
                except StreamUnavailable as error:
                    await self._wait_out(error)
                else:
                    self._take(deliveries)
                if _reader_gone():
                    return 0

    async def _behind_which(self, count: int) -> bytes:
        """The id behind which the last `count` events that match begin."""
        newest = await self._history.newest()
        end, looked, found = id_after(newest), 0, 0
        if not count:
            return newest
        while looked < LAST_AMONG:
            page = await self._history.page_back(end)
            for delivery in page:
                if found == count:
                    return delivery.id
                found += self._wanted.may_take(delivery)
            if len(page) < PAGE:
                return FIRST
            looked += len(page)
            end = page[-1].id
        return end

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        lines = []
        for delivery in deliveries:
            self._at = delivery.id
            try:
                line = self._maker.line(delivery)
            except InvalidEvent as error:
                self._say("warning", "not_an_event", entry=delivery.id.decode(), reason=error.code)
                continue
            if self._wanted.takes(line.shown):
                lines.append(line)
        if lines:
            self._show(lines)

    async def _wait_out(self, error: StreamUnavailable) -> None:
        """Connect anew, and go on behind what was read, or behind what is left where Redis has lost more than that."""
        self._say("warning", "redis_unavailable", code=error.code, detail=str(error))
        delay, longest = BACKOFF_SECONDS
        while True:
            if error.code in HOPELESS:
                raise error
            await asyncio.sleep(delay)
            delay = min(longest, delay * 2)
            try:
                await self._history.connect()
                newest = await self._history.newest()
            except StreamUnavailable as again:
                error = again
                continue
            self._at = min(self._at, newest, key=entry_key)
            self._say("info", "redis_connected")
            return
