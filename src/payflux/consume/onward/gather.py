"""Gathering a batch: what follows an entry, until there is enough of it, or the first of it has waited long enough."""

import time
from collections.abc import Callable

from payflux.exporters import Batch
from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import ReadStream

PAGE = 1000  # entries read at once
BLOCK_SECONDS = 0.5
USUAL_BYTES = 600  # of an event, until some are known


class Gatherer:
    """Reads batches; Redis notes nothing of it, and so nothing becomes pending by being read.

    Args:
        stream: the consumer's side of the stream.
        batch: how much makes one.
        now: a monotonic clock.

    Attributes:
        in_hand: nothing has to be read with care after a death: a delivery must not cost a destination that is down.
    """

    def __init__(self, stream: ReadStream, batch: Batch, now: Callable[[], float] = time.monotonic) -> None:
        self.in_hand = 0
        self._stream, self._batch, self._now = stream, batch, now
        self._held: list[Delivery] = []
        self._after = b""
        self._size = 0
        self._since = 0.0

    async def read(self, after: bytes) -> list[Delivery]:
        """The next batch; none while there is not enough for one, and it may become one.

        Raises:
            StreamUnavailable, GroupMissing: as `ReadStream.follow` does.
        """
        if after != self._after:
            self.forget()
            self._after = after
        last = self._held[-1].id if self._held else after
        found = await self._stream.follow(last, self._count(), self._patience())
        if found and not self._held:
            self._since = self._now()
        self._held += found
        self._size += sum(len(one.data or b"") for one in found)
        if not self._held or not self._is_due(found):
            return []
        batch = self._held
        self.forget()
        return batch

    def _count(self) -> int:
        """How many entries to ask for: what is missing, by the size of those there are."""
        usual = self._size / len(self._held) if self._held else USUAL_BYTES
        fitting = int((self._batch.bytes - self._size) / max(usual, 1.0))
        return max(1, min(PAGE, self._batch.events - len(self._held), fitting))

    def _patience(self) -> float:
        """How long to wait for an entry, so that a batch is not late."""
        left = self._since + self._batch.seconds - self._now() if self._held else BLOCK_SECONDS
        return max(0.001, min(BLOCK_SECONDS, left))

    def _is_due(self, found: list[Delivery]) -> bool:
        full = len(self._held) >= self._batch.events or self._size >= self._batch.bytes
        late = self._now() - self._since >= self._batch.seconds
        return full or (late and (self._batch.seconds > 0 or len(found) < PAGE))

    async def probe(self, after: bytes, count: int) -> list[Delivery]:
        """A few of the entries after an id, at once."""
        self.forget()
        return await self._stream.follow(after, count, BLOCK_SECONDS)

    def forget(self) -> None:
        """Drop what was read and not given."""
        self._held, self._size, self._after = [], 0, b""
