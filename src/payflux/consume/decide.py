"""What becomes of each entry of one batch: a line, an ack without one, the dead-letter stream, or another try.

Somebody else may have appended some of them, and those are read as strictly as ingestion reads what producers send.
Ingestion has judged its own, and judging everything again would cost the consumer a third of its speed. Its entries
are told by their numbers: they go on one by one, and whoever puts an entry between them takes a number that one of
them has too. So a batch whose numbers go on is ours, unless strangers' entries stand at its end: its last entry is
judged, some of the others, and all of a small batch.
"""

import time
from collections.abc import Collection, Container, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

import msgspec

from payflux.consume.line import Enricher, Line
from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event
from payflux.log import log
from payflux.stream.deliveries import Delivery

KEPT = 10_000  # lines, more than there can be in one batch; what fails is taken up again
SUSPICIOUS = 100  # invalid entries in a row: something is wrong with us or with the stream, not with the entries
FEW = 8  # so many are judged at next to no cost beside the commands that read and ack them
EVERY = 64


class Batch(NamedTuple):
    """What is decided about a batch before it is acked.

    Attributes:
        lines: the finished line of each entry that is to be exported.
        silent: entries to be acked without a line: they are gone, or were exported before.
        invalid: entries to be dead-lettered, and why.
        failed: entries on which we failed; they stay pending until their deliveries are used up.
    """

    lines: dict[bytes, Line]
    silent: list[Delivery]
    invalid: dict[bytes, tuple[Delivery, str]]
    failed: list[bytes]

    @property
    def ids(self) -> list[bytes]:
        """What is to be acked."""
        return [*self.lines, *(delivery.id for delivery in self.silent)]

    @property
    def undone(self) -> list[bytes]:
        """What is not to be acked."""
        return [*self.invalid, *self.failed]

    def but(self, invalid: Mapping[bytes, tuple[Delivery, str]]) -> "Batch":
        """The same, but that no line of these is exported: they are to be dead-lettered."""
        if not invalid:
            return self
        lines = {entry_id: line for entry_id, line in self.lines.items() if entry_id not in invalid}
        return self._replace(lines=lines, invalid={**self.invalid, **invalid})

    def without(self, gone: Collection[bytes]) -> "Batch":
        """The same, but for entries that can't be done any more."""
        invalid = {entry_id: one for entry_id, one in self.invalid.items() if entry_id not in gone}
        return self._replace(invalid=invalid, failed=[entry_id for entry_id in self.failed if entry_id not in gone])

    def ours(self, flags: bytes) -> tuple[list[Line], list[Delivery]]:
        """The lines, and the entries without one, of what was acked.

        Args:
            flags: for each of `ids` `1`, or `0` when somebody else had acked it.
        """
        lines, silent = list(self.lines.values()), self.silent
        if b"0" in flags:
            ours = [flag == ord("1") for flag in flags]
            lines, silent = [*compress(lines, ours)], [*compress(silent, ours[len(lines) :])]
        return lines, silent


class Assembler:
    """Makes batches. A line that was built and not acked is kept, so that an entry is scored once.

    Args:
        enricher: makes lines.
        max_deliveries: deliveries of an entry before it is dead-lettered.
    """

    def __init__(self, enricher: Enricher, max_deliveries: int) -> None:
        self._enricher, self._max_deliveries = enricher, max_deliveries
        self._built: dict[bytes, Line] = {}
        self._invalid_row = 0  # up to the latest entry; redelivered ones count while nothing else was valid
        self._none_valid = True  # of the new entries since the start or the last halt

    @property
    def suspicious(self) -> bool:
        """Whether so many entries in a row were invalid that the fault may be ours, or the stream's."""
        return self._invalid_row >= SUSPICIOUS

    def batch(
        self, deliveries: Sequence[Delivery], known: int, unacked: Container[bytes], *, redelivered: bool
    ) -> Batch:
        """Decide about entries.

        Args:
            deliveries: in stream order, at least one.
            known: how many of them, the first ones, are not newer than the newest entry seen.
            unacked: entries up to that one that are not acked yet; what else is known was exported before.
            redelivered: they were pending.
        """
        batch = Batch({}, [], {}, [])
        lines, silent, invalid, failed = batch
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
        line_of, ours = self._enricher.line, are_ours(deliveries)
        for index, delivery in enumerate(deliveries):
            if delivery.gone or (index < known and delivery.id not in unacked):
                silent.append(delivery)
            elif delivery.attempts > self._max_deliveries:
                invalid[delivery.id] = (delivery, "max_deliveries")
            else:
                try:
                    built = self._built.pop(delivery.id, None) if self._built else None
                    lines[delivery.id] = built or line_of(delivery if ours else strictly(delivery), stamp)
                except InvalidEvent as error:
                    invalid[delivery.id] = (delivery, error.code)
                    self._invalid_row += self._none_valid or not redelivered
                except Exception as error:  # noqa: BLE001 - a defect of ours costs this entry its budget, not the node
                    failed.append(delivery.id)
                    _tell(delivery, error)
                else:
                    self._invalid_row = 0
                    if self._none_valid:
                        self._none_valid = redelivered
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

    def distrust(self) -> None:
        """The consumer halts: until a new entry is valid, what comes again may be invalid by our fault."""
        self._none_valid = True


def _tell(delivery: Delivery, error: Exception) -> None:
    name, entry = type(error).__name__, delivery.id.decode()
    log("error", "entry_failed", entry=entry, error=name, attempt=delivery.attempts)


def are_ours(deliveries: Sequence[Delivery]) -> bool:
    """Whether ingestion has appended these and judged them; False when only reading them strictly can tell.

    Args:
        deliveries: in stream order.
    """
    if not deliveries:
        return True
    size, last = len(deliveries), deliveries[-1]
    if size <= FEW or last.seq - deliveries[0].seq != size - 1:
        return False
    try:
        for data in [one.data for one in deliveries if one.data is not None and not one.data.isascii()]:
            data.decode()
        return all(strictly(one) is one for one in (*deliveries[::EVERY], last))
    except (UnicodeDecodeError, InvalidEvent):
        return False


def strictly(delivery: Delivery) -> Delivery:
    """An entry with its event in canonical form: the same when it is in it already.

    Raises:
        InvalidEvent: it would have been refused at the door.
    """
    if delivery.data is None:
        return delivery
    canonical = decode_event(delivery.data).data
    return delivery if canonical == delivery.data else msgspec.structs.replace(delivery, data=canonical)
