"""Reading the stream: with care, as any member of its group does, or ahead.

Whoever reads ahead reads more at once while a backlog lasts, and sends the next read before the last one is settled: a
loaded Redis takes longer to answer than we take to settle what it answered, and a read changes nothing in it.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from payflux.consume.ledger import ConsumerLedger
from payflux.stream.deliveries import Delivery, entry_key
from payflux.stream.protocol import ReadStream

BATCH, MOST = 1000, 2000  # entries read at once: usually, and while a backlog lasts
READ_BYTES = 2_097_152  # of events; larger reads gain nothing, and stall the loop and fill the memory
BLOCK_SECONDS = 0.5


class Reader(Protocol):
    """Reads what follows an entry; Redis notes nothing of it."""

    in_hand: int

    async def read(self, after: bytes) -> list[Delivery]:
        """Entries after an id, in order; none when it is not time to work on any.

        Raises:
            StreamUnavailable, GroupMissing: as `ReadStream.follow` does.
        """

    async def probe(self, after: bytes, count: int) -> list[Delivery]:
        """A few of the entries after an id, at once."""

    def forget(self) -> None:
        """Drop what was read and not given: reading goes on elsewhere, or not at all."""


class _Ahead(NamedTuple):
    after: bytes
    reply: asyncio.Task[list[Delivery]]


class ReadAhead:
    """Reads what follows an entry; Redis notes nothing of it.

    Args:
        stream: the consumer's side of the stream.
        most: entries read at once at most, at least `BATCH`.

    Attributes:
        in_hand: how many entries may have been read and not settled when a process dies.
    """

    def __init__(self, stream: ReadStream, most: int = MOST) -> None:
        self._stream, self._most = stream, most
        self.in_hand = 2 * most
        self._count = BATCH
        self._ahead: _Ahead | None = None

    async def read(self, after: bytes) -> list[Delivery]:
        """The entries after an id, in order; waits a moment for one when there is none.

        Raises:
            StreamUnavailable, GroupMissing: as `ReadStream.follow` does.
        """
        ahead, count = self._ahead, self._count
        if ahead is not None and ahead.after == after:
            self._ahead = None
            deliveries = await ahead.reply
        else:
            self.forget()
            deliveries = await self._stream.follow(after, count, BLOCK_SECONDS)
        if len(deliveries) < count:
            self._count = BATCH
        else:
            self._count = self._next_count(deliveries)
            last = deliveries[-1].id
            reading = self._stream.follow(last, self._count, BLOCK_SECONDS)
            self._ahead = _Ahead(last, asyncio.create_task(reading))
            await asyncio.sleep(0)  # so that it is sent before these are worked on
        return deliveries

    def _next_count(self, deliveries: Sequence[Delivery]) -> int:
        size = sum(len(delivery.data or b"") for delivery in deliveries)
        fitting = len(deliveries) * READ_BYTES // max(1, size)
        return max(BATCH, min(self._most, 2 * len(deliveries), fitting))

    async def probe(self, after: bytes, count: int) -> list[Delivery]:
        """A few of the entries after an id, and nothing ahead."""
        self.forget()
        return await self._stream.follow(after, count, BLOCK_SECONDS)

    def forget(self) -> None:
        """Drop what was read ahead: reading goes on elsewhere, or not at all."""
        if self._ahead is not None:
            self._ahead.reply.add_done_callback(lambda reply: reply.cancelled() or reply.exception())
            self._ahead.reply.cancel()
            self._ahead = None
        self._count = BATCH


class CarefulReader:
    """Reads as any member of the group does: what is read is pending until it is acked, and its deliveries are counted.

    Args:
        stream: the consumer's side of the stream.
        ledger: how far the consumer got.
        alone: entries are read one by one; with a budget of one delivery none must be read beside one that may kill us.
    """

    def __init__(self, stream: ReadStream, ledger: ConsumerLedger, *, alone: bool) -> None:
        self._stream, self._ledger, self._alone = stream, ledger, alone
        self._due = 0

    @property
    def due(self) -> int:
        """How many entries are still to be read with care, if there are as many."""
        return self._due

    def owe(self, entries: int) -> None:
        """So many entries at least are to be read with care."""
        self._due = max(self._due, entries)

    async def read(self, count: int) -> list[Delivery]:
        """The next entries; none when there is nothing to read.

        Raises:
            StreamUnavailable, GroupMissing: as `ReadStream.read` does.
        """
        deliveries = await self._stream.read(1 if self._alone else count, 0.001)
        self._due = max(0, self._due - len(deliveries)) if deliveries else 0
        if deliveries and entry_key(deliveries[-1].id) < entry_key(self._ledger.last_id):
            self.owe(1)  # the group is behind us
        return deliveries
