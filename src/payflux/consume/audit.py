"""What the numbers of the entries tell: which events were lost, and which numbers are not ours.

Entries are numbered without gaps, so a missing number is a lost event. Anybody may write to the stream, so a number is
believed only if it can be ours: ours rise from entry to entry, and none is above the last one given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from typing import NamedTuple

from payflux.stream.deliveries import Delivery, Numbers


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
        seq_id: the entry that bears `last_seq`; empty when that is not known.
        reported: up to which number of an older state of Redis all is accounted for: handled, or counted as lost.
        parted: the number at which Redis came back with an older state than we had seen.
    """

    last_seq: int | None = 0
    last_id: bytes = b"0-0"
    seq_id: bytes = b""
    reported: int = 0
    parted: int = 0
    trimmed: int = 0
    reset: int = 0

    def goes_on(self, seqs: Sequence[int], newest: bytes) -> bool:
        """Take the next numbers if they go on where those before ended, as they nearly always do; else change nothing.

        Args:
            seqs: of entries in stream order, at least one, none of which tells of a loss.
            newest: the last of these entries.
        """
        last = self.last_seq
        if last is None or seqs != [*range(last + 1, last + 1 + len(seqs))]:
            return False
        self.last_seq, self.last_id, self.seq_id = seqs[-1], newest, newest
        return True

    def account_for(self, seqs: Iterable[int]) -> None:
        """These numbers of an older state are accounted for, and so is what lies before them."""
        self.reported = max([self.reported, *seqs])

    def see_all(self, deliveries: Sequence[Delivery], numbers: Numbers) -> None:
        """Take the next entries, whatever is missing or not ours among them.

        Args:
            deliveries: at least one, all of them newer than those before.
            numbers: what the stream tells of them.
        """
        for delivery in believable(deliveries, self.last_seq, numbers):
            self.expect(delivery.seq, numbers)
            self.see(delivery)
        self.last_id = deliveries[-1].id

    def expect(self, seq: int, numbers: Numbers) -> None:
        """Before the next number: are some missing, although nothing was deleted, then the last one was not ours."""
        last = self.last_seq
        if last is not None and seq > last + 1 and self.seq_id and numbers.nothing_deleted_after(self.seq_id):
            self.last_seq, self.seq_id = last - 1, b""

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
        self.last_seq, self.seq_id = seq, delivery.id

    def ended(self, newest: int, numbers: Numbers) -> None:
        """No entry follows the newest one seen: what was numbered up to here was deleted unread."""
        self.expect(newest + 1, numbers)
        if self.last_seq is not None and newest > self.last_seq:
            self.trimmed += newest - self.last_seq
            self.last_seq, self.seq_id = newest, b""

    def losses(self) -> Losses:
        """What was lost since the last `counted`."""
        return Losses(self.trimmed, self.reset)

    def counted(self) -> "SeqAudit":
        """The same position; the losses so far have been counted."""
        return replace(self, trimmed=0, reset=0)

    def rolled_back(self, last_seq: int | None, last_id: bytes, handled_to: int) -> "SeqAudit":
        """The position in an older state of the stream.

        What was handled in the state that is gone is not lost, whatever its successor tells. What had been reported
        before counts only while nothing of that state was seen: it is of a still older one.

        Args:
            last_seq: the number of the last entry that both have; None when it is not known.
            last_id: that entry.
            handled_to: up to which number all was handled in the state that is gone.
        """
        reported = handled_to if handled_to > self.parted else max(handled_to, self.reported)
        return SeqAudit(last_seq, last_id, reported=reported, parted=last_seq or 0)


def believable(deliveries: Sequence[Delivery], last: int | None, numbers: Numbers) -> list[Delivery]:
    """Those of the entries whose numbers can be ours.

    Args:
        deliveries: at least one, in stream order.
        last: the last number before them; None when that is unknown.
        numbers: what the stream tells of them.
    """
    newest = numbers.newest
    if newest is None or newest < (last or 0):
        return list(deliveries)  # it is not known, or the numbers began anew
    if last is None:
        return [one for one in deliveries if one.seq <= newest]
    given = [one for one in chain(deliveries, numbers.following) if 0 < one.seq <= newest]
    ours = {one.id for one in _rising(given, last)}
    return [one for one in deliveries if one.id in ours]


def _rising(given: Sequence[Delivery], last: int) -> list[Delivery]:
    """Without what has a number that was seen, or one that entries still to come are before."""
    kept = []
    for at, one in enumerate(given):
        if not one.lost_to:
            if one.seq <= last:
                continue
            rest = takewhile(lambda later: not later.lost_to, given[at + 1 :])
            if one.seq > last + 1 and any(last < later.seq <= one.seq for later in rest):
                continue
        kept.append(one)
        last = one.seq
    return kept
