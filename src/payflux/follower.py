"""Following the stream: larger reads while a backlog lasts, and the next one sent before the last one is settled.

A loaded Redis takes longer to answer than we take to settle what it answered, and a read changes nothing in it.
"""

import asyncio
from typing import NamedTuple

from payflux.stream import Delivery, ReadStream

BATCH, MOST = 1000, 4000  # entries read at once: usually, and while a backlog lasts
IN_HAND = 2 * MOST
"""How many entries may have been read and not settled when a process dies."""

BLOCK_SECONDS = 0.5


class _Ahead(NamedTuple):
    after: bytes
    reply: asyncio.Task[list[Delivery]]


class Follower:
    """Reads what follows an entry.

    Args:
        stream: the consumer's side of the stream.
    """

    def __init__(self, stream: ReadStream) -> None:
        self._stream = stream
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
            self._count = min(MOST, 2 * count)
            last = deliveries[-1].id
            reading = self._stream.follow(last, self._count, BLOCK_SECONDS)
            self._ahead = _Ahead(last, asyncio.create_task(reading))
        return deliveries

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
