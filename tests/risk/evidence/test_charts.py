"""Charts: what may wait says the same later."""

from math import isclose
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from payflux.risk.evidence.charts import AWAKE, STEEP, Bank
from payflux.risk.evidence.streams import SEGMENT, WHOLE, Kind, Segment
from payflux.risk.tally import UNIT, expectation, tally

GAPS = st.sampled_from((1, 1, 1, 2, 7, 59, 60, 61, 700))
SECONDS = st.lists(st.tuples(GAPS, st.integers(1, 9), st.sampled_from((0, 0, 0, 0, 1, 2, 9))), min_size=1, max_size=60)


def at_once(seconds: list[tuple[int, int, int]], chance: float) -> Bank:
    """A bank that takes in each second at once."""
    bank, now = Bank(STEEP), 0
    expected = int(chance * UNIT) / UNIT
    for gap, n, k in seconds:
        now += gap
        if bank.live or k:
            bank.step(now, n, min(k, n), n * expected, (now, 0, 0))
    return bank


def in_its_time(seconds: list[tuple[int, int, int]], chance: float) -> Segment:
    """A segment whose chart lets seconds without failures wait, as all do."""
    segment, now = Segment("geo", "GB", SEGMENT["geo"], WHOLE), 0
    for gap, n, k in seconds:
        now += gap
        growth = tally(n, min(k, n)) + n * expectation(chance, 0.0)
        mark = (now, segment.total, 0)
        segment.total += growth
        segment.counted.step(now, n, growth, mark)
    segment.counted.catch_up()
    return segment


@given(seconds=SECONDS, chance=st.sampled_from((0.001, 0.05, 0.5)))
def test_what_waited_says_the_same_in_the_end(seconds: list[tuple[int, int, int]], chance: float) -> None:
    """Whether seconds without failures are taken in one by one or together; only the last digits differ."""
    now, later = at_once(seconds, chance), in_its_time(seconds, chance).counted.bank
    pairs = zip((*now.levels, now.recovery), (*later.levels, later.recovery), strict=True)
    assert all(isclose(one, other, abs_tol=1e-6) for one, other in pairs)
    assert (now.awake, now.touched if now.live else 0) == (later.awake, later.touched if later.live else 0)
    assert later.awake == (max(later.levels) >= AWAKE)


def test_most_seconds_wait() -> None:
    """One failure in a hundred seconds costs two looks at the chart, not a hundred."""
    random, looks = Random(1), 0
    segment = Segment("geo", "GB", SEGMENT["geo"], WHOLE)
    for second in range(100, 1100):
        growth = tally(1, int(random.random() < 0.01)) + expectation(0.01, 0.0)
        before = segment.counted.taken
        mark = (second, segment.total, 0)
        segment.total += growth
        segment.counted.step(second, 1, growth, mark)
        looks += segment.counted.taken != before
    assert 1 <= looks <= 30


def test_nothing_is_reported_that_may_wait() -> None:
    """A chart that is not awake is below whatever evidence is looked at, at the price of the heaviest kind."""
    whole = Segment("", "", WHOLE, Kind("", WHOLE.weight, raises=True, gate="whole"))
    for stream in (whole.counted, whole.other):
        stream.settle(0.0, 1)
        assert AWAKE + stream.bank.price < 4.0
