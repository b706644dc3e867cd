"""The consumer: lease, read, score, ack, export; reclaim, dead letters, and every loss counted.

Order of one batch: lines are built, the batch is acked and noted in the ledger in one step, then the lines go to the
exporters. An ack whose reply was lost is settled by asking what is still pending, since it is all or nothing.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from payflux.batch import Assembler, Batch
from payflux.enrich import Enricher
from payflux.errors import ConsumerNameTaken, StreamUnavailable
from payflux.exporters.fanout import FanOut
from payflux.log import log
from payflux.metrics import (
    CONSUMER_ACTIVE,
    CONSUMER_HALTED,
    DEAD_LETTERED,
    GROUP_RECREATED,
    PROCESSED,
    REDELIVERED,
    STREAM_LOST,
    Metrics,
)
from payflux.seq_audit import Losses, SeqAudit, entry_key
from payflux.settings import Setting, integer
from payflux.stream import Delivery, GroupMissing, LeaseLost, Ledger, ReadStream

CLAIM_IDLE_SEC = Setting(
    "PAYFLUX_CLAIM_IDLE_SEC", integer(1, 86400), "30", "Idle seconds after which a pending entry is taken over."
)
MAX_DELIVERIES = Setting(
    "PAYFLUX_MAX_DELIVERIES", integer(1, 1000), "5", "Deliveries of an entry before it is dead-lettered."
)
BATCH = 1000
BLOCK_SECONDS = 0.5
RENEW_SECONDS = 1.5
STANDBY_SECONDS = 0.5
# Between two reads under load: larger batches for fewer wake-ups, and far below what anybody waits for a line.
PACE_SECONDS, BUSY_PACE_SECONDS, BUSY = 0.004, 0.012, 32
SHOW_SECONDS = 1.0
NAME_PATIENCE_SECONDS = 12.0  # longer than a dead node keeps its name
SUSPICIOUS = 3  # deliveries after which an entry is taken alone, so that it takes no neighbour down with it
HALT_AFTER = 100  # invalid entries in a row: something is wrong with us or with the stream, not with the entries
HALT_SECONDS = 60.0
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
        former_settled: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._enricher, self._fan_out, self._metrics = stream, enricher, fan_out, metrics
        self._assembler = Assembler(enricher, max_deliveries)
        self._token, self._claim_idle = token, claim_idle
        self._former_settled = former_settled
        self._now = now
        self._audit = SeqAudit()
        self._base = 0  # lines published before the ledger began, less those acked without one
        self._note_base()
        self._fresh = True
        self._holding = False
        self._group_sure = False
        self._recover: bool | None = None  # whether recovery is due, and counts as an attempt
        self._in_doubt: Batch | None = None
        self._left: dict[bytes, None] = {}
        self._dying: dict[bytes, str] = {}
        self._halted_until = 0.0
        self._renew_at = self._sweep_at = self._show_at = self._read_at = self._tail_at = 0.0
        self._name_since: float | None = None
        self._stream_ms, self._stream_ms_at = 0, 0.0
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

    async def leave(self) -> None:
        """After `run` and the end of the exporters: note that all is settled, and give up lease and name."""
        try:
            if self._holding:
                await self._stream.take_lease(self._noted(), fresh=False)
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
            await self._take_up(0, count_attempt=self._recover)
            await self._settle_doubts()
            self._recover = None
        elif self._now() < self._halted_until:
            await self._pause(STANDBY_SECONDS)
            return
        elif self._now() >= self._sweep_at:
            self._sweep_at = self._now() + self._claim_idle / 2
            doubtful = self._assembler.invalid_row >= HALT_AFTER  # what we refuse to judge must not use up its budget
            await self._take_up(self._claim_idle, count_attempt=not doubtful)
        await self._read()

    async def _read(self) -> None:
        deliveries = await self._stream.read(
            BATCH if self._assembler.invalid_row < HALT_AFTER else HALT_PROBE, BLOCK_SECONDS
        )
        if deliveries:
            started = self._now()
            await self._process(deliveries)
            if len(deliveries) < BATCH:
                pace = BUSY_PACE_SECONDS if len(deliveries) > BUSY else PACE_SECONDS
                await asyncio.sleep(max(0.0, self._read_at + pace - self._now()))
            self._read_at = max(started, self._now())
        else:
            await self._check_tail()
        self._show()

    async def _renew(self) -> None:
        if not await self._stream.claim_name():
            self._check_patience()
            self._renew_at = self._now() + STANDBY_SECONDS
            return
        self._name_since = None
        noted = self._noted()
        before = await self._stream.take_lease(noted, fresh=self._fresh)
        if before is None:
            self._drop_lease()
            self._renew_at = self._now() + STANDBY_SECONDS
            return
        self._renew_at = self._now() + RENEW_SECONDS
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
        """The lease is new to us: count what its former holder acked and did not export, and go on from there."""
        settled = before.settled
        if self._fresh and before.owner == self._token and self._former_settled is not None:
            settled = max(settled, self._former_settled)
        lost = max(0, before.acked - settled)
        if lost:
            self._metrics.add(STREAM_LOST, "crash", n=lost)
            log("error", "events_lost", reason="crash", events=lost, former=before.owner)
        if before.owner:
            self._audit = SeqAudit(before.last_seq, before.last_id)
            self._left = dict.fromkeys(before.left)
        elif self._fresh:
            self._audit = SeqAudit(last_seq=None)  # nobody noted how far the group is
        self._base = self._fan_out.published
        self._note_base()
        self._group_sure, self._recover, self._in_doubt = False, True, None
        self._assembler.forget_all()
        self._fresh = False
        log("info", "lease_taken", former=before.owner, last_id=self._audit.last_id.decode())

    def _drop_lease(self) -> None:
        if self._holding:
            log("warning", "lease_lost")
        self._holding = False
        self._unsure()
        self._metrics.set(CONSUMER_ACTIVE, to=0)

    def _unsure(self) -> None:
        """Something may have happened that we were not told: ask anew for the lease, the group, what is pending."""
        self._renew_at, self._group_sure = 0.0, False
        if self._recover is None:
            self._recover = False

    async def _ensure_group(self) -> None:
        ledger = self._noted()
        created = await self._stream.ensure_group(ledger)
        self._group_sure = True
        if not created:
            return
        self._in_doubt = None  # whatever was acked of it: the new group begins before it, and gives it again
        if self._audit.last_seq is None:
            self._audit.last_seq = 0  # a group from the first entry on
        else:
            self._metrics.add(GROUP_RECREATED)
            log("warning", "group_recreated", last_id=ledger.last_id.decode())
        if ledger.last_id != self._audit.last_id:
            self._audit.last_id = ledger.last_id  # another stream than the one we knew
            self._left.clear()

    async def _take_up(self, idle: float, *, count_attempt: bool) -> None:
        """Process what is pending in the group, whoever read it."""
        after = b"0-0"
        seen: set[bytes] = set()
        while deliveries := await self._stream.pending(after, idle, count_attempt=count_attempt):
            self._beat()
            after = deliveries[-1].id
            seen.update(delivery.id for delivery in deliveries)
            if self._in_doubt is not None and not seen.isdisjoint(self._in_doubt.ids):
                self._in_doubt = None  # the ack in doubt did not happen: these are it again
            self._metrics.add(REDELIVERED, n=len(deliveries))
            await self._process_redelivered(deliveries)
            if self._now() >= self._renew_at:
                await self._renew()
        if not idle:
            for entry_id in [entry_id for entry_id in self._left if entry_id not in seen]:
                del self._left[entry_id]
            for entry_id in [entry_id for entry_id in self._dying if entry_id not in seen]:
                self._metrics.add(DEAD_LETTERED, self._dying.pop(entry_id))

    async def _process_redelivered(self, deliveries: Sequence[Delivery]) -> None:
        together = [d for d in deliveries if d.attempts < SUSPICIOUS]
        if together:
            await self._process(together, redelivered=True)
        for delivery in deliveries:
            if delivery.attempts >= SUSPICIOUS:
                await self._process([delivery], redelivered=True)

    async def _settle_doubts(self) -> None:
        batch, self._in_doubt = self._in_doubt, None
        if batch is not None:
            self._commit(batch, b"1" * len(batch.ids))
        self._assembler.forget_all()

    async def _process(self, deliveries: Sequence[Delivery], *, redelivered: bool = False) -> None:
        batch = self._assembler.batch(deliveries, self._audit, self._left, redelivered=redelivered)
        self._left.update(dict.fromkeys([*batch.invalid, *batch.failed]))
        ids = batch.ids
        after = self._noted(batch.audit, acking=set(ids))
        try:
            flags = await self._stream.ack(ids, after, len(ids) + len(after.left))
        except (StreamUnavailable, LeaseLost, GroupMissing) as error:
            self._assembler.keep(batch)
            if isinstance(error, StreamUnavailable):
                self._in_doubt = batch
            raise
        self._commit(batch, flags)
        await self._bury(batch)

    def _commit(self, batch: Batch, flags: bytes) -> None:
        """The ack has happened: count it, and hand the lines of what was ours to the exporters."""
        lines = list(batch.lines.values())
        if b"0" in flags:
            lines = [line for line, flag in zip(lines, flags, strict=False) if flag == ord("1")]
        silent = [d for d, flag in zip(batch.silent, flags[len(batch.lines) :], strict=True) if flag == ord("1")]
        gone = sum(delivery.gone and entry_key(delivery.id) <= entry_key(self._audit.last_id) for delivery in silent)
        self._count_losses(batch.audit.losses(), gone)
        self._audit = batch.audit.settled()
        for entry_id in batch.ids if self._left else ():
            self._left.pop(entry_id, None)
        self._base -= len(silent)
        self._note_base()
        values = self._metrics.values
        values[self._metrics.slot(PROCESSED)] += len(lines)
        for slots, n in Counter([line.slots for line in lines]).items():
            for slot in slots:
                values[slot] += n
        if lines:
            self._fan_out.publish([line.data for line in lines])
            self._stream_ms = int(self._audit.last_id.partition(b"-")[0])
            self._stream_ms_at = self._now()
        self._enricher.show_latest()

    def _count_losses(self, losses: Losses, gone: int) -> None:
        for reason, events in (("trimmed", losses.trimmed + gone), ("reset", losses.reset)):
            if events:
                self._metrics.add(STREAM_LOST, reason, n=events)
                log("error", "events_lost", reason=reason, events=events)

    async def _bury(self, batch: Batch) -> None:
        """Dead-letter what can never be processed, unless that is nearly everything."""
        for delivery, reason in batch.invalid.values():
            if self._assembler.invalid_row >= HALT_AFTER and reason != "max_deliveries":
                self._halt()
                return
            self._dying[delivery.id] = reason
            buried = await self._stream.dead_letter(delivery, reason, self._noted())
            del self._dying[delivery.id]
            self._left.pop(delivery.id, None)
            if buried:
                self._metrics.add(DEAD_LETTERED, reason)
                log("warning", "dead_lettered", entry=delivery.id.decode(), reason=reason)
        self._metrics.set(CONSUMER_HALTED, to=0)

    def _halt(self) -> None:
        self._halted_until = self._now() + HALT_SECONDS
        self._assembler.in_doubt = True
        self._metrics.set(CONSUMER_HALTED, to=1)
        log("error", "consumer_halted", reason="nearly everything read is invalid", pending=len(self._left))

    async def _check_tail(self) -> None:
        """Nothing to read: what was numbered and is not there was deleted unread."""
        last = self._audit.last_seq
        if self._left or last is None or self._now() < self._tail_at:
            return
        self._tail_at = self._now() + SHOW_SECONDS
        newest = await self._stream.unread_tail(self._noted())
        if newest is not None and newest > last:
            self._count_losses(Losses(newest - last, 0), 0)
            self._audit.last_seq = newest

    def _noted(self, audit: SeqAudit | None = None, acking: Collection[bytes] = ()) -> Ledger:
        at = audit or self._audit
        return Ledger(
            self._token,
            settled=max(0, self._fan_out.settled - self._base),
            last_id=at.last_id,
            last_seq=at.last_seq or 0,
            left=tuple(sorted((i for i in self._left if i not in acking), key=entry_key)) if self._left else (),
        )

    def _note_base(self) -> None:
        """For a successor in this node: what it needs to tell our lines of this ledger from earlier ones."""
        self._metrics.values[self._metrics.state("base")] = self._base

    def _show(self) -> None:
        if self._now() >= self._show_at and self._stream_ms:
            self._show_at = self._now() + SHOW_SECONDS
            idle_ms = int((self._now() - self._stream_ms_at) * 1000)
            self._enricher.show_decayed(self._stream_ms + (idle_ms if idle_ms > 1000 * SHOW_SECONDS else 0))

    def _beat(self) -> None:
        self._metrics.values[self._metrics.state("heartbeat")] = self._now()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
