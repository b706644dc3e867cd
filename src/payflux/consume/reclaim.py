"""Taking up what is pending in the group, whoever read it."""

import time
from collections.abc import Awaitable, Callable, Sequence

from payflux.consume.ledger import ConsumerLedger
from payflux.consume.settle import Settlement
from payflux.stream.deliveries import Delivery, entry_key
from payflux.stream.protocol import ReadStream
from payflux.telemetry.metrics import REDELIVERED, Metrics


class Reclaim:
    """Takes up pending entries: all of them after something was uncertain, idle ones now and then.

    Args:
        stream: the consumer's side of the stream.
        settlement: settles them.
        ledger: how far the consumer got.
        metrics: of this consumer.
        stay: called before each slice, so that the lease is kept.
        claim_idle: seconds after which a pending entry is taken over from another member.
        max_deliveries: deliveries of an entry before it is dead-lettered.
        now: a monotonic clock.
    """

    def __init__(
        self,
        stream: ReadStream,
        settlement: Settlement,
        ledger: ConsumerLedger,
        metrics: Metrics,
        *,
        stay: Callable[[], Awaitable[None]],
        claim_idle: float,
        max_deliveries: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._settlement, self._ledger, self._metrics = stream, settlement, ledger, metrics
        self._stay, self._claim_idle, self._max_deliveries, self._now = stay, claim_idle, max_deliveries, now
        self._deadly = False  # what is pending may have killed its reader
        self._sweep_at = 0.0

    def suspect(self) -> None:
        """Another consumer had the stream: that it is gone counts as an attempt at what is pending."""
        self._deadly = True

    def trust(self) -> None:
        """The group was made anew: nothing is pending."""
        self._deadly = False

    async def recover(self) -> None:
        """Settle what is in doubt and take up all that is pending; to be repeated when it raises.

        Raises:
            StreamUnavailable, GroupMissing, LeaseLost: as the stream does.
        """
        await self._settlement.learn()
        self._ledger.recount(await self._stream.noted())
        await self.take_up_all(count_attempt=self._deadly)
        self._deadly = False

    async def take_up_all(self, *, count_attempt: bool = False) -> None:
        """Process all that is pending; what is neither acked nor pending has vanished."""
        pending = await self._take_up(0, count_attempt=count_attempt)
        self._ledger.keep_pending(pending, await self._stream.position())
        self._settlement.buried_but(pending)

    async def sweep(self, *, count_attempt: bool) -> None:
        """Now and then: process what another member has let lie."""
        if self._now() >= self._sweep_at:
            self._sweep_at = self._now() + self._claim_idle / 2
            await self._take_up(self._claim_idle, count_attempt=count_attempt)

    async def _take_up(self, idle: float, *, count_attempt: bool) -> set[bytes]:
        after = b"0-0"
        pending: set[bytes] = set()
        while deliveries := await self._stream.pending(after, idle):
            await self._stay()
            after = deliveries[-1].id
            if idle:  # what lies ahead of us, and another member has read, comes to us in its turn
                last = entry_key(self._ledger.last_id)
                deliveries = [delivery for delivery in deliveries if entry_key(delivery.id) <= last]
            pending.update(delivery.id for delivery in deliveries)
            self._metrics.add(REDELIVERED, n=len(deliveries))
            await self._process(deliveries, count_attempt=count_attempt)
        return pending

    async def _process(self, deliveries: Sequence[Delivery], *, count_attempt: bool) -> None:
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
