"""Breadth: whether soft declines rise at most issuers at once, which no issuer causes."""

from collections.abc import Iterable
from typing import NamedTuple

from payflux.risk.evidence.charts import likelihood
from payflux.risk.evidence.segments import Segments
from payflux.risk.evidence.streams import Segment

ISSUER, GEO = 2, 0
WATCHED = 5.0
"""Nats of evidence for a rise from which on it is watched where it comes from."""

LEAST_EXCESS = 10.0
LEAST_OWN = 2.0
LEAST_VALUES = 3
HALF_AS_MUCH = 0.5
MOST_OF_IT = 0.6
"""A value shares in the rise with half the excess of the whole at least; those that do must make up most of it."""

MOST_OF_ONE = 0.6
"""Nor must the rise be mostly that of one value."""


SURELY = 8.0
"""Nats of evidence that declines have risen at all the others together."""


class Part(NamedTuple):
    """What happened to one value since the rise was noticed: attempts, declines, and declines expected."""

    n: int
    k: int
    expected: float

    @property
    def excess(self) -> float:
        """Declines beyond those expected."""
        return self.k - self.expected


class Breadth:
    """Where a rise of declines comes from.

    Attributes:
        marks: the totals of each issuer and geography when the rise was first noticed; empty when there is none.
    """

    __slots__ = ("marks",)

    def __init__(self, marks: dict[tuple[int, str], int] | None = None) -> None:
        self.marks = marks or {}

    def watch(self, segments: Segments, *, rising: bool) -> None:
        """Begin to watch a rise, or end it."""
        if not rising:
            self.marks = {}
        elif not self.marks:
            self.marks = {
                (at, value): segment.total
                for at in (ISSUER, GEO)
                for value, segment in segments.dimensions[at].items()
                if value
            }

    def is_broad(self, segments: Segments) -> bool:
        """Whether most issuers have a share in the rise; where no issuers are known, most geographies.

        With fewer than three of either, or too little to tell, it is not.
        """
        for at in (ISSUER, GEO):
            parts = [self._part(mark, segments.dimensions[at].get(value)) for (place, value), mark in self._of(at)]
            if len(parts) >= LEAST_VALUES:
                return _is_shared(parts)
        return False

    def _of(self, at: int) -> Iterable[tuple[tuple[int, str], int]]:
        return [item for item in self.marks.items() if item[0][0] == at]

    def _part(self, mark: int, segment: Segment | None) -> Part:
        """What happened to a value since the mark."""
        return Part(*segment.other.numbers(segment.total - mark)) if segment else Part(0, 0, 0.0)


def _is_shared(parts: list[Part]) -> bool:
    attempts, excess = sum(part.n for part in parts), sum(part.excess for part in parts)
    most = max(parts, key=lambda part: part.excess)
    if not attempts or excess < LEAST_EXCESS or most.excess > MOST_OF_ONE * excess or not _is_sure(parts, most):
        return False
    rate = excess / attempts
    telling = [part for part in parts if part.n * rate >= LEAST_OWN]
    if len(telling) < LEAST_VALUES:
        return False
    sharing = sum(part.n for part in telling if part.excess >= HALF_AS_MUCH * rate * part.n)
    return sharing >= MOST_OF_IT * sum(part.n for part in telling)


def _is_sure(parts: list[Part], most: Part) -> bool:
    """Whether declines have surely risen without the value at which they rose most."""
    rest = [part for part in parts if part is not most]
    expected = sum(part.expected for part in rest)
    return likelihood(sum(part.n for part in rest), sum(part.k for part in rest), expected) >= SURELY
