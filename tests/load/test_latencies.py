"""The histogram of latencies, against sorting."""

from hypothesis import given
from hypothesis import strategies as st

from payflux.load.latencies import WIDTH, Latencies

durations = st.floats(min_value=1e-6, max_value=900, allow_nan=False)


@given(st.lists(durations, min_size=1), st.floats(min_value=0.1, max_value=100))
def test_a_percentile_is_never_too_short_and_at_most_a_bucket_too_long(seconds: list[float], percent: float) -> None:
    """As the sorted list says, by nearest rank."""
    latencies = Latencies()
    for one in seconds:
        latencies.add(one)
    rank = percent / 100 * len(seconds)
    exact = next(one for n, one in enumerate(sorted(seconds), 1) if n >= rank)
    found = latencies.percentile(percent)
    assert exact * 0.999999 <= found <= exact * WIDTH * 1.000001
    assert found <= latencies.longest == max(seconds)
    assert latencies.count == len(seconds)


def test_nothing_took_no_time() -> None:
    """A load without an answer has no latency."""
    assert Latencies().percentile(99) == 0.0


def test_what_is_out_of_range_counts_too() -> None:
    """Zero and hours are the least and the greatest."""
    latencies = Latencies()
    latencies.add(0.0)
    latencies.add(7200.0)
    assert latencies.count == 2
    assert latencies.percentile(50) < 2e-6
    assert latencies.percentile(100) > 1000
