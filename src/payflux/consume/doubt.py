"""Lines that were handed to the exporters and may not stand anywhere yet: noted, so that a successor can look for them.

The ledger says how many lines of a dead consumer are in doubt; their numbers say which. What a destination that can be
read holds of them was exported, however short before its death.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from payflux.exporters.fanout import FanOut

RUNS = 64  # noted at most; the oldest ones are noted as one, which is never less
BATCHES = 512  # remembered one by one, at most
MOST_LINES = 1_000_000  # looked for: more than there can be in a queue
_RUN = re.compile(rb"([0-9]{1,15})-([0-9]{1,15})")


class Run(NamedTuple):
    """Numbers from `first` to `last`, both included."""

    first: int
    last: int


class _Handed(NamedTuple):
    """Lines of one batch, or of several.

    Attributes:
        end: how many lines had been published with them.
        runs: their numbers.
    """

    end: int
    runs: tuple[Run, ...]


class InDoubt:
    """The lines of one consumer that are in doubt just now.

    Args:
        fan_out: tells how many lines are published and done with.
    """

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._handed: deque[_Handed] = deque()

    def add(self, runs: tuple[Run, ...], lines: int) -> None:
        """So many lines are about to be published, with these numbers."""
        self._handed.append(_Handed(self._fan_out.published + lines, runs))
        if len(self._handed) > BATCHES:
            first, second = self._handed.popleft(), self._handed.popleft()
            self._handed.appendleft(_Handed(second.end, _joined([*first.runs, *second.runs])))

    def noted(self, more: tuple[Run, ...] = ()) -> bytes:
        """The numbers in doubt as they stand in the ledger, `first-last` each, separated by blanks.

        Args:
            more: those of a batch that will be in doubt once this is noted.
        """
        if self._fan_out.settled >= self._fan_out.published:
            self._handed.clear()
        while self._handed and self._handed[0].end <= self._fan_out.written:
            self._handed.popleft()
        runs = _joined([run for handed in self._handed for run in handed.runs] + [*more])
        if len(runs) > RUNS:
            runs = (Run(runs[0].first, runs[-RUNS].last), *runs[1 - RUNS :])
        return b" ".join(b"%d-%d" % run for run in runs)

    def gone(self, lines: int, noted: bytes) -> int:
        """How many lines of a dead consumer stand nowhere.

        Args:
            lines: so many are in doubt.
            noted: their numbers, as it noted them; anybody may have written it.
        """
        runs = [Run(int(first), int(last)) for first, last in _RUN.findall(noted)]
        size = sum(run.last - run.first + 1 for run in runs)
        if lines <= 0 or not runs or not 0 < size <= MOST_LINES or any(run.first > run.last for run in runs):
            return lines
        found = {one.seq for one in self._fan_out.recall(size)}
        return min(lines, size - sum(any(run.first <= seq <= run.last for run in runs) for seq in found))


def runs_of(numbers: Iterable[int]) -> tuple[Run, ...]:
    """The runs that these numbers, in any order, make up."""
    return _joined([Run(number, number) for number in sorted(numbers)])


def _joined(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The same, with those that go on where another ends made one."""
    joined: list[Run] = []
    for run in runs:
        if joined and joined[-1].last + 1 == run.first:
            joined[-1] = Run(joined[-1].first, run.last)
        else:
            joined.append(run)
    return tuple(joined)
