"""Every incident leaves the marks that its label says, and nothing benign leaves any: an independent recount.

Only the events are looked at, as anybody would. They are compared with those of the same time without the incident, so
that slow noise is the same on both sides, by chi-square tests within groups of payments that are alike (Cochran, Mantel
and Haenszel), so that a change of the mix alone is none.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import takewhile
from typing import Any

import pytest

from payflux.load.corpus.population import CORPUS, GEOS
from payflux.load.corpus.scenarios import SCENARIOS, Incident, Label, label_of
from payflux.load.traffic import Traffic

NOON = 1_767_614_400.0
DURATION = 1800.0
SURE, QUIET = 25.0, 12.0
"""Chi-square values with one degree of freedom: one in two million by chance, and one in two thousand."""

Event = dict[str, Any]
Is = Callable[[Event], bool]
ALIKE = ("geo_bucket", "payment_method_bucket", "channel", "again")


def happening(name: str) -> Incident:
    """A scenario at its mildest in the corpus, from the beginning."""
    scenario = SCENARIOS[name]
    duration = max(DURATION, 60 * scenario.minutes[0]) if scenario.benign else DURATION
    return Incident(name, "p5", 0, duration, scenario.severities[0])


def truth_of(name: str) -> Label:
    return label_of(happening(name), NOON, DURATION)


@cache
def events_of(name: str) -> tuple[Event, ...]:
    """Twenty minutes with a scenario, or without any; the ten before, in which some scenarios grow, are left out."""
    incidents = [happening(name)] if name else []
    arrivals = Traffic(11, NOON, incidents, {"p5": CORPUS["p5"]}).arrivals()
    found = (event for at, event in takewhile(lambda one: one[0] < NOON + DURATION, arrivals) if at > NOON + 600)
    return tuple(event | {"again": event["retry_count"] != 0} for event in found)


def rise(
    usual: Iterable[Event],
    found: Iterable[Event],
    counted: Is,
    among: Is = lambda _: True,
    alike: Sequence[str] = ALIKE,
) -> float:
    """How sure it is that a share is higher: the chi-square value over all groups, 0 when it is lower."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for late, events in enumerate((usual, found)):
        for event in filter(among, events):
            group = groups[tuple(event[name] for name in alike)]
            group[2 * late] += 1
            group[2 * late + 1] += counted(event)
    excess = variance = 0.0
    for n0, k0, n1, k1 in groups.values():
        n, k = n0 + n1, k0 + k1
        if n > 1:
            excess += k1 - n1 * k / n
            variance += n0 * n1 * k * (n - k) / (n * n * (n - 1))
    return excess**2 / variance if excess > 0 and variance else 0.0


def failed(event: Event) -> bool:
    return event["event_type"] == "payment_failed"  # type: ignore[no-any-return]


def of_category(*words: str) -> Is:
    return lambda event: any(word in event["failure_category"] for word in words)


def in_segment(label: Label) -> Is:
    member = {"geo": "geo_bucket", "method": "payment_method_bucket", "issuer": "issuer_country"}[label.dimension]
    return lambda event: event[member] == label.value


def far(event: Event) -> bool:
    return event["geo_bucket"] not in GEOS


def of_tests(usual: Iterable[Event], found: Iterable[Event]) -> float:
    """How sure it is that more failures are of tiny amounts."""
    return rise(usual, found, lambda event: event["amount_minor"] < 500, failed)


def dropped(usual: tuple[Event, ...], found: tuple[Event, ...]) -> float:
    """How sure it is that fewer than half of the payments are left."""
    expected = len(usual) / 2
    return (len(found) - expected) ** 2 / expected if len(found) < expected else 0.0


def mark(label: Label, usual: tuple[Event, ...], found: tuple[Event, ...]) -> float:
    """How sure it is that what the label's driver speaks of is there."""
    marks = {
        "high_failure_rate": lambda: rise(usual, found, failed),
        "timeout_clustering": lambda: rise(usual, found, of_category("timeout")),
        "auth_failure_cluster": lambda: rise(usual, found, of_category("authentication")),
        "segment_degradation": lambda: rise(usual, found, failed, in_segment(label)),
        "retry_pressure_spike": lambda: rise(usual, found, lambda event: event["again"], alike=ALIKE[:-1]),
        "latency_increase": lambda: rise(usual, found, lambda event: event["latency_ms"] > 1000),
        "geo_entropy_increase": lambda: rise(usual, found, far, alike=()),
        "card_testing_suspected": lambda: of_tests(usual, found),
        "volume_drop": lambda: dropped(usual, found),
    }
    return marks[label.driver]()


TROUBLES = [name for name, scenario in SCENARIOS.items() if not scenario.benign]
BENIGN = [name for name, scenario in SCENARIOS.items() if scenario.benign]
DRIVERS = sorted({SCENARIOS[name].driver for name in TROUBLES} - {"segment_degradation"})


@pytest.mark.parametrize("name", TROUBLES)
def test_an_incident_leaves_the_mark_of_its_label(name: str) -> None:
    """Even at its mildest, at five events a second, nobody could take it for chance."""
    usual, found = events_of(""), events_of(name)
    assert mark(truth_of(name), usual, found) > SURE


@pytest.mark.parametrize("name", [name for name in TROUBLES if SCENARIOS[name].dimension])
def test_a_partial_incident_is_where_its_label_says(name: str) -> None:
    """Payments without the label's value fail as they always did."""
    usual, found = events_of(""), events_of(name)
    concerned = in_segment(truth_of(name))
    assert rise(usual, found, failed, lambda event: not concerned(event)) < QUIET


@pytest.mark.parametrize("name", BENIGN)
def test_what_is_benign_leaves_no_mark(name: str) -> None:
    """More, fewer or other payments: but of those that are alike no more fail, take long or are tried again."""
    usual, found = events_of(""), events_of(name)
    assert len(found) > 1000
    label = truth_of(name)
    marks = {driver: mark(label._replace(driver=driver), usual, found) for driver in DRIVERS}
    assert {driver: sure for driver, sure in marks.items() if sure > QUIET} == {}


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("flash_sale", 2.5, 4.0), ("merchant_burst", 1.05, 1.4), ("billing_batch", 1.8, 2.8), ("bank_holiday", 0.5, 0.8)],
)
def test_benign_events_change_the_traffic_all_the_same(name: str, least: float, most: float) -> None:
    """There is something to be quiet about."""
    usual, found = events_of(""), events_of(name)
    assert least < len(found) / len(usual) < most


def test_a_release_moves_payments_to_another_method() -> None:
    """Three of a hundred become seventeen."""
    usual, found = events_of(""), events_of("mix_deploy")
    shares = [sum(one["payment_method_bucket"] == "bnpl" for one in part) / len(part) for part in (usual, found)]
    assert shares == pytest.approx([0.03, 0.175], abs=0.02)


def test_a_slow_drift_adds_up() -> None:
    """Nobody notices it coming, but at its height declines are a quarter more likely."""
    drift = Incident("slow_drift", "p5", 0, 3600)
    declined = []
    for incidents in ((), (drift,)):
        arrivals = Traffic(11, NOON, incidents, {"p5": CORPUS["p5"]}).arrivals()
        height = (event for at, event in takewhile(lambda one: one[0] < NOON + 2700, arrivals) if at > NOON + 900)
        declined.append(sum(failed(event) for event in height if not event["retry_count"]))
    assert declined[1] / declined[0] == pytest.approx(1.19, abs=0.08)
