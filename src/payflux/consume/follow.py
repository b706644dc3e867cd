"""Following the stream: larger reads while a backlog lasts, and the next one sent before the last one is settled.

A loaded Redis takes longer to answer than we take to settle what it answered, and a read changes nothing in it.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import ReadStream

BATCH, MOST = 1000, 2000  # entries read at once: usually, and while a backlog lasts
READ_BYTES = 2_097_152  # of events; larger reads gain nothing, and stall the loop and fill the memory
BLOCK_SECONDS = 0.5


class _Ahead(NamedTuple):
    after: bytes
    reply: asyncio.Task[list[Delivery]]


class Follower:
    """Reads what follows an entry.

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
