"""Exact loss accounting: entries are numbered without gaps, so a missing number is a lost event."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from payflux.stream.deliveries import Delivery


class Losses(NamedTuple):
    """Events that were accepted and will never be read.

    Attributes:
        trimmed: deleted from the stream.
        reset: gone because Redis lost its data, wholly or the newest part.
    """

    trimmed: int
    reset: int


@dataclass
class SeqAudit:
    """Follows the numbers of the entries in stream order.

    Attributes:
        last_seq: the last number seen; None while it is unknown where to begin.
        last_id: the newest entry seen.
        reported: up to which number a loss of Redis's data has been counted already.
    """

    last_seq: int | None = 0
    last_id: bytes = b"0-0"
    reported: int = 0
    trimmed: int = 0
    reset: int = 0

    def see_all(self, deliveries: Sequence[Delivery]) -> None:
        """Take the next entries, all newer than those before; nearly always they go on where those ended."""
        last, size = self.last_seq or 0, len(deliveries)
        seqs = [delivery.seq for delivery in deliveries if not delivery.lost_to]
        if self.last_seq is not None and seqs == [*range(last + 1, last + 1 + size)]:
            self.last_seq, self.last_id = last + size, deliveries[-1].id
            return
        for delivery in deliveries:
            self.see(delivery)

    def see(self, delivery: Delivery) -> None:
        """Take the next entry, newer than all before."""
        self.last_id = delivery.id
        seq = delivery.seq
        if not seq:
            return
        last = seq - 1 if self.last_seq is None else self.last_seq
        if seq <= last:
            self.reported = 0  # the numbers began anew: what was reported before is of another life
        elif seq > last + 1:
            self.trimmed += seq - last - 1
        if delivery.lost_to:
            known = max(seq - 1, last, self.reported)
            self.reset += max(0, delivery.lost_to - known)
            self.reported = max(self.reported, delivery.lost_to)
        self.last_seq = seq

    def losses(self) -> Losses:
        """What was lost since the last `settled`."""
        return Losses(self.trimmed, self.reset)

    def settled(self) -> "SeqAudit":
        """The same position, with the losses counted."""
        return replace(self, trimmed=0, reset=0)
