"""What becomes of a batch: acked and exported, or exported and acked; what cannot be read is dead-lettered."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple

from payflux.consume.decide import Assembler, Batch
from payflux.consume.ledger import Progress
from payflux.errors import StreamUnavailable
from payflux.exporters.fanout import FanOut
from payflux.log import log
from payflux.stream.deliveries import Delivery, entry_key
from payflux.stream.protocol import GroupMissing, LeaseLost, ReadStream
from payflux.telemetry.metrics import CONSUMER_HALTED, DEAD_LETTERED, Metrics

HALT_AFTER = 100  # invalid entries in a row: something is wrong with us or with the stream, not with the entries
HALT_SECONDS = 60.0
STAY_SECONDS = 0.5


class Stopped(Exception):
    """The consumer ends before a batch could be made safe; it is not acked."""


class Doubt(NamedTuple):
    """A batch whose ack had no reply: all of it happened, or nothing did."""

    batch: Batch
    followed: bool


class Settlement:
    """Settles batches, one at a time.

    Args:
        stream: the consumer's side of the stream.
        assembler: decides what becomes of each entry.
        progress: how far the consumer got.
        fan_out: takes the lines.
        metrics: of this child.
        wait: called twice a second while lines are being made safe before their ack; None: they are exported after it.
        now: a monotonic clock.

    Attributes:
        doubt: the batch whose ack had no reply.
        halted_until: by the clock: nothing is to be read before.
        exported: the stream time in milliseconds up to which lines are exported, and since when by the clock.
    """

    def __init__(
        self,
        stream: ReadStream,
        assembler: Assembler,
        progress: Progress,
        fan_out: FanOut,
        metrics: Metrics,
        *,
        wait: Callable[[], Awaitable[None]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._assembler, self._progress = stream, assembler, progress
        self._fan_out, self._metrics, self._wait, self._now = fan_out, metrics, wait, now
        self.doubt: Doubt | None = None
        self.halted_until = 0.0
        self.exported = 0, 0.0
        self._safe: set[bytes] = set()  # exported, and perhaps not acked
        self._dying: dict[bytes, str] = {}

    def forget(self) -> None:
        """Another consumer had the stream meanwhile."""
        self.doubt = None
        self._safe.clear()
        self._assembler.forget_all()

    async def process(
        self, deliveries: Sequence[Delivery], *, redelivered: bool = False, followed: bool = False
    ) -> None:
        """Settle entries.

        Args:
            deliveries: in stream order, at least one.
            redelivered: they were pending.
            followed: they are not pending: everything after the newest entry seen, as the stream was followed.
        """
        batch = self._assembler.batch(deliveries, self._progress.audit, self._progress.left, redelivered=redelivered)
        if self._wait is not None:
            await self._make_safe(batch, self._wait)
        undone = dict.fromkeys([*batch.invalid, *batch.failed])
        new = [entry_id for entry_id in undone if entry_id not in self._progress.left]
        self._progress.left.update(undone)
        try:
            flags = await self._ack(batch, undone, followed=followed)
        except (StreamUnavailable, LeaseLost, GroupMissing) as error:
            for entry_id in new if followed else ():
                del self._progress.left[entry_id]
            self._assembler.keep(batch)
            if isinstance(error, StreamUnavailable):
                self.doubt = Doubt(batch, followed)
            raise
        self._commit(batch, flags)
        await self._bury(batch)

    async def _ack(self, batch: Batch, undone: Collection[bytes], *, followed: bool) -> bytes:
        ids, progress = batch.ids, self._progress
        after = progress.noted(batch.audit, acking=set(ids) if progress.left else ())
        if not followed:
            return await self._stream.ack(ids, after, len(ids) + len(after.left))
        entries = len(ids) + len(undone)
        gone = await self._stream.commit(after, progress.audit.last_id, entries, batch.audit.trimmed, [*undone])
        for entry_id in gone:  # trimmed while we held it: there is nothing left to take up
            progress.left.pop(entry_id, None)
            batch.invalid.pop(entry_id, None)
            batch.audit.trimmed += 1
        return b"1" * len(ids)

    def _commit(self, batch: Batch, flags: bytes) -> None:
        """The ack has happened: count it, and hand the lines of what was ours to the exporters."""
        lines = self._progress.acked(batch, flags)
        if lines and self._wait is None:
            self._fan_out.publish([line.data for line in lines])
        if lines:
            self.exported = int(self._progress.audit.last_id.partition(b"-")[0]), self._now()
        if self._safe:
            self._safe.difference_update(batch.lines)

    async def _make_safe(self, batch: Batch, wait: Callable[[], Awaitable[None]]) -> None:
        """Export a batch before it is acked: until that is done nothing more is read, and no delivery is counted."""
        lines = [line.data for entry_id, line in batch.lines.items() if entry_id not in self._safe]
        if not lines:
            return
        confirmed = asyncio.wrap_future(self._fan_out.confirm(lines))
        try:
            while not confirmed.done():
                await asyncio.wait({confirmed}, timeout=STAY_SECONDS)
                if not confirmed.done():
                    await wait()
        except (StreamUnavailable, LeaseLost, GroupMissing, Stopped):
            self._assembler.keep(batch)
            raise
        finally:
            confirmed.cancel()
        self._safe.update(batch.lines)

    async def _bury(self, batch: Batch) -> None:
        """Dead-letter what can never be processed, unless that is nearly everything."""
        for delivery, reason in batch.invalid.values():
            if self._assembler.invalid_row >= HALT_AFTER and reason != "max_deliveries":
                self._halt()
                return
            self._dying[delivery.id] = reason
            buried = await self._stream.dead_letter(delivery, reason, self._progress.noted())
            del self._dying[delivery.id]
            self._progress.left.pop(delivery.id, None)
            if buried:
                self._metrics.add(DEAD_LETTERED, reason)
                log("warning", "dead_lettered", entry=delivery.id.decode(), reason=reason)
        self._metrics.set(CONSUMER_HALTED, to=0)

    def _halt(self) -> None:
        self.halted_until = self._now() + HALT_SECONDS
        self._assembler.in_doubt = True
        self._metrics.set(CONSUMER_HALTED, to=1)
        log("error", "consumer_halted", reason="nearly everything read is invalid", pending=len(self._progress.left))

    # after something was uncertain, in this order

    async def settle_followed(self) -> None:
        """Ask how far the group is: what was followed and is not noted will be followed again."""
        if self.doubt is None or not self.doubt.followed:
            return
        batch = self.doubt.batch
        noted = await self._stream.noted()
        self.doubt = None
        if entry_key(noted.last_id) >= entry_key(batch.audit.last_id):
            self._progress.left.update(dict.fromkeys([*batch.invalid, *batch.failed]))
            self._assembler.forget(batch)
            self._commit(batch, b"1" * len(batch.ids))

    def found_pending(self, ids: Collection[bytes]) -> None:
        """These are pending: an ack in doubt that concerns them did not happen."""
        if self.doubt is not None and not self.doubt.followed and any(i in ids for i in self.doubt.batch.ids):
            self.doubt = None

    def buried_but(self, pending: Collection[bytes]) -> None:
        """What was being buried, and is not among what is pending, was buried."""
        for entry_id in [entry_id for entry_id in self._dying if entry_id not in pending]:
            self._metrics.add(DEAD_LETTERED, self._dying.pop(entry_id))

    def settle_read(self) -> None:
        """Everything pending was looked at, and what is in doubt was not among it: its ack happened."""
        doubt, self.doubt = self.doubt, None
        if doubt is not None:
            self._commit(doubt.batch, b"1" * len(doubt.batch.ids))
            self._assembler.forget(doubt.batch)
