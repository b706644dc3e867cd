"""Silence and its end."""

from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payflux.risk.assessment import RiskAssessment
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation
from payflux.risk.snapshot import restore, snapshot
from payflux.risk.watch import Watch
from risk_traffic import LEARNED, START, Memory, Traffic, counted, outage, seconds, seen

few = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
