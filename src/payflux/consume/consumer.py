"""The consumer: read, score, ack, export; reclaim, dead letters, and every loss counted.

It begins with care: it takes up what is pending, then reads as any member of a group does, so that an entry that kills
it is found by its deliveries. After that it follows the stream and moves the group over whole ranges, which spares
Redis the book-keeping for each entry; what it cannot finish becomes pending. `states.py` says when it does what.

Order of one batch: lines are built, the batch is acked and noted in the ledger in one step, then the lines go to the
exporters (or before the ack, when they have to be safe first). An ack whose reply was lost is settled by asking Redis,
since it is all or nothing.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from payflux.consume.decide import Assembler
from payflux.consume.follow import BATCH, MOST, CarefulReader, ReadAhead, Reader
from payflux.consume.ledger import ConsumerLedger
from payflux.consume.line import Enricher
from payflux.consume.membership import STANDBY_SECONDS, Membership
from payflux.consume.parting import Parting
from payflux.consume.reclaim import Reclaim
from payflux.consume.scoring import Scoring
from payflux.consume.settle import Outdated, Settlement, Stopped
from payflux.consume.states import TRANSITIONS, News, State
from payflux.consume.succession.incidents import Announce, nobody
from payflux.consume.succession.refusals import Refusals
from payflux.errors import StreamUnavailable
from payflux.exporters.fanout import FanOut
from payflux.log import log
from payflux.risk.incidents.record import RUNBOOK
from payflux.risk.scoring import Scorer
from payflux.settings import Setting, integer
from payflux.stream.protocol import GroupMissing, LeaseLost, ReadStream
from payflux.telemetry.metrics import Metrics

CLAIM_IDLE_SEC = Setting(
    "PAYFLUX_CLAIM_IDLE_SEC", integer(1, 86400), "30", "Idle seconds after which a pending entry is taken over."
)
MAX_DELIVERIES = Setting(
    "PAYFLUX_MAX_DELIVERIES", integer(1, 1000), "5", "Deliveries of an entry before it is dead-lettered."
)
# Between two reads under load: larger batches for fewer wake-ups, and far below what anybody waits for a line.
PACE_SECONDS, BUSY_PACE_SECONDS, BUSY = 0.004, 0.012, 32
LOOK_SECONDS = 1.0
WAITING = 2000  # invalid entries that may wait while it is halted; then nothing more is read
PROBE = 10  # entries read at once while nearly everything is invalid
BACKOFF_SECONDS = (0.05, 2.0)


class Consumer:
    """One member of a group, active while it holds the group's lease.

    Args:
        stream: the consumer's side of the stream, for the group it consumes for.
        enricher: makes lines.
        fan_out: takes them.
        metrics: of this consumer; a second one beside it, for another group, is given numbers of its own.
        scorer: scores what the enricher makes lines of; None when scoring is off.
        announce: is given what became of incidents, once it is kept.
        runbook: the address incidents link to.
        maxlen: about how many entries the stream holds; 0 when it is not trimmed.
        token: what tells this node from every other one.
        claim_idle: seconds after which a pending entry is taken over.
        max_deliveries: deliveries of an entry before it is dead-lettered.
        export_first: a batch is acked only when its lines are safe.
        former_settled: lines of its ledger a former process of this node was done with; None when there was none.
        reader: reads what follows an entry; None: as much as there is, and ahead.
        reach: waits until what is said of entries up to one is known, for a consumer that does not say it itself; it is
            given what to await meanwhile.
        now: a monotonic clock.
    """

    def __init__(
        self,
        stream: ReadStream,
        enricher: Enricher,
        fan_out: FanOut,
        metrics: Metrics,
        *,
        scorer: Scorer | None = None,
        announce: Announce = nobody,
        runbook: str = RUNBOOK,
        maxlen: int = 0,
        token: str,
        claim_idle: float,
        max_deliveries: int,
        export_first: bool = False,
        former_settled: int | None = None,
        reader: Reader | None = None,
        reach: Callable[[bytes, Callable[[], Awaitable[None]]], Awaitable[None]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._now = stream, now
        self._notes = metrics.notes
        self._alone = max_deliveries == 1  # what is read with care is read one by one, so it must not be much
        self._assembler = Assembler(enricher, max_deliveries)
        self._ledger = ConsumerLedger(fan_out, metrics, token, former_settled)
        self._membership = Membership(stream, self._ledger, metrics, now=now)
        self._parting = Parting(stream, self._ledger)
        self._ahead = reader or ReadAhead(stream, BATCH if self._alone else MOST)
        self._careful = CarefulReader(stream, self._ledger, alone=self._alone)
        self._scoring = Scoring(stream, scorer, enricher, maxlen, announce, runbook, Refusals(metrics), now)
        self._settlement = Settlement(
            *(stream, self._assembler, self._ledger, fan_out, metrics, self._scoring),
            wait=self._wait_for_lines if export_first else None,
            reach=None if reach is None else lambda entry_id: reach(entry_id, self._wait_for_lines),
            now=now,
        )
        self._reclaim = Reclaim(
            *(stream, self._settlement, self._ledger, metrics),
            stay=self._stay,
            claim_idle=claim_idle,
            max_deliveries=max_deliveries,
            now=now,
        )
        self._turns = {
            State.STANDBY: self._stand_by,
            State.RECOVER: self._recover,
            State.CAREFUL: self._read_with_care,
            State.FOLLOW: self._follow,
            State.HALTED: self._halt,
        }
        self._state = State.STANDBY
        self._read_at = self._tail_at = 0.0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish the batch in hand, then let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`.

        Raises:
            ConsumerNameTaken: another living node uses the name.
        """
        delay = BACKOFF_SECONDS[0]
        while not self._stopping.is_set():
            self._beat()
            try:
                await self._turn()
                delay = BACKOFF_SECONDS[0]
                self._notes.meet("")
            except StreamUnavailable as error:
                self._notes.meet(error.code)
                if delay == BACKOFF_SECONDS[0]:
                    log("warning", "consumer_stream_unavailable", code=error.code, detail=str(error))
                self._hear(News.NO_REPLY)
                await self._pause(delay * random.uniform(0.5, 1))
                delay = min(BACKOFF_SECONDS[1], delay * 2)
            except (GroupMissing, Outdated):
                self._hear(News.NO_REPLY)
            except LeaseLost:
                self._membership.lost()
                self._hear(News.LEASE_LOST)
            except Stopped:
                return

    async def leave(self) -> None:
        """After `run` and the end of the exporters: note that all is settled, and give up lease and name."""
        self._ahead.forget()
        await self._membership.leave()

    async def _turn(self) -> None:
        await self._membership.connect()
        if news := await self._membership.renew():
            self._hear(news)
        if self._state is not State.STANDBY:
            if not self._membership.sure:
                await self._look_for_group()
            await self._scoring.recover(self._ledger.noted(), self._stay)
        await self._turns[self._state]()

    async def _look_for_group(self) -> None:
        if await self._parting.find():
            self._hear(News.ROLLED_BACK)
        if await self._membership.ensure_group():
            self._hear(News.GROUP_MADE)

    def _hear(self, news: News) -> None:
        """Go on in the state that follows from the news."""
        match news:
            case News.LEASE_TAKEN:
                self._settlement.taken()
                self._scoring.forget()
                self._reclaim.suspect()
                self._careful.owe(self._ahead.in_hand)
            case News.LEASE_LOST:
                self._ahead.forget()
            case News.NO_REPLY:
                self._ahead.forget()
                self._membership.doubt()
                self._scoring.doubt()
            case News.ROLLED_BACK:
                self._ahead.forget()
                self._settlement.rolled_back()
                self._scoring.doubt()
                self._careful.owe(self._ahead.in_hand)
            case News.GROUP_MADE:
                self._settlement.group_made()
                self._reclaim.trust()
                self._careful.owe(len(self._ledger.unacked))
        self._state = TRANSITIONS.get((self._state, news), self._state)

    # what is done in each state

    async def _stand_by(self) -> None:
        await self._pause(STANDBY_SECONDS)

    async def _recover(self) -> None:
        await self._reclaim.recover()
        self._hear(News.ALL_INVALID if self._settlement.halted else News.RECOVERED)

    async def _read_with_care(self) -> None:
        if not self._careful.due:
            self._hear(News.CAUGHT_UP)
            return
        await self._reclaim.sweep(count_attempt=not self._assembler.suspicious)
        deliveries = await self._careful.read(PROBE if self._assembler.suspicious else BATCH)
        if not deliveries:  # what the group was given beyond us is pending, or another member's and done
            await self._pass(await self._stream.position())
        elif not self._ledger.is_behind(deliveries[0].id) and await self._parting.find():
            self._hear(News.ROLLED_BACK)  # new entries with ids below those we have seen: the clock went back
            return
        elif self._ledger.follows(deliveries[0].id, deliveries[0].seq):
            await self._settlement.process(deliveries)
        else:  # another member may have read what is missing, and it is pending
            await self._reclaim.take_up_all()
        await self._end_turn(len(deliveries), pace=not self._alone)

    async def _follow(self) -> None:
        await self._reclaim.sweep(count_attempt=not self._assembler.suspicious)
        after = self._ledger.last_id
        if self._assembler.suspicious:
            deliveries = await self._ahead.probe(after, PROBE)
        else:
            deliveries = await self._ahead.read(after)
        if deliveries:
            await self._settlement.process(deliveries, followed=True)
        await self._end_turn(len(deliveries))

    async def _halt(self) -> None:
        """Nothing is dead-lettered; a valid entry behind the invalid ones passes, and proves that they are to blame."""
        if not self._settlement.halted:
            self._hear(News.TIME_IS_UP)
        elif len(self._ledger.unacked) >= WAITING:
            await self._pause(STANDBY_SECONDS)
        else:
            if deliveries := await self._ahead.probe(self._ledger.last_id, BATCH):
                await self._settlement.process(deliveries, followed=True)
            await self._end_turn(len(deliveries))

    # parts of it

    async def _pass(self, position: bytes) -> None:
        if self._ledger.is_behind(position):
            await self._reclaim.take_up_all()
            self._ledger.passed(position)
            await self._settlement.note()

    async def _end_turn(self, entries: int, *, pace: bool = True) -> None:
        """After reading so many entries."""
        await self._settlement.bury_again()
        if self._settlement.halted:
            self._hear(News.ALL_INVALID)
        if entries:
            if pace and entries < BATCH:
                seconds = BUSY_PACE_SECONDS if entries > BUSY else PACE_SECONDS
                await asyncio.sleep(max(0.0, self._read_at + seconds - self._now()))
            self._read_at = self._now()
        clock_ms = None if entries else await self._look_at_end()
        await self._scoring.pass_time(self._ledger.noted(), clock_ms)

    async def _look_at_end(self) -> int | None:
        """Nothing to read: what was numbered and is not there was deleted unread.

        Returns:
            The stream's clock in milliseconds; None when something is unread, or it is not time to look again.
        """
        if self._now() < self._tail_at:
            return None
        self._tail_at = self._now() + LOOK_SECONDS
        tail = await self._stream.unread_tail(self._ledger.noted())
        if tail is None:
            return None
        if self._ledger.begun and not self._ledger.unacked and self._ledger.lacks(tail.seq):
            await self._miss(tail.seq)
        return tail.at_ms

    async def _miss(self, newest: int) -> None:
        """Nothing follows, and more was numbered: it was deleted, unless Redis has an older state."""
        if await self._parting.find():
            self._hear(News.ROLLED_BACK)
        else:
            self._ledger.ended(newest, await self._stream.numbers(self._ledger.last_id))

    async def _stay(self) -> None:
        """During long work."""
        self._beat()
        await self._membership.stay()

    async def _wait_for_lines(self) -> None:
        """While a batch is made safe, or before it is made."""
        if self._stopping.is_set():
            raise Stopped
        await self._stay()

    def _beat(self) -> None:
        self._notes.beat(self._now())

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
