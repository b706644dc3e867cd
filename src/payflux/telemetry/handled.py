"""What the consumer of a node was done with lately, in shared memory: what Redis may have forgotten when it comes back.

A log of entry ids and their numbers, in two halves that are filled in turn, so that the newest 50,000 entries or more
are known. It is written by the consumer alone, the length after the text, so that a successor reads it whole.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count, groupby

from payflux.telemetry.slab import Slab

SECTION = "handled"
HALF = 1 << 20
_HEADER = 128


class _Number:
    """A number in shared memory, read and written as an attribute."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, owner: "Handled", _: type) -> int:
        return owner.numbers[self._place]

    def __set__(self, owner: "Handled", value: int) -> None:
        owner.numbers[self._place] = value


class Handled:
    """The entries a consumer was done with, the newest last.

    Args:
        slab: the node's shared memory.

    Attributes:
        numbers: the header of the log, by place.
        reported: up to which number a loss of Redis's data has been counted.
        parted: the number at which Redis last came back with an older state; 0 when it never did.
        life: of the ledger that the consumer notes; 0 when it never held the lease.
        former: the life of the ledger it went on from; what was not exported of that is counted.
        newest: the newest entry that is acked; empty when there is none.
        highest: the number of the newest entry.
        safe: entries that are exported and perhaps not acked, with their numbers.
    """

    _half, _lines, _acked = _Number(0), _Number(3), _Number(4)
    reported, parted, life, former = _Number(5), _Number(6), _Number(7), _Number(8)

    def __init__(self, slab: Slab) -> None:
        section = slab.bytes(SECTION)
        self.numbers = section[:_HEADER].cast("q")
        self._halves = section[_HEADER : _HEADER + HALF], section[_HEADER + HALF :]
        self.newest, self.highest, self._last = b"", 0, b""
        self.safe: dict[bytes, int] = {}

    @staticmethod
    def size() -> int:
        """The bytes it takes."""
        return _HEADER + 2 * HALF

    def restart(self, exported: int) -> None:
        """Go on from what a former process left, of whose entries so many were exported or counted as not exported."""
        entries, lines, acked = [*self._read()], self._lines, self._acked
        undone = max(0, lines - exported)
        del entries[max(0, len(entries) - undone) :]
        exported_only = min(len(entries), max(0, lines - acked - undone))
        cut = len(entries) - exported_only
        self._lines = 0
        self.keep(dict(entries[:cut]), dict(entries[cut:]))

    def note(self, first: int, ids: Collection[bytes], newest: bytes) -> None:
        """Entries are done, in order and numbered one after the other.

        Args:
            first: the number of the first.
            ids: the entries, at least one.
            newest: the last of them.
        """
        self._append(b"%d %b\n" % (first, b" ".join(ids)))
        self._lines += len(ids)
        self.highest, self._last = first + len(ids) - 1, newest

    def note_all(self, entries: Iterable[tuple[bytes, int]]) -> None:
        """Entries are done, with their numbers, in order."""
        for _, run in groupby(enumerate(entries), lambda one: one[1][1] - one[0]):
            ids = [entry for _, entry in run]
            self.note(ids[0][1], [entry_id for entry_id, _ in ids], ids[-1][0])

    def report(self, reported: int, parted: int) -> None:
        """What the numbers have told of losses."""
        self.reported, self.parted = reported, parted

    def begin(self, life: int, former: int) -> None:
        """A ledger begins that goes on from another, which is none of ours when it is 0."""
        self.former, self.life = former, life

    def acked(self) -> None:
        """All of them are acked."""
        self._acked, self.newest = self._lines, self._last

    def make_safe(self, entries: Collection[tuple[bytes, int]]) -> None:
        """Entries are exported, with their numbers, in order, and not acked yet."""
        self.safe.update(entries)
        self.note_all(entries)

    def ack_safe(self, entries: Iterable[bytes]) -> None:
        """Entries are acked that were made safe before."""
        for entry_id in entries:
            self.safe.pop(entry_id, None)
        if not self.safe:
            self.acked()

    def all(self) -> dict[bytes, int]:
        """The entries and their numbers, the oldest first; those that are only safe are not among them."""
        return {entry_id: seq for entry_id, seq in self._read() if entry_id not in self.safe}

    def keep(self, entries: Mapping[bytes, int], safe: Mapping[bytes, int]) -> None:
        """Forget all but these."""
        lines = self._lines
        self.numbers[1] = self.numbers[2] = 0
        self.newest, self.highest, self._last = b"", 0, b""
        self.safe = dict(safe)
        self.note_all(entries.items())
        self.newest = self._last
        self.note_all(safe.items())
        self._lines, self._acked = lines, lines - len(safe)

    def _append(self, record: bytes) -> None:
        at = self.numbers[1 + self._half]
        if at + len(record) > HALF:
            self.numbers[2 - self._half] = at = 0
            self._half = 1 - self._half
        self._halves[self._half][at : at + len(record)] = record
        self.numbers[1 + self._half] = at + len(record)

    def _read(self) -> Iterator[tuple[bytes, int]]:
        for half in (1 - self._half, self._half):
            for record in bytes(self._halves[half][: self.numbers[1 + half]]).splitlines():
                first, *ids = record.split(b" ")
                yield from zip(ids, count(int(first)), strict=False)
