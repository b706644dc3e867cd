"""Every incident leaves the marks that its label says, and nothing benign leaves any: an independent recount.

Only the events are looked at, as anybody would; the time before the incident is compared with the time of the
incident, by chi-square tests within groups of payments that are alike (Cochran, Mantel and Haenszel), so that a
change of the mix alone is none.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from itertools import takewhile
from typing import Any

import pytest

from payflux.load.corpus.population import CORPUS, GEOS
from payflux.load.corpus.scenarios import SCENARIOS, Incident, Label, label_of
from payflux.load.traffic import Traffic

NOON = 1_767_614_400.0
BEFORE, DURATION = 2400.0, 1500.0
SURE, QUIET = 25.0, 12.0
"""Chi-square values with one degree of freedom: one in two million by chance, and one in two thousand."""

Event = dict[str, Any]
Is = Callable[[Event], bool]
ALIKE = ("geo_bucket", "payment_method_bucket", "channel")


def happening(name: str) -> Incident:
    """A scenario at its mildest in the corpus, in the middle of a normal day."""
    scenario = SCENARIOS[name]
    duration = max(DURATION, 60 * scenario.minutes[0]) if scenario.benign else DURATION
    return Incident(name, "p5", BEFORE, duration, scenario.severities[0])


@cache
def events_around(name: str) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """The events before and during a scenario; of what grows, only the second half of it."""
    incident = happening(name)
    arrivals = Traffic(11, NOON, [incident], {"p5": CORPUS["p5"]}).arrivals()
    events = [event for _, event in takewhile(lambda one: one[0] < NOON + BEFORE + DURATION, arrivals)]
    label = label_of(incident, NOON, BEFORE + DURATION)
    middle = "2026-01-05T12:52:30.000Z" if incident.scenario.shape == "creep" else label.start
    before = tuple(event for event in events if event["event_timestamp"] < label.start)
    return before, tuple(event for event in events if middle <= event["event_timestamp"] < label.end)


def rise(before: Iterable[Event], during: Iterable[Event], counted: Is, among: Is = lambda _: True) -> float:
    """How sure it is that a share has risen: the chi-square value over all groups, 0 when it has fallen."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for late, events in enumerate((before, during)):
        for event in filter(among, events):
            group = groups[tuple(event[name] for name in ALIKE)]
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


def spread(before: Iterable[Event], during: Iterable[Event]) -> float:
    """How sure it is that payments come from more places: unseen countries, in one group."""
    everywhere = [dict.fromkeys(ALIKE, "") | {"far": one["geo_bucket"] not in GEOS} for one in before]
    later = [dict.fromkeys(ALIKE, "") | {"far": one["geo_bucket"] not in GEOS} for one in during]
    return rise(everywhere, later, lambda event: event["far"])


def of_tests(before: Iterable[Event], during: Iterable[Event]) -> float:
    """How sure it is that more failures are of tiny amounts."""
    return rise(before, during, lambda event: event["amount_minor"] < 500, failed)


def dropped(before: tuple[Event, ...], during: tuple[Event, ...]) -> float:
    """How sure it is that fewer than half of the payments are left, of as many as would come in the time."""
    expected = len(before) * DURATION / BEFORE / 2
    return (len(during) - expected) ** 2 / expected if len(during) < expected else 0.0


def mark(label: Label, before: tuple[Event, ...], during: tuple[Event, ...]) -> float:
    """How sure it is that what the label's driver speaks of is there."""
    found = {
        "high_failure_rate": lambda: rise(before, during, failed),
        "timeout_clustering": lambda: rise(before, during, of_category("timeout")),
        "auth_failure_cluster": lambda: rise(before, during, of_category("authentication")),
        "segment_degradation": lambda: rise(before, during, failed, in_segment(label)),
        "retry_pressure_spike": lambda: rise(before, during, lambda event: event["retry_count"] > 0),
        "latency_increase": lambda: rise(before, during, lambda event: event["latency_ms"] > 1000),
        "geo_entropy_increase": lambda: spread(before, during),
        "card_testing_suspected": lambda: of_tests(before, during),
        "volume_drop": lambda: dropped(before, during),
    }
    return found[label.driver]()


TROUBLES = [name for name, scenario in SCENARIOS.items() if not scenario.benign]
BENIGN = [name for name, scenario in SCENARIOS.items() if scenario.benign]
DRIVERS = sorted({SCENARIOS[name].driver for name in TROUBLES} - {"segment_degradation"})


@pytest.mark.parametrize("name", TROUBLES)
def test_an_incident_leaves_the_mark_of_its_label(name: str) -> None:
    """Even at its mildest, at five events a second, nobody could take it for chance."""
    before, during = events_around(name)
    assert mark(label_of(happening(name), NOON, 1e9), before, during) > SURE


@pytest.mark.parametrize("name", [name for name in TROUBLES if SCENARIOS[name].dimension])
def test_a_partial_incident_is_where_its_label_says(name: str) -> None:
    """Payments without the label's value fail as they always did."""
    before, during = events_around(name)
    concerned = in_segment(label_of(happening(name), NOON, 1e9))
    assert rise(before, during, failed, lambda event: not concerned(event)) < QUIET


@pytest.mark.parametrize("name", BENIGN)
def test_what_is_benign_leaves_no_mark(name: str) -> None:
    """More, fewer or other payments: but of those that are alike no more fail, take long or are tried again."""
    before, during = events_around(name)
    assert len(during) > 1000
    label = label_of(happening(name), NOON, 1e9)
    marks = {driver: mark(label._replace(driver=driver), before, during) for driver in DRIVERS}
    assert {driver: sure for driver, sure in marks.items() if sure > QUIET} == {}


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("flash_sale", 2.5, 4.0), ("merchant_burst", 1.05, 1.4), ("billing_batch", 1.8, 2.8), ("bank_holiday", 0.5, 0.8)],
)
def test_benign_events_change_the_traffic_all_the_same(name: str, least: float, most: float) -> None:
    """There is something to be quiet about."""
    before, during = events_around(name)
    assert least < len(during) / DURATION / (len(before) / BEFORE) < most


def test_a_release_moves_payments_to_another_method() -> None:
    """Three of a hundred become seventeen."""
    before, during = events_around("mix_deploy")
    shares = [sum(one["payment_method_bucket"] == "bnpl" for one in part) / len(part) for part in (before, during)]
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
