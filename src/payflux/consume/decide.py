"""What becomes of each entry of one batch: a line, an ack without one, the dead-letter stream, or another try."""

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from payflux.consume.line import Enricher, Line
from payflux.consume.sequence import SeqAudit
from payflux.errors import InvalidEvent
from payflux.log import log
from payflux.stream.deliveries import Delivery, entry_key

KEPT = 10_000  # lines, more than there can be in one batch; what fails is taken up again


@dataclass
class Batch:
    """What is decided about a batch before it is acked.

    Attributes:
        lines: the finished line of each entry that is to be exported.
        silent: entries to be acked without a line: they are gone, or were exported before.
        invalid: entries to be dead-lettered, and why.
        failed: entries on which we failed; they stay pending until their deliveries are used up.
        audit: the numbers of the entries after this batch.
    """

    lines: dict[bytes, Line] = field(default_factory=dict)
    silent: list[Delivery] = field(default_factory=list)
    invalid: dict[bytes, tuple[Delivery, str]] = field(default_factory=dict)
    failed: list[bytes] = field(default_factory=list)
    audit: SeqAudit = field(default_factory=SeqAudit)

    @property
    def ids(self) -> list[bytes]:
        """What is to be acked."""
        return [*self.lines, *(delivery.id for delivery in self.silent)]


class Assembler:
    """Makes batches. A line that was built and not acked is kept, so that an entry is scored once.

    Args:
        enricher: makes lines.
        max_deliveries: deliveries of an entry before it is dead-lettered.
    """

    def __init__(self, enricher: Enricher, max_deliveries: int) -> None:
        self._enricher, self._max_deliveries = enricher, max_deliveries
        self._built: dict[bytes, Line] = {}
        self.invalid_row = 0
        """How many entries in a row were invalid, up to the latest one; redelivered ones count while in doubt."""
        self.in_doubt = True
        """No new entry has been valid since the start or the last halt: the fault may be ours, not the entries'."""

    def batch(
        self, deliveries: Sequence[Delivery], audit: SeqAudit, left: Container[bytes], *, redelivered: bool
    ) -> Batch:
        """Decide about entries.

        Args:
            deliveries: in stream order, at least one.
            audit: where the stream was before them; stays as it is.
            left: older entries that are not acked yet; what else is older was exported before.
            redelivered: they were pending.
        """
        batch = Batch(audit=audit.settled())
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
        last = entry_key(audit.last_id)
        new = [*deliveries]
        if entry_key(deliveries[0].id) <= last:
            new = [delivery for delivery in deliveries if entry_key(delivery.id) > last]
        if new:
            batch.audit.see_all(new)
        known, lines, line_of = len(deliveries) - len(new), batch.lines, self._enricher.line
        for index, delivery in enumerate(deliveries):
            if delivery.gone or (index < known and delivery.id not in left):
                batch.silent.append(delivery)
            elif delivery.attempts > self._max_deliveries:
                batch.invalid[delivery.id] = (delivery, "max_deliveries")
            else:
                try:
                    built = self._built.pop(delivery.id, None) if self._built else None
                    lines[delivery.id] = built or line_of(delivery, stamp)
                except Exception as error:  # noqa: BLE001 - a defect of ours costs this entry its budget, not the node
                    self._refuse(delivery, error, batch, redelivered=redelivered)
                else:
                    self.invalid_row = 0
                    if self.in_doubt:
                        self.in_doubt = redelivered
        return batch

    def keep(self, batch: Batch) -> None:
        """It could not be acked: should its entries come again, their lines are ready. An entry is scored once."""
        if len(self._built) > KEPT:
            self._built.clear()  # of entries that never came again
        self._built.update(batch.lines)

    def forget(self, batch: Batch) -> None:
        """It was acked after all: its entries will not come again."""
        for entry_id in batch.lines:
            self._built.pop(entry_id, None)

    def forget_all(self) -> None:
        """Another consumer had the stream meanwhile: what was built is out of date."""
        self._built.clear()

    def _refuse(self, delivery: Delivery, error: Exception, batch: Batch, *, redelivered: bool) -> None:
        """No line can be built: it is for the dead letters when that is the entry's fault."""
        if isinstance(error, InvalidEvent):
            batch.invalid[delivery.id] = (delivery, error.code)
            self.invalid_row += self.in_doubt or not redelivered
            return
        name, entry = type(error).__name__, delivery.id.decode()
        log("error", "entry_failed", entry=entry, error=name, attempt=delivery.attempts)
        batch.failed.append(delivery.id)
