"""What becomes of a batch: acked and exported, or exported and acked; what cannot be read is dead-lettered."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from payflux.consume.audit import SeqAudit
from payflux.consume.decide import Assembler, Batch
from payflux.consume.doubt import Run, runs_of
from payflux.consume.follow import MOST
from payflux.consume.ledger import ConsumerLedger, Step
from payflux.consume.line import Line
from payflux.consume.scoring import Scoring
from payflux.errors import StreamUnavailable
from payflux.exporters.fanout import FanOut
from payflux.log import log
from payflux.stream.deliveries import Change, Delivery, entry_key, just_before
from payflux.stream.protocol import BurialRefused, GroupMissing, LeaseLost, ReadStream
from payflux.telemetry.metrics import CONSUMER_HALTED, DEAD_LETTERED, PROCESSED, Metrics

HALT_SECONDS = 60.0
WAIT_SECONDS = 0.5
BURY_SECONDS = 2.0  # between two attempts while the dead-letter stream takes nothing
REFUSED = 1000  # entries that wait for it in memory; what is pending beyond them is taken up by and by


class Stopped(Exception):
    """The consumer ends before a batch could be made safe; it is not acked."""


class Outdated(Exception):
    """Redis has an older state than we have seen: what was read of it has to be read again; nothing was changed."""


class _Ack(NamedTuple):
    """An ack that is to happen: all of it or nothing.

    Attributes:
        deliveries: what was read.
        batch: what is acked of it.
        step: what that changes in the ledger.
        followed: it moves the group over a range; else single entries are acked.
        changes: assessments that are kept with it.
    """

    deliveries: Sequence[Delivery]
    batch: Batch
    step: Step
    followed: bool
    changes: Sequence[Change] = ()

    def but(self, refused: Mapping[bytes, tuple[Delivery, str]]) -> "_Ack":
        """The same, but that these are not acked: their destination refused them, and they are to be dead-lettered."""
        if not refused:
            return self
        batch = self.batch.but(refused)
        lines = runs_of(one.seq for one in self.deliveries if one.id in batch.lines)
        return self._replace(batch=batch, step=self.step._replace(acked=batch.ids, undone=batch.undone, lines=lines))


class Settlement:
    """Settles batches, one at a time.

    Args:
        stream: the consumer's side of the stream.
        assembler: decides what becomes of each entry.
        ledger: how far the consumer got.
        fan_out: takes the lines.
        metrics: of this consumer.
        scoring: what is said of processors meanwhile.
        wait: called twice a second while lines are being made safe before their ack; None: they are exported after it.
        reach: waits until what is said of entries up to one is known; None: we say it ourselves.
        now: a monotonic clock.
    """

    def __init__(  # noqa: PLR0917 - all it works with
        self,
        stream: ReadStream,
        assembler: Assembler,
        ledger: ConsumerLedger,
        fan_out: FanOut,
        metrics: Metrics,
        scoring: Scoring,
        *,
        wait: Callable[[], Awaitable[None]] | None = None,
        reach: Callable[[bytes], Awaitable[None]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._assembler, self._ledger = stream, assembler, ledger
        self._fan_out, self._metrics, self._wait, self._now = fan_out, metrics, wait, now
        self._scoring, self._reach = scoring, reach
        self._values, self._processed = metrics.values, metrics.slot(PROCESSED)
        self._halted_slot = metrics.slot(CONSUMER_HALTED)
        self._unanswered: _Ack | None = None  # it had no reply
        self._halted_until = 0.0
        self._dying: dict[bytes, str] = {}  # being dead-lettered, and why
        self._refused: dict[bytes, tuple[Delivery, str]] = {}  # the dead-letter stream did not take them
        self._bury_at = 0.0

    @property
    def halted(self) -> bool:
        """Whether nothing is to be read for a while, as nearly everything read was invalid."""
        return self._assembler.suspicious and self._now() < self._halted_until

    async def process(
        self, deliveries: Sequence[Delivery], *, redelivered: bool = False, followed: bool = False
    ) -> None:
        """Settle entries.

        Args:
            deliveries: in stream order, at least one.
            redelivered: they were pending.
            followed: they are not pending: everything after the newest entry seen, as the stream was followed.
        """
        if self._reach is not None:
            await self._reach(deliveries[-1].id)
        known = self._known(deliveries)
        batch = self._assembler.batch(deliveries, known, self._ledger.unacked, redelivered=redelivered)
        step = await self._step(deliveries, known, batch)
        ack = _Ack(deliveries, batch, step, followed, self._scoring.unkept)
        if self._wait is not None:
            ack = await self._make_safe(ack, self._wait)
        try:
            ack, flags = await self._send(ack)
        except (StreamUnavailable, LeaseLost, GroupMissing) as error:
            self._assembler.keep(ack.batch)
            if isinstance(error, StreamUnavailable):
                self._unanswered = ack
            raise
        self._acked(ack, flags)
        await self._bury(ack.batch)

    def _known(self, deliveries: Sequence[Delivery]) -> int:
        """How many of these, the first ones, are not newer than the newest entry seen."""
        if self._ledger.is_behind(deliveries[0].id):
            return 0
        return sum(not self._ledger.is_behind(delivery.id) for delivery in deliveries)

    async def _step(self, deliveries: Sequence[Delivery], known: int, batch: Batch) -> Step:
        new = deliveries[known:]
        seqs = [delivery.seq for delivery in new if not delivery.lost_to]
        audit = self._ledger.after(seqs, deliveries[-1].id) if len(seqs) == len(new) else None
        if audit is not None and len(batch.lines) == len(seqs) == len(deliveries):
            return Step(audit, batch.ids, (), (Run(seqs[0], seqs[-1]),))
        lines = runs_of(delivery.seq for delivery in deliveries if delivery.id in batch.lines)
        return Step(audit or await self._look_into_gap(new), batch.ids, batch.undone, lines)

    async def _look_into_gap(self, deliveries: Sequence[Delivery]) -> SeqAudit:
        numbers, noted = await self._stream.numbers(deliveries[-1].id), await self._stream.noted()
        if self._ledger.behind(noted):
            raise Outdated
        return self._ledger.after_gap(deliveries, numbers)

    async def _send(self, ack: _Ack) -> tuple[_Ack, bytes]:
        """Ack; returns what was acked in the end, and for each of its ids `1` or `0`."""
        _, batch, step, followed, changes = ack
        audit, ids, undone, _ = step
        after = self._ledger.noted_after(step)
        if not followed:
            await self._scoring.keep()
            return ack, await self._stream.ack(ids, after, len(ids) + len(after.unacked))
        entries = len(ids) + len(undone)
        gone = await self._stream.commit(after, self._ledger.last_id, entries, audit.trimmed, undone, changes)
        if gone:  # trimmed while we held them: there is nothing left to take up
            batch, audit = batch.without(gone), replace(audit, trimmed=audit.trimmed + len(gone))
            ack = ack._replace(batch=batch, step=step._replace(audit=audit, undone=batch.undone))
        return ack, b"1" * len(ids)

    def _acked(self, ack: _Ack, flags: bytes) -> None:
        """The ack has happened: count it, and hand the lines of what was ours to the exporters."""
        self._scoring.kept(ack.changes)
        lines, silent = ack.batch.ours(flags)
        gone = sum(delivery.gone and not self._ledger.is_behind(delivery.id) for delivery in silent)
        self._ledger.acked(ack.step, lines=len(lines), silent=len(silent), gone=gone)
        self._count(lines)
        if lines and self._wait is None:
            self._remember(ack)  # before they are published: of what is remembered too much, the newest is dropped
            self._fan_out.publish([line.data for line in lines])
        if self._wait is not None:
            self._ledger.handled.ack_safe(ack.batch.lines)

    def _count(self, lines: Sequence[Line]) -> None:
        values = self._values
        values[self._processed] += len(lines)
        for slots, n in Counter([line.slots for line in lines]).items():
            for slot in slots:
                values[slot] += n

    def _remember(self, ack: _Ack) -> None:
        handled, deliveries, lines = self._ledger.handled, ack.deliveries, ack.batch.lines
        first, last = deliveries[0], deliveries[-1]
        if len(lines) == len(deliveries) == last.seq - first.seq + 1:
            handled.note(first.seq, [*lines], last.id)
        else:
            handled.note_all([(one.id, one.seq) for one in deliveries if one.id in lines])
        handled.acked()

    async def _make_safe(self, ack: _Ack, wait: Callable[[], Awaitable[None]]) -> _Ack:
        """Export a batch before it is acked: until that is done nothing more is read, and no delivery is counted.

        Returns:
            The ack that is to happen now: what its destination refused for good is to be dead-lettered.
        """
        batch, safe = ack.batch, self._ledger.handled.safe
        lines = {entry_id: line.data for entry_id, line in batch.lines.items() if entry_id not in safe}
        if not lines:
            return ack
        confirmed = asyncio.wrap_future(self._fan_out.confirm([*lines.values()]))
        try:
            while not confirmed.done():
                await asyncio.wait({confirmed}, timeout=WAIT_SECONDS)
                if not confirmed.done():
                    await wait()
        except (StreamUnavailable, LeaseLost, GroupMissing, Stopped):
            self._assembler.keep(batch)
            raise
        finally:
            confirmed.cancel()
        ids = [*lines]
        refused = {ids[place]: f"refused: {why}" for place, why in confirmed.result().items()}
        taken = [(one.id, one.seq) for one in ack.deliveries if one.id in lines and one.id not in refused]
        self._ledger.handled.make_safe(taken)
        return ack.but({one.id: (one, refused[one.id]) for one in ack.deliveries if one.id in refused})

    async def _bury(self, batch: Batch) -> None:
        """Dead-letter what can never be processed, unless that is nearly everything."""
        for delivery, reason in batch.invalid.values():
            if self._assembler.suspicious and reason != "max_deliveries":
                self._halt()
                return
            if self._now() < self._bury_at or not await self._buried(delivery, reason):
                self._wait_to_bury(delivery, reason)
        self._values[self._halted_slot] = 0.0

    async def _buried(self, delivery: Delivery, reason: str) -> bool:
        """Dead-letter one; False when the dead-letter stream does not take it, which is no reason to stop."""
        self._dying[delivery.id] = reason
        try:
            buried = await self._stream.dead_letter(delivery, reason, self._ledger.noted())
        except BurialRefused as error:
            del self._dying[delivery.id]
            self._bury_at = self._now() + BURY_SECONDS
            log("error", "dead_letter_refused", entry=delivery.id.decode(), code=error.code, detail=str(error))
            return False
        del self._dying[delivery.id]
        self._ledger.buried(delivery.id)
        if buried:
            self._metrics.add(DEAD_LETTERED, _label(reason))
            log("warning", "dead_lettered", entry=delivery.id.decode(), reason=reason)
        return True

    def _wait_to_bury(self, delivery: Delivery, reason: str) -> None:
        if len(self._refused) < REFUSED:
            self._refused.setdefault(delivery.id, (delivery, reason))

    async def bury_again(self) -> None:
        """Now and then: what the dead-letter stream did not take is pending, and tried again."""
        while self._refused and self._now() >= self._bury_at:
            entry_id, (delivery, reason) = next(iter(self._refused.items()))
            if entry_id not in self._ledger.unacked or await self._buried(delivery, reason):
                self._refused.pop(entry_id, None)

    def _halt(self) -> None:
        if self.halted:
            return
        self._halted_until = self._now() + HALT_SECONDS
        self._assembler.distrust()
        self._values[self._halted_slot] = 1.0
        pending = len(self._ledger.unacked)
        log("error", "consumer_halted", reason="nearly everything read is invalid", pending=pending)

    # after something was uncertain

    async def note(self) -> None:
        """Note the ledger as it is: the place was moved without an ack."""
        await self._stream.ack([], self._ledger.noted(), 0)

    async def learn(self) -> None:
        """Ask what became of an ack that had no reply, before anything else is acked.

        What was followed and is not noted will be followed again; what is still pending was not acked.

        Raises:
            StreamUnavailable, GroupMissing: it is not known yet.
        """
        ack = self._unanswered
        if ack is None:
            return
        happened = await (self._is_noted(ack.step.audit) if ack.followed else self._is_done(ack.step.acked))
        self._unanswered = None
        if happened:
            self._assembler.forget(ack.batch)
            self._acked(ack, b"1" * len(ack.step.acked))

    async def _is_noted(self, audit: SeqAudit) -> bool:
        noted = await self._stream.noted()
        return entry_key(noted.last_id) >= entry_key(audit.last_id)

    async def _is_done(self, ids: Collection[bytes]) -> bool:
        pending = await self._stream.pending(just_before(min(ids, key=entry_key)), 0) if ids else []
        return not any(delivery.id in ids for delivery in pending)

    def buried_but(self, pending: Collection[bytes]) -> None:
        """What was being dead-lettered, and is not among what is pending, was dead-lettered."""
        for entry_id in [entry_id for entry_id in self._dying if entry_id not in pending]:
            self._metrics.add(DEAD_LETTERED, _label(self._dying.pop(entry_id)))

    def group_made(self) -> None:
        """Whatever was acked of the former group: the new one begins before it, and gives it again."""
        self._unanswered = None
        self._refused.clear()

    def taken(self) -> None:
        """Another consumer may have had the stream meanwhile, be it a former process of this node."""
        self._forget()
        if self._wait is not None:
            self._ledger.recognise(self._fan_out.recall(MOST))

    def _forget(self) -> None:
        self._unanswered = None
        self._refused.clear()
        self._assembler.forget_all()

    def rolled_back(self) -> None:
        """Redis has an older state: what was begun belongs to one that is gone."""
        self._forget()
        self._dying.clear()


def _label(reason: str) -> str:
    """A reason as it is counted: without what a destination said."""
    return reason.partition(":")[0]
