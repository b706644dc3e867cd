"""The registry of scenarios, and the labels that incidents leave."""

import pytest

from payflux.load.corpus.population import CATEGORIES, PROCESSORS
from payflux.load.corpus.scenarios import SCENARIOS, Incident, label_of, values_of

START = 1_767_960_000.0
DRIVERS = {
    *("high_failure_rate", "retry_pressure_spike", "timeout_clustering", "auth_failure_cluster", "traffic_volatility"),
    *("geo_entropy_increase", "failure_clustering", "segment_degradation", "latency_increase"),
    *("card_testing_suspected", "volume_drop"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_makes_sense(name: str) -> None:
    """What goes wrong names a driver, what is benign names none; severities, times, values and categories exist."""
    scenario = SCENARIOS[name]
    named = {scenario.driver, *scenario.also}
    assert named == {""} if scenario.benign else named <= DRIVERS
    assert scenario.driver not in scenario.also
    assert 0 < scenario.severities[0] <= scenario.severities[1] <= 1
    assert 0 < scenario.minutes[0] <= scenario.minutes[1]
    assert {category for category, _ in scenario.effect.categories} <= set(CATEGORIES)
    if scenario.dimension:
        assert scenario.value in values_of(scenario.dimension, PROCESSORS[scenario.processor])
    assert bool(scenario.effect.categories) == bool(scenario.effect.failing)


def test_the_names_that_people_know_are_still_there() -> None:
    """The first seven scenarios are those of scripts and dashboards."""
    known = ("outage", "timeout_creep", "auth_cluster", "retry_storm", "geo_spread", "traffic_spike", "silence")
    assert tuple(SCENARIOS)[:7] == known


@pytest.mark.parametrize(
    ("name", "strengths"),
    [
        ("outage", [0.8, 0.8, 0.8, 0.8]),
        ("timeout_creep", [0.0, 0.2, 0.4, 0.8]),
        ("flash_sale", [0.0, 0.8, 0.8, 0.8]),
        ("slow_drift", [0.0, 0.4, 0.8, 0.0]),
    ],
)
def test_effects_come_in_their_shape(name: str, strengths: list[float]) -> None:
    """At its start, after a quarter, half and all of the time, at a severity of 0.8."""
    incident = Incident(name, "stripe", 1000, 4000, 0.8)
    assert [incident.strength(at) for at in (1000, 2000, 3000, 5000)] == pytest.approx(strengths)


def test_a_label_tells_the_truth() -> None:
    """Everything a judge needs; what outlives the traffic ends with it."""
    incident = Incident("partial_geo", "adyen", 30, 180.5, 0.75, "DE")
    label = label_of(incident, START, 3600)
    assert label._asdict() == {
        "scenario": "partial_geo",
        "processor": "adyen",
        "driver": "segment_degradation",
        "also": ("high_failure_rate",),
        "dimension": "geo",
        "value": "DE",
        "start": "2026-01-09T12:00:30.000Z",
        "end": "2026-01-09T12:03:30.500Z",
        "severity": 0.75,
        "benign": False,
    }
    assert label_of(incident, START, 60).end == "2026-01-09T12:01:00.000Z"
