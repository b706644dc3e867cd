"""`payflux tail`: events as they come, with the risk they are exported with."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

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
from payflux.risk.assessment import Band
from payflux.settings import Values
from payflux.stream.deliveries import Delivery, at_ms, entry_key
from payflux.terminal.arguments import redis_settings
from payflux.terminal.ending import EXIT_USAGE, complain, operate, refuse
from payflux.terminal.incident_marks import IncidentMarks
from payflux.terminal.output import emit, narrator, printable, reader_gone
from payflux.terminal.scored_lines import LineFilter, LineMaker, ScoredLine

BLOCK_SECONDS = 1.0
BACKOFF_SECONDS = (0.1, 2.0)
LAST_AMONG = 200_000  # entries looked through for the last N
HOPELESS = ("redis_auth", "redis_forbidden", "redis_wrong_type", "redis_database", "redis_sentinel")
Show = Callable[[list[ScoredLine]], None]
STYLES = {"low": "green", "elevated": "yellow", "high": "red", "critical": "bold white on red"}
OUTCOME_STYLES = {"success": "green", "failure": "red", "neutral": ""}
ROW = "{:13}  {:8}  {:12}  {:7}  {:4}  {:>2}  {:22}"
"""As much as eighty columns hold; what comes behind it is shown on wider terminals."""
HEADINGS = ("risk", "time", "processor", "outcome", "geo", "re", "category or event")
FURTHER = "  {:18}  {}"
NARROW = 80
LAST = 10
"""How many events `--no-follow` shows, unless it is told."""


def tail(
    *,
    processor: Annotated[list[str] | None, Parameter(help="Only this processor; repeatable.", negative="")] = None,
    outcome: Annotated[list[Kind] | None, Parameter(help="Only this outcome; repeatable.", negative="")] = None,
    category: Annotated[
        list[str] | None, Parameter(help="Only this failure category; repeatable.", negative="")
    ] = None,
    band: Annotated[list[Band] | None, Parameter(help="Only this risk band; repeatable.", negative="")] = None,
    geo: Annotated[list[str] | None, Parameter(help="Only this `geo_bucket`; repeatable.", negative="")] = None,
    method: Annotated[
        list[str] | None, Parameter(help="Only this `payment_method_bucket`; repeatable.", negative="")
    ] = None,
    issuer: Annotated[list[str] | None, Parameter(help="Only this `issuer_country`; repeatable.", negative="")] = None,
    from_start: Annotated[bool, Parameter(help="Begin with the oldest entry of the stream.", negative="")] = False,
    last: Annotated[int, Parameter(help="Begin with the last N events that match, --band aside.")] = 0,
    no_follow: Annotated[
        bool, Parameter(help=f"Show what there is and end; without --last and --from-start {LAST} events.", negative="")
    ] = False,
    json: Annotated[bool, Parameter(help="JSON lines on a terminal too.", negative="")] = False,
) -> int:
    """Follow the events of the stream: rows on a terminal, the export's JSON lines in a pipe.

    It reads the stream itself, without the consumer group, so it disturbs nobody and shows events a stalled export has
    not seen. Risk is what the node said, so bands agree with those of the export; an event that the node has not read
    within a second shows what was said last. Times are UTC, by Redis's clock. Rows on a terminal are marked where an
    incident opened. It waits out a restart of Redis, and Ctrl-C ends it.

    For example:

        payflux tail
        payflux tail --processor stripe --outcome failure --last 20
        payflux tail --band high --band critical
        payflux tail --geo BR --method credit_card --last 50 --no-follow
        payflux tail --from-start | jq -r .event_id

    Only Redis must be configured (REDIS_ADDR or REDIS_URL), and PAYFLUX_RISK_SCORE_* and PAYFLUX_OUTCOMES as for the
    node.

    Exit codes: 0 interrupted, all is shown, or the reader of stdout has gone; 1 Redis cannot be used; 2 wrong usage or
    configuration.
    """
    if from_start and last:
        return complain("--from-start and --last: expected one of the two", EXIT_USAGE)
    if last < 0:
        return complain(f"--last {last}: expected a number of events, 1 or more", EXIT_USAGE)
    try:
        values = redis_settings()
    except SettingsError as error:
        return refuse(error)
    named = (frozenset(one or ()) for one in (processor, outcome, category, band, geo, method, issuer))
    wanted = LineFilter(*named, declared=values[OUTCOMES])
    maker = LineMaker("payflux-tail", values)
    if band and not maker.scores:
        return complain("--band: expected PAYFLUX_RISK_SCORE_ENABLED=true, there are no bands without it", EXIT_USAGE)
    show = _show_json if json or not sys.stdout.isatty() else _Rows()
    mark = None if json or not isinstance(show, _Rows) else show.mark
    follower = Follower(values, maker, wanted, show, narrator(), mark)
    last = LAST if no_follow and not last else last
    return operate(lambda: follower.run(None if from_start else last, ends=no_follow), interrupted=0)


def _show_json(lines: list[ScoredLine]) -> None:
    emit(b"".join(line.data for line in lines))


class _Rows:
    """Rows for people, coloured by band and outcome, with their headings once a screen."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._count = 0

    def __call__(self, lines: list[ScoredLine]) -> None:
        wide = self._console.width > NARROW
        for line in lines:
            if self._count % max(1, self._console.height - 2) == 0:
                head = ROW.format(*HEADINGS) + FURTHER.format("event", "drivers") * wide
                self._console.print(Text(head, "dim"), no_wrap=True, overflow="ellipsis")
            self._console.print(_row(line, wide=wide), no_wrap=True, overflow="ellipsis")
            self._count += 1

    def mark(self, incident: dict[str, Any]) -> None:
        """A row that says that an incident opened."""
        told = f"▶ {incident['opened'][11:19]} {incident['severity']} incident {incident['id']}: {incident['summary']}"
        style = STYLES.get(incident["severity"], "")
        self._console.print(Text(printable(told), style), no_wrap=True, overflow="ellipsis")
        self._count += 1


def _row(line: ScoredLine, *, wide: bool) -> Text:
    shown = line.shown
    at = time.strftime("%H:%M:%S", time.gmtime(int(shown.stream_message_id.partition("-")[0]) / 1000))
    risk = "-" if shown.band is None else f"{shown.score:.2f} {shown.band}"
    reason = _cut(shown.failure_category or shown.event_type, 22)
    words = (risk, at, _cut(shown.processor, 12), line.outcome, _cut(shown.geo_bucket, 4), shown.retry_count, reason)
    row = Text(ROW.format(*words))
    row.stylize(STYLES.get(shown.band or "", ""), 0, len(risk))
    row.stylize(OUTCOME_STYLES[line.outcome], 39, 46)
    if wide:
        row.append(FURTHER.format(_cut(shown.event_type, 18), ", ".join(shown.drivers)))
    return row


def _cut(text: str, width: int) -> str:
    text = printable(text)
    return text if len(text) <= width else text[: width - 1] + "…"


class Follower:
    """Follows the stream from one place on, whatever becomes of Redis meanwhile."""

    def __init__(  # noqa: PLR0917 - all it works with
        self,
        values: Values,
        maker: LineMaker,
        wanted: LineFilter,
        show: Show,
        say: Say,
        mark: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._history = StreamHistory(address_of(values), Keys(), "payflux-tail")
        self._maker, self._wanted, self._show, self._say = maker, wanted, show, say
        self._at = FIRST
        self._marks = IncidentMarks(self._history, mark, wanted.processors) if mark else None

    async def run(self, last: int | None, *, ends: bool = False) -> int:
        """Show what is wanted until cancelled.

        Args:
            last: how many of the events there are already; None for all of them.
            ends: with the newest entry there is now.

        Raises:
            StreamUnavailable: Redis cannot be reached at first, or can never be used.
        """
        async with self._history as history:
            newest = await history.newest()
            if last is not None:
                self._at = await self._behind_which(last, newest)
            while not ends or entry_key(self._at) < entry_key(newest):
                try:
                    deliveries = await history.read_after(self._at, BLOCK_SECONDS)
                    if deliveries:
                        await self._maker.catch_up(history, deliveries[-1].id)
                    if self._marks:
                        await self._marks.learn(self._at)
                except StreamUnavailable as error:
                    await self._wait_out(error)
                else:
                    self._take(deliveries)
                    if ends and not deliveries:  # what was newest is gone
                        break
                if reader_gone():
                    return 0
        return 0

    async def _behind_which(self, count: int, newest: bytes) -> bytes:
        """The id behind which the last `count` events that match begin."""
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
        self._show_all(lines)

    def _show_all(self, lines: list[ScoredLine]) -> None:
        """Show the lines; where incidents are marked one by one, so that each mark has its place."""
        if self._marks and lines:
            for line in lines:
                self._marks.before(at_ms(line.shown.stream_message_id.encode()) // 1000)
                self._show([line])
        elif self._marks:
            self._marks.rest()
        elif lines:
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
