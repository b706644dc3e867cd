"""A consumer's membership of its group: its name there, the lease on the stream, and the group itself."""

import random
import time
from collections.abc import Callable

import msgspec

from payflux.consume.ledger import ConsumerLedger
from payflux.consume.states import News
from payflux.errors import ConsumerNameTaken, StreamUnavailable
from payflux.log import log
from payflux.stream.deliveries import Ledger, entry_key
from payflux.stream.protocol import GroupMissing, LeaseLost, ReadStream
from payflux.telemetry.metrics import CONSUMER_ACTIVE, GROUP_RECREATED, Metrics

RENEW_SECONDS = 1.5
STANDBY_SECONDS = 0.5
NAME_PATIENCE_SECONDS = 12.0  # longer than a dead node keeps its name
HOLDER_PATIENCE_SECONDS = 3.0  # longer than a living holder takes to ask for the lease anew
LIFE_BITS = 48  # of what tells ledgers apart: no two of a stream begin alike


class _Seen:
    """The ledger as a consumer on standby sees it: when Redis loses it, the holder knows best where it was.

    Attributes:
        former: the ledger as it was last while another held the lease; None unless it is of an older state now.
    """

    def __init__(self) -> None:
        self.former: Ledger | None = None
        self._ledger: Ledger | None = None
        self._since = 0.0

    def holds(self, ledger: Ledger) -> None:
        """Another holds the lease, and this was the ledger just before."""
        self._ledger, self.former = ledger, None

    def waits_for_holder(self, ledger: Ledger, now: float) -> bool:
        """Whether the lease, should it be free, is better left to its former holder, who lost it with the state."""
        if self._ledger is None or not _is_older(ledger, self._ledger):
            self.former = None
        elif self.former is None:
            self.former, self._since = self._ledger, now
        return self.former is not None and now - self._since < HOLDER_PATIENCE_SECONDS


def _is_older(ledger: Ledger, seen: Ledger) -> bool:
    """Whether it is of an older state than one that was seen while another held the lease, or gone."""
    return not ledger.owner or entry_key(ledger.last_id) < entry_key(seen.last_id)


class Membership:
    """Renews name and lease while the consumer works, and knows whether it holds them.

    Args:
        stream: the consumer's side of the stream.
        ledger: of this consumer; goes on from its former holder's when the lease is taken.
        metrics: of this consumer.
        now: a monotonic clock.
    """

    def __init__(
        self,
        stream: ReadStream,
        ledger: ConsumerLedger,
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._ledger, self._metrics, self._now = stream, ledger, metrics, now
        self._fresh = True  # this process has not held the lease before
        self._holding = False
        self._untold = False  # the lease was taken while the consumer was busy
        self._group_sure = False
        self._renew_at = 0.0
        self._name_since: float | None = None
        self._seen = _Seen()

    async def connect(self) -> None:
        """Connect what is not connected; another server may answer then, or the same in another state."""
        if await self._stream.connect():
            self.doubt()

    @property
    def sure(self) -> bool:
        """Whether nothing is in doubt: the group is there, and where we left it."""
        return self._group_sure

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
        seen = None if self._holding else await self._stream.noted()
        noted = msgspec.structs.replace(self._ledger.noted(), life=1 + random.getrandbits(LIFE_BITS))
        waits = seen is not None and self._seen.waits_for_holder(seen, self._now())
        before = None if waits else await self._stream.take_lease(noted, fresh=self._fresh)
        if before is None:
            if seen is not None and not waits:
                self._seen.holds(seen)
            self.lost()
            self._renew_at = self._now() + STANDBY_SECONDS
            return News.LEASE_LOST
        taken, self._untold = before is not noted or self._untold, False
        if before is not noted:
            self._take_over(before, seen, noted.life)
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
                await self.connect()
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
        self._ledger.place(noted.last_id, anew=made, last_seq=noted.last_seq or 0)
        return made

    def doubt(self) -> None:
        """Something may have happened that we were not told: ask anew for the lease and the group."""
        self._renew_at, self._group_sure = 0.0, False

    def lost(self) -> None:
        """The lease is another's, or nobody's: ask for it anew."""
        if self._holding:
            log("warning", "lease_lost")
            self._seen = _Seen()
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

    def _take_over(self, before: Ledger, seen: Ledger | None, life: int) -> None:
        """The lease is new to us: go on from where its former holder got, or was seen to be a moment ago."""
        former = seen if seen is not None and seen.owner and _is_older(before, seen) else self._seen.former
        self._ledger.begin(before, fresh=self._fresh, former=former, life=life)
        self._fresh, self._seen = False, _Seen()
        log("info", "lease_taken", former=before.owner, last_id=self._ledger.last_id.decode())
