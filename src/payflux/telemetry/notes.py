"""What the processes of a node tell each other beside metrics: each number with its one writer and its readers.

The numbers stand behind the metrics in a process's section of the shared memory. All of them are written by the process
of that section alone, in one store of eight bytes each, so none needs a lock; they outlive the process.
"""

from typing import Protocol

from payflux.errors import REMEDIES

TROUBLES = ("", *REMEDIES, "redis_error", "overloaded")
SUPERVISOR = "supervisor"
CONSUMER = "consumer"
DESTINATIONS = 16
"""So many destinations a node can tell apart; what came after them would share one place more."""


class _Owner(Protocol):
    values: "memoryview[float]"
    start: int


class _Number:
    """A number in shared memory, read and written as an attribute."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, owner: _Owner, _: type) -> float:
        return owner.values[owner.start + self._place]

    def __set__(self, owner: _Owner, value: float) -> None:
        owner.values[owner.start + self._place] = value


class DestinationNotes:
    """How the export to one destination stands. Written by the consumer.

    Attributes:
        settled: lines its thread is done with, exported or counted as not exported. Written by that thread, read by the
            consumer's successor in the node.
        refused: lines counted as not exported before they reached the thread. Written by the consumer's own thread,
            read by its successor.
        writing: 1 while a write is under way. Written by the destination's thread; a successor that finds it set ends
            the line that was torn.
        error: the place of the last error's reason among `EXPORT_REASONS`. Written by whichever of the two threads
            counts the error, read by `/export/health`.
    """

    SIZE = 4
    settled = _Number(0)
    refused = _Number(1)
    writing = _Number(2)
    error = _Number(3)

    def __init__(self, values: "memoryview[float]", start: int) -> None:
        self.values, self.start = values, start

    def begin(self) -> None:
        """Forget what a former process of the consumer left; its last error stays."""
        self.settled = self.refused = self.writing = 0

    def settle(self, lines: int) -> None:
        """The thread is done with so many lines, all in all."""
        self.settled = lines

    def refuse(self, lines: int) -> None:
        """So many lines, all in all, never came to the thread."""
        self.refused = lines

    def write(self, *, begins: bool) -> None:
        """A write begins, or has ended."""
        self.writing = begins

    def fail(self, reason: int) -> None:
        """Something was not exported, for a reason by its place."""
        self.error = reason


class ChildNotes:
    """How one process of the node does.

    Attributes:
        heartbeat: when the consumer last began a turn, by the monotonic clock of the machine. Written by the consumer,
            read by `/health`.
        failing: 1 while processes of the node keep dying. Written by the supervisor, read by `/health` and `/readyz`.
        trouble: the place among `TROUBLES` of what Redis answered the consumer last, 0 while it answers well. Written
            by the consumer, read by `/health`.
        base: lines published before the ledger began, less those acked without one. Written by the consumer, read by
            its successor in the node.
    """

    SIZE = 4 + DestinationNotes.SIZE * (DESTINATIONS + 1)
    heartbeat = _Number(0)
    failing = _Number(1)
    base = _Number(2)
    trouble = _Number(3)

    def __init__(self, values: "memoryview[float]", start: int) -> None:
        self.values, self.start = values, start

    def beat(self, at: float) -> None:
        """The consumer begins a turn."""
        self.heartbeat = at

    def meet(self, code: str) -> None:
        """The consumer meets a StreamUnavailable with this code; none when it is empty."""
        self.trouble = TROUBLES.index(code)

    @property
    def trouble_code(self) -> str:
        """What the consumer meets; empty when all is well."""
        return TROUBLES[int(self.trouble)]

    def fail(self, *, failing: bool) -> None:
        """Processes of the node keep dying, or do so no more."""
        self.failing = failing

    def begin_ledger(self, base: int) -> None:
        """The lines of the ledger begin behind so many."""
        self.base = base

    def destination(self, number: int) -> DestinationNotes:
        """How the export to a destination stands, by its number in the table of names."""
        return DestinationNotes(self.values, self.start + 4 + DestinationNotes.SIZE * number)
