"""The scorer beside the consumer: time passes for it, what it says is kept, and comes back after a restart.

The consumer counts an event when it makes its line. All else happens here: processors without events, what is to be
kept, and what a successor needs to go on as if nothing had happened.
"""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec

from payflux.consume.line import Enricher
from payflux.consume.succession.incidents import Announce, Incidents, nobody
from payflux.consume.succession.refusals import Refusals
from payflux.consume.succession.snapshots import Snapshots, packed, unpacked
from payflux.errors import InvalidEvent, StreamUnavailable
from payflux.log import log
from payflux.risk.assessment import RiskAssessment
from payflux.risk.incidents.record import RUNBOOK
from payflux.risk.scoring import Scorer
from payflux.stream.deliveries import Change, Ledger, RiskNews, Scored, entry_key
from payflux.stream.protocol import ReadStream

TICK_SECONDS = 0.002
"""No batch waits longer for processors that have no events; but once in `WHOLE_SECONDS` all of them have their turn."""

WHOLE_SECONDS = 1.0

QUIET_SEC = 2
"""A second is over when the stream's clock is so far beyond it and nothing is unread."""

PAGE = 1000

_assessment = msgspec.json.Decoder(RiskAssessment).decode
_encode = msgspec.json.Encoder().encode


class Scoring:
    """Keeps a scorer going.

    Args:
        stream: the consumer's side of the stream.
        scorer: counts what the enricher makes lines of; None when scoring is off, and nothing is done here.
        enricher: makes lines, and shows the risk.
        maxlen: about how many entries the stream holds; 0 when it is not trimmed.
        announce: is given what became of incidents, once it is kept.
        runbook: the address incidents link to.
        refusals: what ingestion refuses, for what is said of a silence.
        now: a monotonic clock.
    """

    def __init__(  # noqa: PLR0917 - all it works with
        self,
        stream: ReadStream,
        scorer: Scorer | None,
        enricher: Enricher,
        maxlen: int,
        announce: Announce = nobody,
        runbook: str = RUNBOOK,
        refusals: Refusals | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._scorer, self._enricher, self._now = stream, scorer, enricher, now
        self._snapshots = Snapshots(maxlen)
        known = (announce, runbook, refusals, now)
        self._incidents = Incidents(stream, scorer, *known) if scorer is not None else None
        self._unkept: dict[tuple[str, int], Change] = {}
        self._said: list[RiskAssessment] = []  # and not shown yet
        self._looked, self._looked_at = Scored(), 0.0
        self._owed = RiskNews()  # it is not kept yet
        self._stale = True

    def forget(self) -> None:
        """Another consumer may have scored meanwhile: before anything else is scored, `recover`."""
        self._stale = True

    def doubt(self) -> None:
        """Redis may have an older state than it had."""
        if self._incidents is not None:
            self._incidents.doubt()

    @property
    def unkept(self) -> Sequence[Change]:
        """What was said and is not kept yet."""
        if self._scorer is not None and (said := self._scorer.take_said()):
            self._say(said)
        return tuple(self._unkept.values())

    def _say(self, said: Sequence[RiskAssessment]) -> None:
        self._said += said
        for one in said:
            self._unkept[one.processor, one.second] = _change(one)

    def kept(self, changes: Sequence[Change]) -> None:
        """These were kept."""
        for change in changes:
            self._unkept.pop(change[:2], None)

    async def keep(self) -> None:
        """Keep what was said, before anything is acked that it was said of.

        Raises:
            StreamUnavailable: perhaps it was not kept, and will be tried again. LeaseLost: it was not.
        """
        if changes := self.unkept:
            await self._keep(RiskNews(changes))

    async def _keep(self, news: RiskNews) -> None:
        """Keep what is to be kept; what stands in its way is told, and must not keep events from coming out."""
        try:
            await self._stream.keep_risk(news)
        except StreamUnavailable as error:
            if error.code in {"redis_down", "redis_timeout"}:
                raise
            log("error", "risk_not_kept", code=error.code, detail=str(error))
        self.kept(news.changes)

    async def pass_time(self, ledger: Ledger, clock_ms: int | None) -> None:
        """After a batch, or when there was none: tick what has no events, show the risk, keep a snapshot if one is due.

        Args:
            ledger: how far the consumer got.
            clock_ms: the stream's clock, if nothing is unread; None when something may be.

        Raises:
            StreamUnavailable, LeaseLost: as `keep` does.
        """
        if self._scorer is None or self._stale:
            return
        place = self._place(ledger, clock_ms)
        if place != self._looked:
            self._tick(place)
        changes = self.unkept
        self._enricher.show(self._said)
        self._said.clear()
        if self._looked == place:
            self._look(place)
        if self._incidents is not None:
            await self._incidents.keep()  # before the snapshot: what is in it is not found anew by a successor
        if self._owed.snapshots or self._owed.forgotten or (changes and clock_ms is not None):
            await self._keep(self._owed._replace(changes=changes))
            self._owed = RiskNews()

    def _look(self, place: Scored) -> None:
        """When all processors were ticked: a snapshot if one is due, and what became of incidents."""
        if not (self._owed.snapshots or self._owed.forgotten):
            self._owed = self._news(place)
        if self._incidents is not None:
            self._incidents.step(place.second, anyway=bool(self._owed.snapshots))

    def _place(self, ledger: Ledger, clock_ms: int | None) -> Scored:
        """Up to where everything was seen, in stream time."""
        second, first = self._enricher.begun
        over = clock_ms // 1000 - QUIET_SEC if clock_ms is not None else 0
        return Scored(over, _next(ledger)) if over >= second else Scored(second - 1, first)

    def _tick(self, place: Scored) -> None:
        """Let a second pass for the processors that have something to do in it, as many as there is time for."""
        assert self._scorer is not None
        now = self._now()
        until = now + TICK_SECONDS if now - self._looked_at < WHOLE_SECONDS else math.inf
        for processor in self._scorer.due(place.second):
            self._say(self._scorer.tick_one(processor, place.second))
            if self._now() >= until:
                return
        self._looked, self._looked_at = place, self._now()

    def _news(self, place: Scored) -> RiskNews:
        """The snapshot that is due, if one is."""
        assert self._scorer is not None
        self._snapshots.forget(self._scorer.rest(place.second))
        forgotten = self._scorer.take_forgotten()
        self._snapshots.forget(forgotten)
        processor = self._snapshots.due(self._scorer, place)
        if processor is None:
            return RiskNews(forgotten=forgotten)
        self._say(self._scorer.tick_one(processor, place.second))
        data = packed(place, self._scorer.snapshot(processor))
        said = _change(self._scorer.latest(processor))
        self._snapshots.taken(processor, place)
        return RiskNews(snapshots={processor: (said, data)}, scored=self._snapshots.scored, forgotten=forgotten)

    async def recover(self, ledger: Ledger, stay: Callable[[], Awaitable[None]]) -> None:
        """If somebody else may have scored: go on from what is kept, and from the entries after it.

        Args:
            ledger: how far the group is; the entries up to there were scored before.
            stay: called now and then.

        Raises:
            StreamUnavailable, LeaseLost, GroupMissing: try again.
        """
        if self._scorer is None or self._incidents is None or not self._stale:
            return
        self._scorer.clear()
        self._snapshots.clear()
        self._unkept.clear()
        self._owed = RiskNews()
        told = await self._incidents.recover()
        kept = await self._stream.risk()
        for data in kept.log:
            with suppress(msgspec.DecodeError):
                self._scorer.recall(_assessment(data))
        for processor in kept.current:
            self._restore(processor, await self._stream.snapshot(processor))
            await stay()
        await self._replay(kept.scored, ledger, stay)
        for processor in self._scorer.due(told.second):
            self._say(self._scorer.tick_one(processor, told.second))
        self._incidents.miss(told)
        self._stale = False
        self._looked = Scored()
        self._enricher.show(self._scorer.current())

    def _restore(self, processor: str, data: bytes | None) -> None:
        if data is None or self._scorer is None:
            return
        try:
            place, known = unpacked(data)
            self._scorer.restore(processor, known)
        except (ValueError, LookupError, TypeError, AttributeError, msgspec.DecodeError) as error:
            log("warning", "snapshot_unreadable", processor=processor, error=type(error).__name__)
        else:
            self._snapshots.taken(processor, place)

    async def _replay(self, scored: Scored, ledger: Ledger, stay: Callable[[], Awaitable[None]]) -> None:
        """Score what came after the snapshots once more."""
        after, end = scored.just_before, entry_key(ledger.last_id)
        first = None
        while entry_key(after) < end:
            page = await self._stream.follow(after, PAGE, 0.001)
            page = [delivery for delivery in page if entry_key(delivery.id) <= end]
            for delivery in page:
                if delivery.id not in ledger.unacked:
                    with suppress(InvalidEvent):  # an entry that was never exported was never scored
                        self._enricher.line(delivery, b"")
            if not page:
                break
            first, after = first or page[0].seq, page[-1].id
            await stay()
        self._tell_gap(scored, first or _next(ledger))

    def _tell_gap(self, scored: Scored, first: int) -> None:
        if scored.seq and first > scored.seq and self._scorer is not None:
            log("warning", "baseline_gap", events=first - scored.seq)
            self._scorer.miss()


def _change(said: RiskAssessment) -> Change:
    return Change(said.processor, said.second, _encode(said))


def _next(ledger: Ledger) -> int:
    """The number after the last one seen; 0 when that is not known."""
    return ledger.last_seq + 1 if ledger.last_seq is not None else 0
