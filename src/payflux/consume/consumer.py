"""The consumer: lease, read, score, ack, export; reclaim, dead letters, and every loss counted.

It begins with care: it takes up what is pending, then reads as any member of a group does, so that an entry that kills
it is found by its deliveries. After that it follows the stream and moves the group over whole ranges, which spares
Redis the book-keeping for each entry; what it cannot finish becomes pending.

Order of one batch: lines are built, the batch is acked and noted in the ledger in one step, then the lines go to the
exporters (or before the ack, when they have to be safe first). An ack whose reply was lost is settled by asking Redis,
since it is all or nothing.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from payflux.consume.decide import Assembler
from payflux.consume.follow import BATCH, MOST, Follower
from payflux.consume.ledger import Progress
from payflux.consume.line import Enricher
from payflux.consume.sequence import Losses
from payflux.consume.settle import HALT_AFTER, Settlement, Stopped
from payflux.errors import ConsumerNameTaken, StreamUnavailable
from payflux.exporters.fanout import FanOut
from payflux.log import log
from payflux.settings import Setting, integer
from payflux.stream.deliveries import Delivery, Ledger, entry_key
from payflux.stream.protocol import GroupMissing, LeaseLost, ReadStream
from payflux.telemetry.metrics import CONSUMER_ACTIVE, GROUP_RECREATED, REDELIVERED, Metrics

CLAIM_IDLE_SEC = Setting(
    "PAYFLUX_CLAIM_IDLE_SEC", integer(1, 86400), "30", "Idle seconds after which a pending entry is taken over."
)
MAX_DELIVERIES = Setting(
    "PAYFLUX_MAX_DELIVERIES", integer(1, 1000), "5", "Deliveries of an entry before it is dead-lettered."
)
RENEW_SECONDS = 1.5
STANDBY_SECONDS = 0.5
# Between two reads under load: larger batches for fewer wake-ups, and far below what anybody waits for a line.
PACE_SECONDS, BUSY_PACE_SECONDS, BUSY = 0.004, 0.012, 32
SHOW_SECONDS = 1.0
NAME_PATIENCE_SECONDS = 12.0  # longer than a dead node keeps its name
HALT_PROBE = 10
BACKOFF_SECONDS = (0.05, 2.0)


class Consumer:
    """One member of the group, active while it holds the stream's lease.

    Args:
        stream: the consumer's side of the stream.
        enricher: makes lines.
        fan_out: takes them.
        metrics: of this child.
        token: what tells this node from every other one.
        claim_idle: seconds after which a pending entry is taken over.
        max_deliveries: deliveries of an entry before it is dead-lettered.
        export_first: a batch is acked only when its lines are safe.
        former_settled: lines of its ledger a former process of this node was done with; None when there was none.
        now: a monotonic clock.
    """

    def __init__(
        self,
        stream: ReadStream,
        enricher: Enricher,
        fan_out: FanOut,
        metrics: Metrics,
        *,
        token: str,
        claim_idle: float,
        max_deliveries: int,
        export_first: bool = False,
        former_settled: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._enricher, self._metrics = stream, enricher, metrics
        self._alone = max_deliveries == 1  # what is read with care is read one by one, so it must not be much
        self._follower = Follower(stream, BATCH if self._alone else MOST)
        self._assembler = Assembler(enricher, max_deliveries)
        self._progress = Progress(fan_out, metrics, token)
        self._settlement = Settlement(
            *(stream, self._assembler, self._progress, fan_out, metrics),
            wait=self._stay if export_first else None,
            now=now,
        )
        self._claim_idle, self._max_deliveries, self._former_settled = claim_idle, max_deliveries, former_settled
        self._now = now
        self._fresh = True
        self._holding = False
        self._group_sure = False
        self._careful = self._follower.in_hand  # entries that are still to be read as any member of a group reads them
        self._recover: bool | None = None  # whether recovery is due, and counts as an attempt
        self._renew_at = self._sweep_at = self._show_at = self._read_at = self._tail_at = 0.0
        self._name_since: float | None = None
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
            except StreamUnavailable as error:
                if delay == BACKOFF_SECONDS[0]:
                    log("warning", "consumer_stream_unavailable", code=error.code, detail=str(error))
                self._unsure()
                await self._pause(delay * random.uniform(0.5, 1))
                delay = min(BACKOFF_SECONDS[1], delay * 2)
            except GroupMissing:
                self._unsure()
            except LeaseLost:
                self._drop_lease()
            except Stopped:
                return

    async def leave(self) -> None:
        """After `run` and the end of the exporters: note that all is settled, and give up lease and name."""
        self._follower.forget()
        try:
            if self._holding:
                await self._stream.take_lease(self._progress.noted(), fresh=False)
        except (StreamUnavailable, GroupMissing):
            log("warning", "consumer_left_without_note")
        await self._stream.leave()

    async def _turn(self) -> None:
        await self._stream.connect()
        if self._now() >= self._renew_at:
            await self._renew()
        if not self._holding:
            await self._pause(STANDBY_SECONDS)
            return
        if not self._group_sure:
            await self._ensure_group()
        if self._recover is not None:
            await self._recover_all(self._recover)
        elif self._now() < self._settlement.halted_until:
            await self._pause(STANDBY_SECONDS)
            return
        elif self._now() >= self._sweep_at:
            self._sweep_at = self._now() + self._claim_idle / 2
            doubtful = self._assembler.invalid_row >= HALT_AFTER  # what we refuse to judge must not use up its budget
            await self._take_up(self._claim_idle, count_attempt=not doubtful)
        await self._read()

    async def _recover_all(self, count_attempt: bool) -> None:  # noqa: FBT001
        """Settle what is in doubt and take up what is pending; a take-over meanwhile makes it due again."""
        self._recover = None
        try:
            await self._settlement.settle_followed()
            await self._take_up(0, count_attempt=count_attempt)
            self._settlement.settle_read()
        except (StreamUnavailable, GroupMissing, LeaseLost):
            self._recover_later(count_attempt)
            raise

    def _recover_later(self, count_attempt: bool) -> None:  # noqa: FBT001
        self._recover = bool(self._recover) or count_attempt

    # reading

    async def _read(self) -> None:
        doubtful = self._assembler.invalid_row >= HALT_AFTER
        started = self._now()
        if self._careful:
            deliveries = await self._read_with_care(HALT_PROBE if doubtful else BATCH)
        else:
            after = self._progress.audit.last_id
            deliveries = await (self._follower.probe(after, HALT_PROBE) if doubtful else self._follower.read(after))
            if deliveries:
                started = self._now()
                await self._settlement.process(deliveries, followed=True)
        if deliveries:
            if len(deliveries) < BATCH and not (self._careful and self._alone):
                pace = BUSY_PACE_SECONDS if len(deliveries) > BUSY else PACE_SECONDS
                await asyncio.sleep(max(0.0, self._read_at + pace - self._now()))
            self._read_at = max(started, self._now())
        else:
            await self._check_tail()
        self._show()

    async def _read_with_care(self, count: int) -> list[Delivery]:
        """As any member of the group: what is read is pending until it is acked, and its deliveries are counted.

        With a budget of one delivery an entry must not be read beside one that may kill us.
        """
        deliveries = await self._stream.read(1 if self._alone else count, 0.001)
        self._careful = max(0, self._careful - len(deliveries)) if deliveries else 0
        if deliveries:
            behind = entry_key(deliveries[-1].id) < entry_key(self._progress.audit.last_id)
            self._careful = max(self._careful, int(behind))
            if self._skipped(deliveries[0]):
                await self._take_up(0, count_attempt=False)
            else:
                await self._settlement.process(deliveries)
        else:
            await self._catch_up(await self._stream.position())
        return deliveries

    def _skipped(self, first: Delivery) -> bool:
        """Whether events are missing before it: another member may have read them, and they are pending."""
        audit = self._progress.audit
        new = entry_key(first.id) > entry_key(audit.last_id)
        return new and audit.last_seq is not None and first.seq > audit.last_seq + 1

    async def _catch_up(self, position: bytes) -> None:
        """There is nothing to read: what the group was given beyond us is pending, or another member's and done."""
        audit = self._progress.audit
        if entry_key(position) > entry_key(audit.last_id):
            await self._take_up(0, count_attempt=False)
            audit = self._progress.audit
            audit.last_id = max(audit.last_id, position, key=entry_key)

    async def _take_up(self, idle: float, *, count_attempt: bool) -> None:
        """Process what is pending in the group, whoever read it."""
        after = b"0-0"
        seen: set[bytes] = set()
        while deliveries := await self._stream.pending(after, idle):
            self._beat()
            after = deliveries[-1].id
            if idle:  # what lies ahead of us, and another member has read, comes to us in its turn
                last = entry_key(self._progress.audit.last_id)
                deliveries = [delivery for delivery in deliveries if entry_key(delivery.id) <= last]
            seen.update(delivery.id for delivery in deliveries)
            self._settlement.found_pending(seen)
            self._metrics.add(REDELIVERED, n=len(deliveries))
            await self._process_redelivered(deliveries, count_attempt=count_attempt)
            if self._now() >= self._renew_at:
                await self._renew()
        if not idle:
            left = self._progress.left
            for entry_id in [entry_id for entry_id in left if entry_id not in seen]:
                del left[entry_id]
            self._settlement.buried_but(seen)

    async def _process_redelivered(self, deliveries: Sequence[Delivery], *, count_attempt: bool) -> None:
        """In order; one that may have killed us goes alone, so that none is counted as delivered but for itself."""
        together: list[Delivery] = []
        for delivery in deliveries:
            alone = count_attempt and (delivery.attempts > 1 or delivery.attempts + 2 > self._max_deliveries)
            if not alone:
                together.append(delivery)
                continue
            await self._try(together, count_attempt=count_attempt)
            together = []
            await self._try([delivery], count_attempt=True)
        await self._try(together, count_attempt=count_attempt)

    async def _try(self, deliveries: Sequence[Delivery], *, count_attempt: bool) -> None:
        if not deliveries:
            return
        if count_attempt:
            alive = [delivery.id for delivery in deliveries if not delivery.gone]
            if alive:
                await self._stream.attempt(alive)
            deliveries = [delivery.tried() for delivery in deliveries]
        await self._settlement.process(deliveries, redelivered=True)

    async def _check_tail(self) -> None:
        """Nothing to read: what was numbered and is not there was deleted unread."""
        last = self._progress.audit.last_seq
        if self._progress.left or last is None or self._now() < self._tail_at:
            return
        self._tail_at = self._now() + SHOW_SECONDS
        newest = await self._stream.unread_tail(self._progress.noted())
        if newest is not None and newest > last:
            self._progress.count_losses(Losses(newest - last, 0))
            self._progress.audit.last_seq = newest

    # lease and group

    async def _renew(self) -> None:
        if not await self._stream.claim_name():
            self._check_patience()
            self._renew_at = self._now() + STANDBY_SECONDS
            return
        self._name_since = None
        noted = self._progress.noted()
        before = await self._stream.take_lease(noted, fresh=self._fresh)
        if before is None:
            self._drop_lease()
            self._renew_at = self._now() + STANDBY_SECONDS
            return
        self._renew_at = self._now() + RENEW_SECONDS
        self._group_sure = False  # who follows is not told when the group vanishes
        if before is not noted:
            self._take_over(before)
        self._holding = True
        self._metrics.set(CONSUMER_ACTIVE, to=1)

    def _check_patience(self) -> None:
        self._drop_lease()
        if self._name_since is None:
            self._name_since = self._now()
            log("warning", "consumer_name_in_use", hint="waiting in case its node has just died")
        elif self._now() - self._name_since > NAME_PATIENCE_SECONDS:
            raise ConsumerNameTaken("another living node consumes under this name")

    def _take_over(self, before: Ledger) -> None:
        """The lease is new to us: go on from where its former holder got."""
        self._progress.begin(before, fresh=self._fresh, former_settled=self._former_settled)
        self._recover, self._careful = True, self._follower.in_hand
        self._settlement.forget()
        self._fresh = False
        log("info", "lease_taken", former=before.owner, last_id=self._progress.audit.last_id.decode())

    async def _stay(self) -> None:
        """Keep the lease while a batch is made safe; raises LeaseLost when it was another's meanwhile, or Stopped."""
        self._beat()
        if self._stopping.is_set():
            raise Stopped
        if self._now() >= self._renew_at:
            recover, self._recover = self._recover, None
            try:
                await self._stream.connect()
                await self._renew()
            except StreamUnavailable:  # no reason to give up what may be exported any moment
                self._renew_at = self._now() + STANDBY_SECONDS
            if not self._holding or self._recover is not None:
                raise LeaseLost("another consumer held the stream meanwhile")
            self._recover = recover

    def _drop_lease(self) -> None:
        if self._holding:
            log("warning", "lease_lost")
        self._holding = False
        self._unsure()
        self._metrics.set(CONSUMER_ACTIVE, to=0)

    def _unsure(self) -> None:
        """Something may have happened that we were not told: ask anew for the lease, the group, what is pending."""
        self._follower.forget()
        self._renew_at, self._group_sure = 0.0, False
        if self._recover is None:
            self._recover = False

    async def _ensure_group(self) -> None:
        ledger, audit = self._progress.noted(), self._progress.audit
        created = await self._stream.ensure_group(ledger)
        self._group_sure = True
        another = ledger.last_id != audit.last_id
        audit.last_id = ledger.last_id  # another stream than the one we knew, or an older state of it
        if not created:
            return
        self._settlement.doubt = None  # whatever was acked of it: the new group begins before it, and gives it again
        if audit.last_seq is None:
            audit.last_seq = 0  # a group from the first entry on
        else:
            self._metrics.add(GROUP_RECREATED)
            log("warning", "group_recreated", last_id=ledger.last_id.decode())
        if another:
            self._progress.left.clear()
        self._careful = max(self._careful, int(bool(self._progress.left)))  # what was left is to be read once more

    # what others see

    def _show(self) -> None:
        self._enricher.show_latest()
        at_ms, since = self._settlement.exported
        if self._now() >= self._show_at and at_ms:
            self._show_at = self._now() + SHOW_SECONDS
            idle_ms = int((self._now() - since) * 1000)
            self._enricher.show_decayed(at_ms + (idle_ms if idle_ms > 1000 * SHOW_SECONDS else 0))

    def _beat(self) -> None:
        self._metrics.values[self._metrics.state("heartbeat")] = self._now()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
