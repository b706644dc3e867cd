"""What the detector costs is measured over real traffic, and only once it has learned."""

import pytest

from benchmarks.detection.cost import Stretch, costs


def test_every_figure_is_of_the_stretch() -> None:
    """The charts by event and by second agree on how many events a second there are."""
    (row,) = costs([Stretch("p5", 7_800, 300)], 2)
    assert 3.0 < row.per_second / row.per_event < 7.0
    assert 0.0 < row.counting < row.per_event


def test_a_detector_that_learned_nothing_is_not_measured() -> None:
    """Most of its charts would do nothing."""
    with pytest.raises(ValueError, match="p5: nothing is learned after 60 seconds"):
        list(costs([Stretch("p5", 60, 60)], 1))
