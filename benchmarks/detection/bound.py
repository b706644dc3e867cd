"""How far the detector is from the shortest delay that any rule with as few false alarms can have.

The bound: a CUSUM that is told beforehand which attempts are concerned, how often they fail and how often they will
(Moustakides, 1986: none with as few false alarms detects sooner in the worst case). Its run lengths are exact up to the
grid: a Markov chain on the levels of the chart (Brook and Evans, An approach to the probability distribution of CUSUM
run length, Biometrika 59, 1972). The detector is told nothing, and learns from two hours of the same traffic.
"""

from collections.abc import Iterator
from math import log
from random import Random
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from payflux.risk.counts import Counts
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation, observation
from payflux.risk.snapshot import restore, snapshot
from payflux.risk.watch import Watch

MONTH_SEC = 30 * 86_400
NORMAL = 0.08
GRID = 150
START = 1_767_225_600
TAUGHT_SEC = 7300
CALM_SEC = 120
PATIENCE_SEC = 3600
HIGH = 0.6
GEOS = ("US", *(f"G{number}" for number in range(9)))
METHODS = ("credit_card", "debit_card", "wallet")
CHANNELS = ("web", "mobile")


class Case(NamedTuple):
    """A rise of failures from `NORMAL`: events a second, the new share, and how much of the traffic is concerned."""

    rate: float
    failing: float
    part: float = 1.0


CASES = [
    Case(rate, failing, part)
    for rate in (5.0, 20.0, 50.0)
    for failing, part in ((0.12, 1.0), (0.20, 1.0), (0.50, 1.0), (0.50, 0.1), (1.0, 0.1))
]


def shortest_delay(case: Case) -> float:
    """Mean seconds to an alarm of the best rule with one false alarm a month, from the moment failures rise."""
    rate = case.rate * case.part
    low, high = 1.0, 40.0
    while high - low > 0.01:
        limit = (low + high) / 2
        enough = run_length(NORMAL, case.failing, limit, NORMAL) >= MONTH_SEC * rate
        low, high = (low, limit) if enough else (limit, high)
    return run_length(NORMAL, case.failing, high, case.failing) / rate


def run_length(normal: float, failing: float, limit: float, chance: float) -> float:
    """Mean attempts until a CUSUM from `normal` to `failing` reaches a limit in nats when failures have a chance."""
    up = log(failing / normal) * GRID / limit
    down = log((1.0 - failing) / (1.0 - normal)) * GRID / limit if failing < 1.0 else -float(GRID)
    rows = np.eye(GRID)
    for level in range(GRID):
        for part, change in ((chance, up), (1.0 - chance, down)):
            place = max(level + change, 0.0)
            below = int(place)
            for at, share in ((below, 1.0 - place + below), (below + 1, place - below)):
                if at < GRID:
                    rows[level, at] -= part * share
    return float(np.linalg.solve(rows, np.ones(GRID))[0])


class Stationary:
    """Traffic in which nothing changes but what is told."""

    def __init__(self, rate: float, seed: int) -> None:
        self._rate, self._random = rate, Random(seed)

    def second(self, failing: float = NORMAL, part: float = 1.0) -> Counts:
        """A second, in which a part of the traffic fails as often as told and the rest as normal."""
        counts, random = Counts(), self._random
        at = random.expovariate(self._rate)
        while at < 1.0:
            geo = random.choice(GEOS)
            concerned = part == 1.0 or geo == GEOS[0]
            counts.add(self._attempt(geo, failed=random.random() < (failing if concerned else NORMAL)))
            at += random.expovariate(self._rate)
        return counts

    def _attempt(self, geo: str, *, failed: bool) -> Observation:
        values = (geo, self._random.choice(METHODS), "", self._random.choice(CHANNELS))
        return observation("failure" if failed else "success", "processor_error" if failed else "", values)


def taught(rate: float) -> dict[str, Any]:
    """What a watch knows after two hours of normal traffic."""
    watch, traffic = Watch("p", Limits(), START), Stationary(rate, 1)
    for second in range(START + 1, START + TAUGHT_SEC):
        watch.tick(second, traffic.second())
    return snapshot(watch)


def delay(knowledge: dict[str, Any], case: Case, seed: int) -> float:
    """Seconds from a rise of failures until the score is high; at most `PATIENCE_SEC`."""
    watch, traffic = restore("p", Limits(), knowledge), Stationary(case.rate, seed)
    begin = watch.moved + 1
    for second in range(begin, begin + CALM_SEC):
        watch.tick(second, traffic.second())
    for second in range(begin + CALM_SEC, begin + CALM_SEC + PATIENCE_SEC):
        watch.tick(second, traffic.second(case.failing, case.part))
        if watch.judge.last.score >= HIGH:
            return second - begin - CALM_SEC + 1.0
    return float(PATIENCE_SEC)


class Compared(NamedTuple):
    """A case, the mean delay of the detector, and the shortest of any rule; seconds."""

    case: Case
    delay: float
    shortest: float


def compared(runs: int) -> Iterator[Compared]:
    """Every case, each measured so many times."""
    knowledge = {rate: taught(rate) for rate in sorted({case.rate for case in CASES})}
    for case in CASES:
        own = mean(delay(knowledge[case.rate], case, seed) for seed in range(2, runs + 2))
        yield Compared(case, own, shortest_delay(case))
