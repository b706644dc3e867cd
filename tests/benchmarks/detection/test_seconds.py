"""The corpus second by second is what a node would count of its events."""

from collections import Counter

import msgspec
import numpy as np

from benchmarks.detection.seconds import Tally, counted, parts
from payflux.load.corpus.population import PROCESSORS
from payflux.load.corpus.schedule import planned
from payflux.load.traffic import Traffic
from payflux.risk.counts import Counts
from payflux.risk.observation import Observation, latency_class
from payflux.risk.reading import Facts, observed

START, SECONDS = 1_767_571_200, 5000


def traffic() -> Traffic:
    """An hour and more at one processor, with an incident."""
    processors = {"p5": PROCESSORS["p5"]}
    return Traffic(3, START, planned(["corpus"], 3, START, processors, 600), processors)


def by_events() -> dict[int, Counts]:
    """The counts of every second, from the events that a producer would send."""
    found: dict[int, Counts] = {}
    for at, event in traffic().arrivals():
        if at >= START + SECONDS:
            return found
        facts = msgspec.convert(event, Facts)
        counts = found.setdefault(int(at) - START, Counts())
        seen = observed(facts)
        assert seen is not None
        counts.add(seen)
        if seen.answered:
            counts.add_latency(latency_class(facts.latency_ms))
    return found


def test_columns_are_observed_as_events_are() -> None:
    """The bench measures what a node would see: the same observations and latencies, second by second."""
    [lane] = traffic().lanes()
    known: dict[int, Observation] = {}
    drawn = {second: counts for rows in parts(lane, SECONDS) for second, counts in counted(rows, known)}
    expected = by_events()
    assert drawn.keys() == expected.keys()
    for second, counts in expected.items():
        assert {kind(seen): times for seen, times in drawn[second].events.items()} == Counter(
            {kind(seen): times for seen, times in counts.events.items()}
        )
        assert drawn[second].latencies == counts.latencies


def kind(seen: Observation) -> tuple[object, ...]:
    """An observation, to be compared by what it says."""
    found: tuple[object, ...] = msgspec.structs.astuple(seen)
    return found


def test_a_series_adds_up_to_the_counts() -> None:
    """What other detectors look at is the same traffic."""
    [lane] = traffic().lanes()
    tally = Tally(SECONDS)
    for rows in parts(lane, SECONDS):
        tally.add(rows)
    expected = by_events()
    events = np.array([sum(expected[at].events.values()) if at in expected else 0 for at in range(SECONDS)])
    failures = [
        sum(times for seen, times in expected[at].events.items() if seen.failed) if at in expected else 0
        for at in range(SECONDS)
    ]
    assert (tally.series.events == events).all()
    assert (tally.series.failures == np.array(failures)).all()
    assert ((tally.series.geos.sum(axis=0) > 0) == (events > 0)).all()
