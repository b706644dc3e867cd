"""Results are told apart by name and meaning."""

import pytest

from payflux.telemetry.results import ALERT_RESULTS, WEBHOOK_RESULTS


@pytest.mark.parametrize("results", [ALERT_RESULTS, WEBHOOK_RESULTS])
def test_no_two_results_mean_the_same(results: dict[str, str]) -> None:
    """Each is a word of a label, and says something of its own."""
    assert all(name.isidentifier() for name in results)
    assert len(set(results.values())) == len(results) >= 5
