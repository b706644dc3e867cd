"""Breadth: whether soft declines rise at most issuers at once, which no issuer causes."""

from collections.abc import Iterable

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

    def _part(self, mark: int, segment: Segment | None) -> tuple[int, float]:
        """A value's attempts and its excess of declines since the mark."""
        if segment is None:
            return 0, 0.0
        n, k, expected = segment.other.numbers(segment.total - mark)
        return n, k - expected


def _is_shared(parts: list[tuple[int, float]]) -> bool:
    attempts, excess = sum(n for n, _ in parts), sum(more for _, more in parts)
    if not attempts or excess < LEAST_EXCESS:
        return False
    rate = excess / attempts
    telling = [(n, more) for n, more in parts if n * rate >= LEAST_OWN]
    if len(telling) < LEAST_VALUES:
        return False
    sharing = sum(n for n, more in telling if more >= HALF_AS_MUCH * rate * n)
    return sharing >= MOST_OF_IT * sum(n for n, _ in telling)
