"""A consumer's membership of its group: its name there, the lease on the stream, and the group itself."""

import time
from collections.abc import Callable

from payflux.consume.ledger import ConsumerLedger
from payflux.consume.states import News
from payflux.errors import ConsumerNameTaken, StreamUnavailable
from payflux.log import log
from payflux.stream.deliveries import Ledger
from payflux.stream.protocol import GroupMissing, LeaseLost, ReadStream
from payflux.telemetry.metrics import CONSUMER_ACTIVE, GROUP_RECREATED, Metrics

RENEW_SECONDS = 1.5
STANDBY_SECONDS = 0.5
NAME_PATIENCE_SECONDS = 12.0  # longer than a dead node keeps its name


class Membership:
    """Renews name and lease while the consumer works, and knows whether it holds them.

    Args:
        stream: the consumer's side of the stream.
        ledger: of this consumer; goes on from its former holder's when the lease is taken.
        metrics: of this consumer.
        former_settled: lines of its ledger a former process of this node was done with; None when there was none.
        now: a monotonic clock.
    """

    def __init__(
        self,
        stream: ReadStream,
        ledger: ConsumerLedger,
        metrics: Metrics,
        *,
        former_settled: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._ledger, self._metrics, self._now = stream, ledger, metrics, now
        self._former_settled = former_settled
        self._fresh = True  # this process has not held the lease before
        self._holding = False
        self._untold = False  # the lease was taken while the consumer was busy
        self._group_sure = False
        self._renew_at = 0.0
        self._name_since: float | None = None

    async def renew(self) -> News | None:
        """Take or keep name and lease, if it is time to.

        Returns:
            LEASE_TAKEN, LEASE_KEPT or LEASE_LOST; None when it was not time.

        Raises:
            ConsumerNameTaken: another living node uses the name.
            StreamUnavailable: the outcome is unknown.
        """
        if self._now() < self._renew_at:
            return None
        if not await self._stream.claim_name():
            self._wait_for_name()
            return News.LEASE_LOST
        self._name_since = None
        noted = self._ledger.noted()
        before = await self._stream.take_lease(noted, fresh=self._fresh)
        if before is None:
            self.lost()
            self._renew_at = self._now() + STANDBY_SECONDS
            return News.LEASE_LOST
        taken, self._untold = before is not noted or self._untold, False
        if before is not noted:
            self._take_over(before)
        self._renew_at = self._now() + RENEW_SECONDS
        self._holding, self._group_sure = True, False  # who follows is not told when the group vanishes
        self._metrics.set(CONSUMER_ACTIVE, to=1)
        return News.LEASE_TAKEN if taken else News.LEASE_KEPT

    async def stay(self) -> None:
        """Keep the lease during long work.

        Raises:
            LeaseLost: it is another's, or was meanwhile; the next `renew` tells which.
        """
        try:
            if self._now() >= self._renew_at:
                await self._stream.connect()
            news = await self.renew()
        except StreamUnavailable:  # no reason to give up what may be done any moment
            self._renew_at = self._now() + STANDBY_SECONDS
            return
        if news in {News.LEASE_TAKEN, News.LEASE_LOST}:
            self._untold = news is News.LEASE_TAKEN
            raise LeaseLost("another consumer held the stream meanwhile")

    async def ensure_group(self) -> bool:
        """Make sure that the group exists, unless that is known; whether it had to be made.

        Raises:
            StreamUnavailable: the outcome is unknown.
        """
        if self._group_sure:
            return False
        noted = self._ledger.noted()
        made = await self._stream.ensure_group(noted)
        self._group_sure = True
        if made and self._ledger.begun:
            self._metrics.add(GROUP_RECREATED)
            log("warning", "group_recreated", last_id=noted.last_id.decode())
        self._ledger.place(noted.last_id, anew=made)
        return made

    def doubt(self) -> None:
        """Something may have happened that we were not told: ask anew for the lease and the group."""
        self._renew_at, self._group_sure = 0.0, False

    def lost(self) -> None:
        """The lease is another's, or nobody's: ask for it anew."""
        if self._holding:
            log("warning", "lease_lost")
        self._holding = False
        self._metrics.set(CONSUMER_ACTIVE, to=0)
        self.doubt()

    async def leave(self) -> None:
        """Note how far the ledger is, and give up lease and name."""
        try:
            if self._holding:
                await self._stream.take_lease(self._ledger.noted(), fresh=False)
        except (StreamUnavailable, GroupMissing):
            log("warning", "consumer_left_without_note")
        await self._stream.leave()

    def _wait_for_name(self) -> None:
        self.lost()
        if self._name_since is None:
            self._name_since = self._now()
            log("warning", "consumer_name_in_use", hint="waiting in case its node has just died")
        elif self._now() - self._name_since > NAME_PATIENCE_SECONDS:
            raise ConsumerNameTaken("another living node consumes under this name")
        self._renew_at = self._now() + STANDBY_SECONDS

    def _take_over(self, before: Ledger) -> None:
        """The lease is new to us: go on from where its former holder got."""
        self._ledger.begin(before, fresh=self._fresh, former_settled=self._former_settled)
        self._fresh = False
        log("info", "lease_taken", former=before.owner, last_id=self._ledger.last_id.decode())
