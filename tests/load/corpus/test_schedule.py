"""When scenarios happen: staged, now and then, and as the corpus has them."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.load.corpus.population import CORPUS, DEMO
from payflux.load.corpus.scenarios import SCENARIOS, Incident, values_of
from payflux.load.corpus.schedule import DAY, SLOT, corpus, demonstration, now_and_then, planned, staged, uneventful

MONDAY = 1_767_571_200.0


def within(days: float, incidents: Iterable[Incident]) -> list[Incident]:
    return list(takewhile(lambda incident: incident.start < days * DAY, incidents))


def test_named_incidents_follow_one_another() -> None:
    """Several incidents do not overlap, and each has normal traffic before it."""
    first, second = staged(["outage", "silence"])
    assert (first.name, first.start) == ("outage", SCENARIOS["outage"].start)
    assert second.start == first.end + SCENARIOS["silence"].start
    assert [incident.start for incident in staged(["outage", "silence"], lead=500)] == [500, 500 + first.duration + 500]
    with pytest.raises(KeyError):
        staged(["none"])


def test_incidents_are_staged_where_there_is_traffic() -> None:
    """A processor that is not simulated has no incident, and a country that it is not used in none either."""
    (elsewhere,) = staged(["outage"], {"p5": CORPUS["p5"]})
    assert elsewhere.processor == "p5"
    (there,) = staged(["partial_geo"], {"p5": CORPUS["p5"]._replace(geos=("FR",))})
    assert there.concerned == "FR"


def test_a_demonstration_begins_with_a_short_outage() -> None:
    """At the first processor, over before anything else happens; the rest is as now and then."""
    first, *others = islice(demonstration(4, DEMO), 5)
    assert (first.name, first.processor, first.start) == ("outage", "stripe", 30)
    assert first.end < 90 < others[0].start
    assert others == list(islice(now_and_then(4, DEMO), 4))


@given(seed=st.integers())
@settings(max_examples=20)
def test_incidents_now_and_then_come_one_at_a_time(seed: int) -> None:
    """They are the same for a seed, valid, and never overlap."""
    incidents = list(islice(now_and_then(seed, DEMO), 20))
    assert incidents == list(islice(now_and_then(seed, DEMO), 20))
    assert all(later.start - earlier.end >= 120 for earlier, later in pairwise(incidents))
    for incident in incidents:
        scenario = incident.scenario
        assert not scenario.benign
        assert 0 < incident.severity <= 1
        if scenario.dimension:
            assert incident.concerned in values_of(scenario.dimension, DEMO[incident.processor])


@given(seed=st.integers(), warm_up=st.integers(0, 3 * DAY))
@settings(max_examples=10)
def test_the_corpus_has_an_incident_in_every_slot(seed: int, warm_up: int) -> None:
    """At each processor one, or two that overlap; calm before the next; none in the warm-up; ordered by start."""
    incidents = within(6, corpus(seed, MONDAY, CORPUS, warm_up))
    assert incidents == within(6, corpus(seed, MONDAY, CORPUS, warm_up))
    assert all(earlier.start <= later.start for earlier, later in pairwise(incidents))
    for name in CORPUS:
        own = [one for one in incidents if one.processor == name and not one.scenario.benign]
        assert own[0].start >= warm_up
        slots = Counter(int((one.start - warm_up) // SLOT) for one in own)
        assert set(range(max(slots))) <= set(slots)
        assert set(slots.values()) <= {1, 2}
        for earlier, later in pairwise(own):
            same = (earlier.start - warm_up) // SLOT == (later.start - warm_up) // SLOT
            assert later.start < earlier.end if same else later.start >= earlier.end + 1800


def test_the_corpus_has_everything_and_some_pairs() -> None:
    """In a month every kind of incident and of benign event happens, and some incidents overlap."""
    incidents = within(30, corpus(1, MONDAY, {"p5": CORPUS["p5"]}, 0))
    assert {one.name for one in incidents} == set(SCENARIOS)
    troubles = [one for one in incidents if not one.scenario.benign]
    overlapping = sum(later.start < earlier.end for earlier, later in pairwise(troubles))
    assert len(troubles) * 0.08 < overlapping < len(troubles) * 0.25


def test_what_happens_daily_is_benign_and_goes_by_the_clock() -> None:
    """Bills are sent at two in the morning in UTC, whenever the traffic starts; three merchants a day have a burst."""
    start = MONDAY + 36_000
    events = within(10, uneventful(2, start, {"p5": CORPUS["p5"]}))
    assert all(one.scenario.benign for one in events)
    billed = [one for one in events if one.name == "billing_batch"]
    assert {(start + one.start) % DAY for one in billed} == {7200}
    assert len(billed) == 10
    assert sum(one.name == "merchant_burst" for one in events) == 30


def test_what_is_planned_goes_by_its_name() -> None:
    """The names of the command line give what they say."""
    p5 = {"p5": CORPUS["p5"]}
    assert within(1, planned(["random"], 4, MONDAY, p5)) == within(1, now_and_then(4, p5))
    assert within(4, planned(["corpus"], 4, MONDAY, p5)) == within(4, corpus(4, MONDAY, p5, 3 * DAY))
    assert within(4, planned(["corpus"], 4, MONDAY, p5, 60)) == within(4, corpus(4, MONDAY, p5, 60))
    assert within(4, planned(["benign"], 4, MONDAY, p5)) == within(4, uneventful(4, MONDAY, p5))
    assert list(planned(["outage", "silence"], 4, MONDAY, p5, 5)) == staged(["outage", "silence"], p5, 5)
    assert not list(planned([], 4, MONDAY, p5))
