"""Scenarios as histories."""

import pytest

from payflux.commands.backtest.scenario import START, Staged


def test_a_scenario_is_its_traffic_and_the_truth_about_it() -> None:
    """The same for the same seed, and it tells how far it is."""
    told: list[float] = []
    staged = Staged(["outage"], "p5", 3, warm_up=60.0, duration=200.0)
    history = list(staged.history(told.append))
    assert history == list(staged.history(told.append))
    assert all(START * 1000 <= one.at_ms < (START + 200) * 1000 for one in history)
    assert {one.entry.processor for one in history} == {"p5"}
    [truth] = staged.truths()
    assert (truth.scenario, truth.began, truth.driver) == ("outage", START + 60, "high_failure_rate")
    during = [one.entry.event_type for one in history if truth.began * 1000 <= one.at_ms]
    assert during.count("payment_failed") > 0.8 * len(during)
    assert told[0] < 60


@pytest.mark.parametrize(
    ("names", "seconds"),
    [(["outage"], 3 * 3600 + 180 + 2400), (["silence"], 26 * 3600 + 180 + 2400), (["benign"], 3 * 86_400)],
)
def test_it_lasts_as_long_as_it_takes(names: list[str], seconds: float) -> None:
    """Long enough before it to learn from, and after it to be quiet again."""
    assert Staged(names, "p5", 1, None, None).seconds == seconds
