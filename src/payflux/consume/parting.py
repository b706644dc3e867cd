"""Redis came back with an older state: where its stream parts from the one we have seen.

A failover or a restart may take away the newest part of the stream, and with it what the ledger noted of it. What was
appended since stands where the lost entries stood, and when the clock went back its ids may even be lower than those we
have handled. So entry ids tell nothing then, and the numbers begin again below ours; the ledger tells that it happened,
as it is older than what we noted there. From its place on the entries are compared with what this node has handled.
"""

from collections.abc import AsyncIterator

import msgspec

from payflux.consume.ledger import ConsumerLedger
from payflux.stream.deliveries import Delivery, Ledger, entry_key
from payflux.stream.protocol import ReadStream

SLICE = 1000


class Parting:
    """Finds the place where to go on in an older state.

    Args:
        stream: the consumer's side of the stream.
        ledger: how far the consumer got; set to that place.
    """

    def __init__(self, stream: ReadStream, ledger: ConsumerLedger) -> None:
        self._stream, self._ledger = stream, ledger

    async def find(self) -> bool:
        """Look whether Redis has an older state, and go on in it; whether it has.

        Raises:
            StreamUnavailable, LeaseLost: as the stream does; nothing was changed.
        """
        noted = await self._stream.noted()
        if not self._ledger.behind(noted):
            return False
        common = _Common(self._ledger, noted)
        async for delivery in self._after(noted.last_id):
            if not common.take(delivery):
                break
        place = common.place()
        await self._stream.ack([], place, 0)
        self._ledger.rolled_back(place, common.handled, common.safe)
        return True

    async def _after(self, after: bytes) -> AsyncIterator[Delivery]:
        while found := await self._stream.following(after, SLICE):
            for delivery in found:
                yield delivery
            after = found[-1].id


class _Common:
    """What two states of a stream have in common, from a place on.

    Attributes:
        handled: entries that we had handled.
        safe: entries that we had exported and perhaps not acked.
    """

    def __init__(self, ledger: ConsumerLedger, noted: Ledger) -> None:
        self._noted, self._known, self._safe = noted, ledger.handled.all(), ledger.handled.safe
        start = entry_key(noted.last_id)
        self.handled = {one: seq for one, seq in self._known.items() if entry_key(one) <= start}
        self.safe: dict[bytes, int] = {}
        self._first, self._end = ledger.horizon(self._known)
        self._reported = ledger.handled.reported
        self._last: Delivery | None = None
        self._undone: list[bytes] = []  # between entries that we had handled
        self._open: list[bytes] = []  # after the last of those

    def take(self, delivery: Delivery) -> bool:
        """Take the next entry; false when none that we had handled can follow."""
        entry_id, seq = delivery.id, delivery.seq
        if self._is_known(delivery) or self._is_older(delivery):
            self.handled[entry_id] = seq
            self._last = delivery
            self._undone += self._open
            self._open = []
        elif self._safe.get(entry_id) == seq:
            self.safe[entry_id] = seq
        elif delivery.lost_to or entry_key(entry_id) > self._end:
            return False
        else:
            self._open.append(entry_id)
        return True

    def _is_known(self, delivery: Delivery) -> bool:
        """Whether it is the one that we had handled, not another with its id and number that tells of a new loss."""
        return self._known.get(delivery.id) == delivery.seq and delivery.lost_to <= self._reported

    def _is_older(self, delivery: Delivery) -> bool:
        """Whether it is of the time before what we remember one by one: all of that was handled."""
        key, seq = self._first
        return entry_key(delivery.id) < key and 0 < delivery.seq < seq and not delivery.lost_to

    def place(self) -> Ledger:
        """The ledger as it is noted there, further by what we had handled."""
        noted = self._noted
        if self._last is None:
            return noted
        unacked = tuple(sorted({*noted.unacked, *self._undone}, key=entry_key))
        return msgspec.structs.replace(noted, last_id=self._last.id, last_seq=self._last.seq, unacked=unacked)
