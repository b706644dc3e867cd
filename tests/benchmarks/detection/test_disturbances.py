"""Events that were disturbed on their way: the same ones, at other times."""

import numpy as np
import pytest

from benchmarks.detection.columns import Columns
from benchmarks.detection.disturbances import DISTURBANCES, LATE_MS, disturbed

SPAN_MS = 3_600_000
HOURS, EACH = 3, 2000


def hours() -> list[Columns]:
    """Some hours of attempts, told apart by their latency."""
    numbers = np.arange(HOURS * EACH)
    at = numbers * (SPAN_MS // EACH)
    zeros = np.zeros(len(numbers), np.int64)
    every = Columns._make([at, *[zeros] * 9, numbers])
    return [every.rows(numbers // EACH == hour) for hour in range(HOURS)]


def arrived(name: str) -> list[Columns]:
    """The same, as they arrive."""
    return list(disturbed(hours(), name, SPAN_MS, 1))


def test_without_a_disturbance_nothing_changes() -> None:
    """The very same parts."""
    assert [part.at.tolist() for part in arrived("")] == [part.at.tolist() for part in hours()]


@pytest.mark.parametrize("name", DISTURBANCES)
def test_events_come_later_or_twice_and_each_in_its_hour(name: str) -> None:
    """Some, not many, are moved; none is before its time, and none but the last are missing."""
    parts = arrived(name)
    for hour, part in enumerate(parts):
        assert ((hour * SPAN_MS <= part.at) & (part.at < (hour + 1) * SPAN_MS)).all()
    at = np.concatenate([part.at for part in parts])
    number = np.concatenate([part.latency for part in parts])
    late = at - number * (SPAN_MS // EACH)
    assert ((late >= 0) & (late <= LATE_MS[1])).all()
    assert 0.004 < (late > 0).mean() < 0.05
    assert HOURS * EACH - len(np.unique(number)) < 10
    assert [part.at.tolist() for part in parts] == [part.at.tolist() for part in arrived(name)]
