"""How bad and how sure: scores and bands stay in their bounds."""

import math

from hypothesis import given
from hypothesis import strategies as st

from payflux.risk.assessment import BANDS
from payflux.risk.judge import Limits
from payflux.risk.watch import Watch
from risk_traffic import LEARNED, START, Memory, Traffic, counted, few, minutes, resumed, seconds, seeds


@few
@given(
    seed=seeds,
    thresholds=st.lists(st.integers(1, 100), min_size=3, max_size=3, unique=True),
    hold_sec=st.sampled_from((20, 300, 86_400)),
)
def test_scores_and_bands_stay_in_bounds(memory: Memory, seed: int, thresholds: list[int], hold_sec: int) -> None:
    """For any thresholds and hold a score is a number from 0 to 1, and its band is its own or a higher one."""
    low, middle, high = (number / 100 for number in sorted(thresholds))
    watch = resumed(memory, Limits((low, middle, high), hold_sec))
    for second, attempts in zip(seconds(LEARNED, 60), minutes(seed), strict=True):
        for said in watch.tick(second, counted(attempts)):
            assert 0.0 <= said.score <= 1.0
            assert BANDS.index(said.band) >= sum(said.score >= one for one in (low, middle, high))
            numbers = [
                number for one in said.drivers for number in (one.severity, one.expected, one.odds, one.evidence)
            ]
            assert all(map(math.isfinite, numbers))


@few
@given(seed=seeds, count=st.integers(1, 40), declines=st.sampled_from((0.0, 0.5, 1.0)))
def test_any_traffic_from_the_first_second_gives_numbers(seed: int, count: int, declines: float) -> None:
    """Neither nothing but successes nor nothing but failures breaks a formula."""
    watch, traffic = Watch("stripe", Limits(), START), Traffic(3, declines, seed)
    for second in seconds(1, count * 10):
        for said in watch.tick(second, counted(traffic.second())):
            assert math.isfinite(said.score)
    watch.baseline.begun -= 10**6
    for second in seconds(count * 10 + 1, 400):
        watch.tick(second, counted(traffic.second()))
    assert all(math.isfinite(level) for stream in watch.streams() for level in stream.bank.levels)
    assert all(0.0 < stream.scale < math.inf and 0.0 < stream.ratio < math.inf for stream in watch.streams())
