"""Segments: the traffic by geography, method, issuer country and channel, and what each event is expected to do."""

from collections.abc import Iterable, Iterator

from payflux.risk.evidence.streams import OTHER_SEGMENT, OTHER_WHOLE, SEGMENT, WHOLE, Segment
from payflux.risk.observation import DIMENSIONS, OTHER_VALUE, Observation, Values
from payflux.risk.tally import expectation

MOST_VALUES = 32
"""Values told apart in a dimension; further ones are `other`."""

MOST_CELLS = 2048
FORGET_SEC = 86400
"""A value not seen for so long makes room for another."""

Cell = tuple[int, tuple[Segment, ...]]
"""What an attempt of one value in each dimension is expected to do, as a tally, and the segments it belongs to."""

Cells = tuple[dict[Values, Cell], dict[Values, Cell]]

_UNATTRIBUTED = ("", OTHER_VALUE)


class Segments:
    """All segments of a processor.

    The odds of an attempt to fail are the overall odds times a ratio for each of its five values (geography, method,
    issuer country, channel, first attempt or retry): a logistic model without interactions.

    Attributes:
        whole: all traffic.
        retried: all but first attempts.
        firsts: the ratios of first attempts, for either kind of failure.
        dimensions: the segments of each dimension by value, in the order of `DIMENSIONS`.
        odds: the overall odds of either kind of failure.
        cells: by their values, of first attempts and of retries; those met since the last block, if there is room.
    """

    def __init__(self) -> None:
        self.whole = Segment("", "", WHOLE, OTHER_WHOLE)
        self.retried = Segment("attempt", "retry", WHOLE, OTHER_WHOLE)
        self.retried.charted = False
        for stream in (self.whole.counted, self.whole.other):
            stream.settle(0.0, 1)
        self.firsts = (1.0, 1.0)
        self.odds = (0.05, 0.1)
        self.dimensions: tuple[dict[str, Segment], ...] = ({}, {}, {}, {})
        self.cells: Cells = ({}, {})
        self._before: Cells = ({}, {})

    def all(self) -> list[Segment]:
        """Every segment of every dimension, in the order they were met."""
        return [segment for values in self.dimensions for segment in values.values()]

    def touched(self) -> list[Segment]:
        """The segments that grew within the second at hand, all traffic first."""
        parts = [segment for values in self.dimensions for segment in values.values() if segment.growth]
        return [self.whole, self.retried, *parts] if self.retried.growth else [self.whole, *parts]

    def clear_growth(self) -> None:
        """End the second at hand."""
        self.whole.growth = self.retried.growth = 0
        for values in self.dimensions:
            for segment in values.values():
                segment.growth = 0

    def placed(self, events: dict[Observation, int]) -> Iterator[tuple[Observation, int, Cell]]:
        """Observations of a second and how often each was made, with their cells; those of new cells come last."""
        first, again = self.cells
        strangers = []
        for seen, times in events.items():
            cell = (again if seen.retried else first).get(seen.values) or self._renewed(seen)
            if cell is None:
                strangers.append(seen)
            else:
                yield seen, times, cell
        if strangers:
            self.admit(strangers)
            for seen in strangers:
                yield seen, events[seen], self.cell(seen)

    def admit(self, strangers: Iterable[Observation]) -> None:
        """Make room for values not met before; sorted, so that their order within a second decides nothing."""
        for at, values in enumerate(self.dimensions):
            for value in sorted({one.values[at] for one in strangers} - values.keys()):
                if len(values) < MOST_VALUES or value == OTHER_VALUE:
                    self.add(at, value)

    def add(self, at: int, value: str) -> Segment:
        """Begin a segment.

        Args:
            at: the number of its dimension.
            value: not known before.
        """
        dimension = DIMENSIONS[at]
        segment = Segment(dimension, value, SEGMENT[dimension], OTHER_SEGMENT[dimension])
        segment.charted = value not in _UNATTRIBUTED
        self.dimensions[at][value] = segment
        for stream in (segment.counted, segment.other):
            stream.settle(0.0, len(self.dimensions[at]))
        return segment

    def cell(self, seen: Observation) -> Cell:
        """The cell of an observation; its values were admitted before, or are `other`."""
        known = self.cells[seen.retried].get(seen.values)
        if known is not None:
            return known
        parts = tuple(map(self._segment, range(4), seen.values))
        whole = (*parts, self.retried) if seen.retried else parts
        return self._expected(seen, whole, keep=all(map(_is_of, parts, seen.values)))

    def _renewed(self, seen: Observation) -> Cell | None:
        """The cell of an observation met in the block before: it belongs where it did, and is expected to do anew."""
        known = self._before[seen.retried].get(seen.values)
        return known and self._expected(seen, known[1], keep=True)

    def _expected(self, seen: Observation, parts: tuple[Segment, ...], *, keep: bool) -> Cell:
        cell = self._expectation(parts, seen.retried), parts
        known = self.cells[seen.retried]
        if keep and len(known) < MOST_CELLS:
            known[seen.values] = cell
        return cell

    def _segment(self, at: int, value: str) -> Segment:
        values = self.dimensions[at]
        if value not in values:
            if OTHER_VALUE not in values:
                self.add(at, OTHER_VALUE)
            value = OTHER_VALUE
        return values[value]

    def _expectation(self, parts: tuple[Segment, ...], retried: bool) -> int:  # noqa: FBT001
        own = (self.retried.counted.ratio, self.retried.other.ratio) if retried else self.firsts
        a, b, c, d = parts[:4]
        counted = self.odds[0] * own[0] * a.counted.ratio * b.counted.ratio * c.counted.ratio * d.counted.ratio
        other = self.odds[1] * own[1] * a.other.ratio * b.other.ratio * c.other.ratio * d.other.ratio
        return expectation(counted / (1.0 + counted), other / (1.0 + other))

    def relearned(self, second: int) -> None:
        """The ratios changed: work out cells anew, and forget values not seen for a day."""
        self._before, self.cells = self.cells, ({}, {})
        for values in self.dimensions:
            for value in [value for value, segment in values.items() if second - segment.seen > FORGET_SEC]:
                del values[value]
                self._before = ({}, {})


def _is_of(part: Segment, value: str) -> bool:
    """Whether a segment is that of a value, and not of all for which there is no room: those are not remembered."""
    return part.value == value
