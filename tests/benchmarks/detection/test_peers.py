"""Other detectors: what they compute is what a recount from single events gives."""

from random import Random
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.detection.peers import (
    PEERS,
    burn_rate,
    first_payflux,
    static_ratio,
    success_window,
    version_1,
)
from benchmarks.detection.seconds import Series

SECONDS = 2000
KINDS = 12


class Event(NamedTuple):
    """An attempt."""

    second: int
    failed: bool
    timeout: bool
    authentication: bool
    retries: int
    geo: int


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """Half an attempt a second with a gap; failures become many for a while."""
    random, found = Random(4), []
    for second in range(SECONDS):
        for _ in range(random.choice((0, 0, 1, 1, 2)) * (not 700 < second < 760)):
            failed = random.random() < (0.7 if 1000 <= second < 1700 else 0.1)
            timeout = failed and random.random() < 0.5
            authentication = failed and not timeout and random.random() < 0.5
            found.append(Event(second, failed, timeout, authentication, random.choice((0, 0, 1)), random.randrange(5)))
    return found


@pytest.fixture(scope="module")
def series(events: list[Event]) -> Series:
    """The same, by second."""
    a, b, c, d, e = (np.zeros(SECONDS, np.int64) for _ in range(5))
    found = Series(a, b, c, d, e, np.zeros((KINDS, SECONDS), np.bool_))
    for one in events:
        for place, number in enumerate((1, one.failed, one.timeout, one.authentication, one.retries)):
            found[place][one.second] += number
        found.geos[one.geo, one.second] = True
    return found


def score(events: list[Event], surge: float) -> float:
    """Six shares, as the documentation of version 1 has them."""
    if len(events) < 5:
        return 0.0
    failures = [one for one in events if one.failed]
    found = (
        0.25 * len(failures) / len(events) + 0.15 * min(surge / 2, 1) + 0.15 * min(len({e.geo for e in events}) / 10, 1)
    )
    found += 0.20 * min(sum(one.retries for one in events) / len(events) / 3, 1)
    if failures:
        found += 0.15 * sum(one.timeout for one in failures) / len(failures)
        found += 0.10 * sum(one.authentication for one in failures) / len(failures)
    return found


@pytest.mark.parametrize("second", [3, 9, 299, 300, 755, 999, 1234, 1999])
def test_version_1_is_a_window_of_thirty_buckets(events: list[Event], series: Series, second: int) -> None:
    """With the surge of the current one beside the others that hold any."""
    bucket = second // 10
    window = [one for one in events if bucket - 29 <= one.second // 10 and one.second <= second]
    current = sum(one.second // 10 == bucket for one in window)
    others = len({one.second // 10 for one in window} - {bucket})
    surge = current * others / (len(window) - current) if len(window) > current else 0.0
    assert version_1(series)[second] == pytest.approx(score(window, surge), abs=0.0051)


@pytest.mark.parametrize("second", [9, 299, 305, 999, 1999])
def test_the_first_payflux_forgets_nothing(events: list[Event], series: Series, second: int) -> None:
    """Its buckets are used again and again, and never cleared."""
    since = [one for one in events if one.second <= second]
    slot = sum(one.second // 10 % 30 == second // 10 % 30 for one in since)
    assert first_payflux(series)[second] == pytest.approx(score(since, slot * 30 / len(since)), abs=0.0051)


def ratio(events: list[Event], second: int, length: int) -> float:
    """Of failures in the last seconds, where there are twenty attempts."""
    window = [one.failed for one in events if second - length < one.second <= second]
    return sum(window) / len(window) if len(window) >= 20 else 0.0


@pytest.mark.parametrize("second", [599, 1199, 1409, 1699, 1999])
def test_ratios_are_those_of_a_recount(events: list[Event], series: Series, second: int) -> None:
    """The lowest of five minutes, and the lower of two windows."""
    lowest = min(ratio(events, at, 300) for at in range(second - 300, second + 1, 10))
    assert static_ratio(series)[second] == pytest.approx(lowest)
    assert burn_rate(series)[second] == pytest.approx(min(ratio(events, second, 300), ratio(events, second, 3600)))


@pytest.mark.parametrize("second", [400, 1200, 1500, 1999])
def test_the_last_125_attempts(events: list[Event], series: Series, second: int) -> None:
    """A second is not divided, so a failure may be counted in part."""
    last = [one.failed for one in events if one.second <= second][-125:]
    assert success_window(series)[second] == pytest.approx(sum(last) / 125, abs=2 / 125)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.title)
def test_higher_levels_fire_less(series: Series, peer: object) -> None:
    """Levels are in order, from the most sensitive to the least, which tuning relies on."""
    assert peer in PEERS
    chosen = PEERS[PEERS.index(peer)]
    fires = chosen.fires(series)
    counts = [len(fires(level)) for level in chosen.levels]
    assert counts == sorted(counts, reverse=True)
