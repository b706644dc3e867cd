"""How far a consumer got: its place in the stream, what it left behind it, and what it lost on the way."""

from collections import Counter
from collections.abc import Collection, Sequence

from payflux.consume.decide import Batch
from payflux.consume.line import Line
from payflux.consume.sequence import Losses, SeqAudit
from payflux.exporters.fanout import FanOut
from payflux.log import log
from payflux.stream.deliveries import Ledger, entry_key
from payflux.telemetry.metrics import PROCESSED, STREAM_LOST, Metrics


class Progress:
    """What a ledger is made of, and the counts that follow from it.

    Args:
        fan_out: tells how many lines are published and settled.
        metrics: of this child.
        token: what tells this node from every other one.

    Attributes:
        audit: the newest entry seen and its number.
        left: older entries that are not acked yet, in order.
    """

    def __init__(self, fan_out: FanOut, metrics: Metrics, token: str) -> None:
        self._fan_out, self._metrics, self._token = fan_out, metrics, token
        self.audit = SeqAudit()
        self.left: dict[bytes, None] = {}
        self._base = 0  # lines published before the ledger began, less those acked without one
        self._note_base()

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
        lost = max(0, before.acked - settled)
        if lost:
            self._metrics.add(STREAM_LOST, "crash", n=lost)
            log("error", "events_lost", reason="crash", events=lost, former=before.owner)
        if before.owner:
            self.audit = SeqAudit(before.last_seq, before.last_id)
            self.left = dict.fromkeys(before.left)
        elif fresh:
            self.audit = SeqAudit(last_seq=None)  # nobody noted how far the group is
        self._base = self._fan_out.published
        self._note_base()

    def noted(self, audit: SeqAudit | None = None, acking: Collection[bytes] = ()) -> Ledger:
        """The ledger as it should be noted: now, or after a batch that acks some of what was left."""
        at = audit or self.audit
        left = [entry_id for entry_id in self.left if entry_id not in acking] if self.left else []
        return Ledger(
            self._token,
            settled=max(0, self._fan_out.settled - self._base),
            last_id=at.last_id,
            last_seq=at.last_seq or 0,
            left=tuple(sorted(left, key=entry_key)),
        )

    def acked(self, batch: Batch, flags: bytes) -> list[Line]:
        """The ack of a batch has happened: count it.

        Args:
            batch: what was acked.
            flags: for each of its ids `1`, or `0` when somebody else had acked it.

        Returns:
            The lines that are ours to export.
        """
        lines = list(batch.lines.values())
        if b"0" in flags:
            lines = [line for line, flag in zip(lines, flags, strict=False) if flag == ord("1")]
        silent = [d for d, flag in zip(batch.silent, flags[len(batch.lines) :], strict=True) if flag == ord("1")]
        gone = sum(delivery.gone and entry_key(delivery.id) <= entry_key(self.audit.last_id) for delivery in silent)
        self.count_losses(batch.audit.losses(), gone)
        self.audit = batch.audit.settled()
        for entry_id in batch.ids if self.left else ():
            self.left.pop(entry_id, None)
        self._base -= len(silent)
        self._note_base()
        self._count(lines)
        return lines

    def _count(self, lines: Sequence[Line]) -> None:
        values = self._metrics.values
        values[self._metrics.slot(PROCESSED)] += len(lines)
        for slots, n in Counter([line.slots for line in lines]).items():
            for slot in slots:
                values[slot] += n

    def count_losses(self, losses: Losses, gone: int = 0) -> None:
        """Count events that will never be read, and `gone` entries that were deleted while they were pending."""
        for reason, events in (("trimmed", losses.trimmed + gone), ("reset", losses.reset)):
            if events:
                self._metrics.add(STREAM_LOST, reason, n=events)
                log("error", "events_lost", reason=reason, events=events)

    def _note_base(self) -> None:
        """For a successor in this node: what it needs to tell our lines of this ledger from earlier ones."""
        self._metrics.values[self._metrics.state("base")] = self._base
