"""Silence and its end."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from payflux.risk.assessment import RiskAssessment
from payflux.risk.evidence.volume import BLOCK_SEC, Volume
from payflux.risk.snapshot import snapshot
from payflux.risk.watch import Watch
from risk_traffic import LEARNED, START, Memory, Traffic, counted, few, minutes, resumed, seconds, seeds, seen


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


DAY, STEP = 86_400, 10


def due(second: int, *, holiday: bool) -> int:
    """Events of ten seconds: many by day, few at night, and a batch of twenty minutes at two; half on a holiday."""
    at = second % DAY
    rate = 2 if at < 6 * 3600 else 5
    batch = 3 if 7200 <= at < 8400 else 0
    return (rate + batch) * STEP // (2 if holiday else 1)


def worst(volume: Volume, days: list[bool]) -> float:
    """The highest evidence of a drop within some days, holidays or not, looked at every ten seconds."""
    most, second = -100.0, START
    for holiday in days:
        for second in range(second + STEP, second + DAY + STEP, STEP):  # noqa: B020 - goes on counting
            if second % BLOCK_SEC == 0:
                volume.close(second, usual=True)
            volume.step(second, due(second, holiday=holiday))
            if second % DAY > 1800:  # the beginning of a holiday may be a drop
                most = max(most, volume.evidence(second))
    return most


def test_the_end_of_a_batch_on_a_holiday_is_no_drop() -> None:
    """Neither is it on the day after: a day that is emptier than others is so in all its quarters."""
    volume = Volume(START)
    assert worst(volume, [False, False]) < 0
    assert worst(volume, [True, False]) < 0
    assert volume.low > 1


def test_what_lasts_is_the_new_traffic() -> None:
    """Half of the traffic gone for good is learned within hours, though it was taken for a drop."""
    volume = Volume(START)
    worst(volume, [False, False])
    assert volume.low > 1
    for block in range(1, 12):
        volume.step(START + 2 * DAY + block * BLOCK_SEC - 1, BLOCK_SEC // 2)
        volume.close(START + 2 * DAY + block * BLOCK_SEC, usual=False)
    before = volume.level
    for block in range(12, 30):
        volume.step(START + 2 * DAY + block * BLOCK_SEC - 1, BLOCK_SEC)
        volume.close(START + 2 * DAY + block * BLOCK_SEC, usual=False)
    assert volume.level < 0.5 * before


def test_the_level_is_known_whenever_one_begins_to_look() -> None:
    """A block of which only the last second was seen says nothing: else nothing would be due for days."""
    for late in (BLOCK_SEC - 1, 1, 0):
        volume = Volume(START - late - 1)
        for second in range(START - late, START + 3 * BLOCK_SEC):
            if second % BLOCK_SEC == 0:
                volume.close(second, usual=True)
            volume.step(second, 5)
        assert volume.level == 5.0
