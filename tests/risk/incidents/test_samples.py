"""An incident names some of its own events, and no others."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from incident_traffic import Followed
from payflux.risk.counts import Counts
from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import EVERYWHERE
from payflux.risk.incidents.samples import MOST, REMEMBERED, Samples
from payflux.risk.observation import Observation, observation
from risk_traffic import START, Memory, Traffic, few, outage, resumed, seeds, seen, segment_outage

GB, DE = ("GB", "wallet", "GB", "web"), ("DE", "wallet", "DE", "web")
FAILED = (seen("processor_error", GB), seen("processor_timeout", DE), seen("do_not_honor", GB))
AGAIN = observation("success", "", GB, True)
OF_GB = Driver("segment_degradation", "geo", "GB", 0.9, "critical", True, 62, 100, 9.0, START, 16.0, 24.0)


def name(number: int) -> str:
    """An id as long as any."""
    return f"{number:036d}"


def counts_of(*rows: tuple[Observation, int]) -> Counts:
    """A second in which these events came."""
    counts = Counts()
    for one, number in rows:
        counts.add(one)
        counts.add_sample(one, name(number))
    return counts


def named(samples: Samples, driver: str, dimension: str = "", value: str = "") -> tuple[str, ...]:
    """The events of a driver."""
    return samples.more((), msgspec.structs.replace(OF_GB, name=driver, dimension=dimension, value=value), START)


def test_each_driver_has_events_of_its_own() -> None:
    """Failures where payments fail, retries where they are too many, events of a country; of missing ones none."""
    samples = Samples()
    samples.take(START, counts_of((FAILED[0], 1), (FAILED[1], 2), (FAILED[2], 3), (AGAIN, 4)))
    assert named(samples, "segment_degradation", "geo", "GB") == (name(1),)
    assert set(named(samples, "high_failure_rate")) == {name(1), name(2)}
    assert named(samples, "timeout_clustering", "category", "processor_timeout") == (name(2),)
    assert named(samples, "retry_pressure_spike") == (name(4),)
    assert set(named(samples, "geo_entropy_increase", "geo", "GB")) == {name(1), name(3), name(4)}
    assert named(samples, "volume_drop") == named(samples, "latency_increase") == ()


def test_five_at_most_and_what_is_named_stays() -> None:
    """The latest and most frequent come first; nothing from before the beginning."""
    samples = Samples()
    for at in range(10):
        samples.take(START + at, counts_of((FAILED[0], at)))
    first = samples.more((), OF_GB, START + 7)
    assert first == (name(9), name(8), name(7))
    samples.take(START + 10, counts_of((FAILED[0], 10)))
    more = samples.more(first, OF_GB, START + 5)
    assert more == (*first, name(10), name(6))
    assert samples.more(more, OF_GB, START) == more
    assert len(more) == MOST


def test_memory_is_bounded() -> None:
    """However many kinds of failures there are, and however long what stands in place of an id is."""
    samples, counts = Samples(), Counts()
    for number in range(3 * REMEMBERED):
        one = seen(f"invented_{number}", GB)
        counts.add(one)
        counts.add_sample(one, name(number))
    counts.add_sample(FAILED[0], "x" * 10**6)
    samples.take(START, counts)
    assert len(samples.snapshot()) == REMEMBERED
    assert FAILED[0] not in counts.samples


@few
@given(parts=st.permutations(range(6)), cut=st.integers(0, 6))
def test_samples_do_not_depend_on_who_counted_them(parts: list[int], cut: int) -> None:
    """In whatever order, and shared out however: the smallest id of each kind."""
    rows = [(FAILED[number % 2], number) for number in parts]
    one, other = counts_of(*rows[:cut]), counts_of(*rows[cut:])
    one.merge(other)
    assert one.samples == {FAILED[0]: name(0), FAILED[1]: name(1)}


@few
@given(seed=seeds)
def test_the_samples_of_an_incident_are_of_its_place(memory: Memory, seed: int) -> None:
    """They failed there, at their first attempt, since the evidence began; soon there are five."""
    followed, traffic = Followed(resumed(memory), seed), Traffic(5, seed=seed)
    followed.run(traffic, 5 + seed % 50)
    followed.run(traffic, 120, outage() if seed % 2 else segment_outage(0, "GB", "processor_error"))
    assert len(followed.tracker.open[0].samples) == MOST
    for incident in (change.incident for change in followed.changes):
        for second, one in (followed.ids[event_id] for event_id in incident.samples):
            assert second >= incident.since
            assert one.failed
            assert not one.retried
            assert incident.place in {EVERYWHERE, ("geo", one.values[0]), ("issuer", one.values[2])}


def test_they_go_on_from_a_snapshot() -> None:
    """Restored from bytes, all are there."""
    samples, other = Samples(), Samples()
    for second in range(60):
        samples.take(START + second, counts_of((FAILED[second % 3], second), (AGAIN, 100 + second)))
    kept: list[Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(samples.snapshot()))
    other.restore(kept)
    assert other.snapshot() == samples.snapshot()
    assert named(other, "high_failure_rate") == named(samples, "high_failure_rate")
