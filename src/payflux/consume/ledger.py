"""How far a consumer got: its place in the stream, what it has not acked behind it, and what was lost on the way.

Entries are numbered without gaps, so a missing number is a lost event.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from payflux.consume.decide import Batch
from payflux.consume.doubt import InDoubt, Run, runs_of
from payflux.consume.line import Line
from payflux.exporters.fanout import FanOut
from payflux.log import log
from payflux.stream.deliveries import Delivery, Ledger, entry_key
from payflux.telemetry.metrics import PROCESSED, STREAM_LOST, Metrics


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
        """What was lost since the last `counted`."""
        return Losses(self.trimmed, self.reset)

    def counted(self) -> "SeqAudit":
        """The same position; the losses so far have been counted."""
        return replace(self, trimmed=0, reset=0)


class ConsumerLedger:
    """What a consumer keeps of its way through the stream, and the counts that follow from it.

    Args:
        fan_out: tells how many lines are published and settled.
        metrics: of this consumer.
        token: what tells this node from every other one.
    """

    def __init__(self, fan_out: FanOut, metrics: Metrics, token: str) -> None:
        self._fan_out, self._metrics, self._token = fan_out, metrics, token
        self._values, self._processed = metrics.values, metrics.slot(PROCESSED)
        self._audit = SeqAudit()
        self._unacked: dict[bytes, None] = {}
        self._in_doubt = InDoubt(fan_out)
        self._base = 0  # lines published before the ledger began, less those acked without one
        self._note_base()

    @property
    def last_id(self) -> bytes:
        """The newest entry seen."""
        return self._audit.last_id

    @property
    def begun(self) -> bool:
        """Whether it is known where to begin: somebody noted how far the group is, or it is new."""
        return self._audit.last_seq is not None

    @property
    def unacked(self) -> Mapping[bytes, None]:
        """Entries up to the newest one seen that are not acked yet."""
        return self._unacked

    def known(self, deliveries: Sequence[Delivery]) -> int:
        """How many of these, in stream order, are not newer than the newest entry seen."""
        last = entry_key(self._audit.last_id)
        if entry_key(deliveries[0].id) > last:
            return 0
        return sum(entry_key(delivery.id) <= last for delivery in deliveries)

    def is_behind(self, entry_id: bytes) -> bool:
        """Whether an entry is newer than the newest one seen."""
        return entry_key(entry_id) > entry_key(self._audit.last_id)

    def follows(self, delivery: Delivery) -> bool:
        """Whether no event is missing between the newest entry seen and this one; true of what is no newer."""
        last = self._audit.last_seq
        return not self.is_behind(delivery.id) or last is None or delivery.seq <= last + 1

    def after(self, deliveries: Sequence[Delivery]) -> SeqAudit:
        """The numbers of the entries as they will be known when these, all of them newer, are acked."""
        audit = self._audit.counted()
        if deliveries:
            audit.see_all(deliveries)
        return audit

    def noted(self) -> Ledger:
        """The ledger as it should be noted now."""
        return self._noted(self._audit, self._unacked, self._in_doubt.noted())

    def noted_after(self, batch: Batch, audit: SeqAudit) -> Ledger:
        """The ledger as it should be noted in the step that acks a batch."""
        return self._noted(audit, self._unacked_after(batch), self._in_doubt.noted(self._runs(batch, audit)))

    def _runs(self, batch: Batch, audit: SeqAudit) -> tuple[Run, ...]:
        return runs_of(batch, (self._audit.last_seq or 0) + 1, audit.last_seq or 0)

    def _noted(self, audit: SeqAudit, unacked: Mapping[bytes, None], in_doubt: bytes) -> Ledger:
        return Ledger(
            self._token,
            settled=max(0, self._fan_out.settled - self._base),
            last_id=audit.last_id,
            last_seq=audit.last_seq or 0,
            unacked=tuple(sorted(unacked, key=entry_key)) if unacked else (),
            in_doubt=in_doubt,
        )

    def _unacked_after(self, batch: Batch) -> dict[bytes, None]:
        if not self._unacked and not batch.undone:
            return {}
        acked = set(batch.ids)
        return {entry_id: None for entry_id in (*self._unacked, *batch.undone) if entry_id not in acked}

    # changes

    def begin(self, before: Ledger, *, fresh: bool, former_settled: int | None) -> None:
        """Go on from another's ledger: count what its holder acked and did not export.

        Args:
            before: the ledger.
            fresh: this process has not held the lease before.
            former_settled: lines of its ledger a former process of this node was done with; None when there was none.
        """
        settled = before.settled
        if fresh and before.owner == self._token and former_settled is not None:
            settled = max(settled, former_settled)
        gone = self._in_doubt.gone(before.acked - settled, before.in_doubt)
        self._count_lost("crash", gone, former=before.owner)
        if before.owner:
            self._audit = SeqAudit(before.last_seq, before.last_id)
            self._unacked = dict.fromkeys(before.unacked)
        elif fresh:
            self._audit = SeqAudit(last_seq=None)  # nobody noted how far the group is
        self._base = self._fan_out.published
        self._note_base()

    def place(self, last_id: bytes, *, anew: bool) -> None:
        """Where the stream says the group is, or was made anew: perhaps in another stream, or an older state of it."""
        another = last_id != self._audit.last_id
        self._audit = replace(self._audit, last_id=last_id)
        if anew and not self.begun:
            self._audit = replace(self._audit, last_seq=0)  # a group from the first entry on
        if anew and another:
            self._unacked = {}

    def acked(self, batch: Batch, audit: SeqAudit, flags: bytes) -> list[Line]:
        """The ack of a batch has happened: count it.

        Args:
            batch: what was acked.
            audit: the numbers of the entries after it.
            flags: for each of its ids `1`, or `0` when somebody else had acked it.

        Returns:
            The lines that are ours to export.
        """
        lines = list(batch.lines.values())
        if b"0" in flags:
            lines = [line for line, flag in zip(lines, flags, strict=False) if flag == ord("1")]
        silent = [d for d, flag in zip(batch.silent, flags[len(batch.lines) :], strict=True) if flag == ord("1")]
        gone = sum(delivery.gone and entry_key(delivery.id) <= entry_key(self.last_id) for delivery in silent)
        self._count_losses(audit.losses(), gone)
        self._in_doubt.add(self._runs(batch, audit), len(lines))
        self._audit, self._unacked = audit.counted(), self._unacked_after(batch)
        self._base -= len(silent)
        self._note_base()
        self._count(lines)
        return lines

    def buried(self, entry_id: bytes) -> None:
        """It was dead-lettered, and acked with that."""
        self._unacked.pop(entry_id, None)

    def keep_pending(self, ids: Collection[bytes]) -> None:
        """These and no others are pending in the group: what else is not acked has vanished with its entry."""
        self._unacked = {entry_id: None for entry_id in self._unacked if entry_id in ids}

    def passed(self, position: bytes) -> None:
        """The group was given everything up to here, and what is not pending of it is done."""
        self._audit = replace(self._audit, last_id=max(self.last_id, position, key=entry_key))

    def ended(self, newest: int) -> None:
        """No entry follows the newest one seen: what was numbered up to here was deleted unread."""
        last = self._audit.last_seq
        if last is not None and newest > last:
            self._count_losses(Losses(newest - last, 0))
            self._audit = replace(self._audit, last_seq=newest)

    # counts

    def _count(self, lines: Sequence[Line]) -> None:
        values = self._values
        values[self._processed] += len(lines)
        for slots, n in Counter([line.slots for line in lines]).items():
            for slot in slots:
                values[slot] += n

    def _count_losses(self, losses: Losses, gone: int = 0) -> None:
        """Count events that will never be read, and `gone` entries that were deleted while they were pending."""
        self._count_lost("trimmed", losses.trimmed + gone)
        self._count_lost("reset", losses.reset)

    def _count_lost(self, reason: str, events: int, **more: str) -> None:
        if events > 0:
            self._metrics.add(STREAM_LOST, reason, n=events)
            log("error", "events_lost", reason=reason, events=events, **more)

    def _note_base(self) -> None:
        """For a successor in this node: what it needs to tell our lines of this ledger from earlier ones."""
        self._metrics.notes.begin_ledger(self._base)
