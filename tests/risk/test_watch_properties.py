"""What holds for any traffic: order, splitting, restarts and idle time change nothing; everything stays in bounds."""

import math
import tracemalloc
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payflux.risk.assessment import BANDS, RiskAssessment
from payflux.risk.counts import Counts
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation, is_attended, observation
from payflux.risk.segments import MOST_VALUES
from payflux.risk.snapshot import restore, snapshot
from payflux.risk.watch import Watch
from risk_traffic import LEARNED, START, Memory, Traffic, counted, outage, seconds, seen

few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 10**6)


def resumed(memory: Memory, limits: Limits | None = None) -> Watch:
    """A watch that knows what is normal, and of the day's volume too."""
    watch = restore("stripe", limits or Limits(), msgspec.msgpack.decode(memory.data))
    watch.volume.day.rates = [5.0] * len(watch.volume.day.rates)
    return watch


def minutes(seed: int, count: int = 60) -> list[list[Observation]]:
    """Some seconds of traffic, an outage among them."""
    traffic, random = Traffic(5, seed=seed), Random(seed)
    begins = random.randrange(count)
    return [traffic.second(outage() if at >= begins else None) for at in range(count)]


def state(watch: Watch) -> dict[str, Any]:
    """All a watch knows, but for how far somebody looked."""
    return snapshot(watch) | {"watch": snapshot(watch)["watch"][2:]}


def shared_out(random: Random, attempts: list[Observation]) -> Counts:
    """Attempts counted in any order by several counters, and added up."""
    counters = [Counts() for _ in range(random.randint(1, 4))]
    for one in random.sample(attempts, len(attempts)):
        random.choice(counters).add(one)
    random.shuffle(counters)
    total = Counts()
    for counter in counters:
        total.merge(counter)
    return total


@few
@given(seed=seeds)
def test_neither_order_nor_splitting_within_a_second_matters(memory: Memory, seed: int) -> None:
    """Any number of counters in any order come to the same evidence, bit by bit."""
    one, other, random = resumed(memory), resumed(memory), Random(seed)
    for second, attempts in zip(seconds(LEARNED, 60), minutes(seed), strict=True):
        assert one.tick(second, counted(attempts)) == other.tick(second, shared_out(random, attempts))
    assert snapshot(one) == snapshot(other)


@few
@given(seed=seeds, at=st.integers(0, 59))
def test_a_snapshot_goes_on_as_if_nothing_had_happened(memory: Memory, seed: int, at: int) -> None:
    """Restored from bytes at any second, also within a trouble, a watch says the same from then on."""
    one, other = resumed(memory), resumed(memory)
    for number, (second, attempts) in enumerate(zip(seconds(LEARNED, 60), minutes(seed), strict=True)):
        assert one.tick(second, counted(attempts, 300)) == other.tick(second, counted(attempts, 300))
        if number == at:
            other = restore("stripe", Limits(), msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot(other))))
    assert snapshot(one) == snapshot(other)


@few
@given(seed=seeds, gaps=st.lists(st.sampled_from((0, 1, 5, 40, 301, 700, 4000, 30_000)), max_size=4))
def test_idle_time_is_the_same_however_often_one_looks(memory: Memory, seed: int, gaps: list[int]) -> None:
    """Ticking every idle second says what one tick after the silence does: live and replay agree."""
    live, replay = resumed(memory), resumed(memory)
    said_live: list[RiskAssessment] = []
    said_replay: list[RiskAssessment] = []
    second = START + LEARNED - 1
    for part, gap in enumerate([*gaps, 0]):
        for attempts in minutes(seed + part, 20):
            second += 1
            said_live += live.tick(second, counted(attempts))
            said_replay += replay.tick(second, counted(attempts))
        for _ in range(gap):
            second += 1
            said_live += live.tick(second, None)
    assert said_live == said_replay
    assert state(live) == state(replay)


@few
@given(
    seed=seeds,
    thresholds=st.lists(st.integers(1, 100), min_size=3, max_size=3, unique=True),
    hold_sec=st.sampled_from((20, 300, 86_400)),
)
def test_scores_and_bands_stay_in_bounds(memory: Memory, seed: int, thresholds: list[int], hold_sec: int) -> None:
    """For any thresholds and hold a score is a number from 0 to 1, and its band is its own or a higher one."""
    low, middle, high = (number / 100 for number in sorted(thresholds))
    watch = resumed(memory, Limits((low, middle, high), hold_sec))
    for second, attempts in zip(seconds(LEARNED, 60), minutes(seed), strict=True):
        for said in watch.tick(second, counted(attempts)):
            assert 0.0 <= said.score <= 1.0
            assert BANDS.index(said.band) >= sum(said.score >= one for one in (low, middle, high))
            numbers = [
                number for one in said.drivers for number in (one.severity, one.expected, one.odds, one.evidence)
            ]
            assert all(map(math.isfinite, numbers))


@few
@given(seed=seeds, count=st.integers(1, 40), declines=st.sampled_from((0.0, 0.5, 1.0)))
def test_any_traffic_from_the_first_second_gives_numbers(seed: int, count: int, declines: float) -> None:
    """Neither nothing but successes nor nothing but failures breaks a formula."""
    watch, traffic = Watch("stripe", Limits(), START), Traffic(3, declines, seed)
    for second in seconds(1, count * 10):
        for said in watch.tick(second, counted(traffic.second())):
            assert math.isfinite(said.score)
    watch.baseline.begun -= 10**6
    for second in seconds(count * 10 + 1, 400):
        watch.tick(second, counted(traffic.second()))
    assert all(math.isfinite(level) for stream in watch.streams() for level in stream.bank.levels)
    assert all(0.0 < stream.scale < math.inf and 0.0 < stream.ratio < math.inf for stream in watch.streams())


def test_invented_values_fill_no_memory(memory: Memory) -> None:
    """A producer that sends a new value in every dimension with every event gets `other`, and less than a megabyte."""
    tracemalloc.start()
    watch, number = resumed(memory), 0
    for second in seconds(LEARNED, 40):
        counts = Counts()
        for number in range(number, number + 5000):  # noqa: B020 - goes on counting
            word = f"v{number}"
            counts.add(observation("failure", word, (word, word, word, word)))
        watch.tick(second, counts)
    observation.cache_clear()
    is_attended.cache_clear()
    del counts
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert all(len(values) <= MOST_VALUES + 1 for values in watch.segments.dimensions)
    assert len(watch.sides.categories.shares) <= MOST_VALUES + 2
    assert size < 2**20


def test_silence_is_a_drop_within_seconds_and_over_when_traffic_is_back(memory: Memory) -> None:
    """A processor of five events a second that stops is noticed in seconds; its score says nothing of failures."""
    watch, traffic = resumed(memory), Traffic(5, seed=21)
    for second in seconds(LEARNED, 600):
        watch.tick(second, counted(traffic.second()))
    silent = [said for second in seconds(LEARNED + 600, 60) for said in watch.tick(second, None)]
    high = next(said for said in silent if said.drivers and said.drivers[0].band in {"high", "critical"})
    assert high.drivers[0].name == "volume_drop"
    assert high.second - START - LEARNED - 600 <= 10
    assert {said.band for said in silent} == {"low"}
    back = [said for second in seconds(LEARNED + 660, 700) for said in watch.tick(second, counted(traffic.second()))]
    assert back[-1].drivers == ()


def test_a_week_of_silence_is_caught_up_at_once(memory: Memory) -> None:
    """However long nothing came, it is looked at a few hundred times."""
    watch, looks = resumed(memory), 0
    watch.tick(START + LEARNED, counted([seen()]))
    while watch.due < START + LEARNED + 7 * 86_400:
        watch.tick(watch.due, None)
        looks += 1
    assert looks < 300
