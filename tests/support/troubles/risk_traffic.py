"""Small payment traffic for tests of the detector: seconds of observations, the same for the same seed."""

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from payflux.risk.assessment import RiskAssessment
from payflux.risk.counts import Counts
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation, latency_class, observation
from payflux.risk.snapshot import restore
from payflux.risk.watch import Watch

few = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 10**6)

START = 1_767_225_600
"""A Thursday, midnight UTC."""

GEOS = {"US": 34, "GB": 20, "DE": 16, "FR": 12, "BR": 10, "JP": 8}
METHODS = {"credit_card": 50, "debit_card": 25, "wallet": 20, "bnpl": 5}
CHANNELS = {"web": 55, "mobile": 30, "recurring": 15}
DECLINES = {
    "insufficient_funds": 45,
    "do_not_honor": 25,
    "authentication_failed": 8,
    "invalid_card": 7,
    "processor_timeout": 8,
    "processor_error": 7,
}
COUNTED = ("processor_timeout", "processor_error")
SOFT = ("do_not_honor", "issuer_unavailable")

Fault = Callable[[Random, Observation], str]
"""The category an attempt fails with because of a trouble; empty when it is not concerned."""


def seen(category: str = "", values: tuple[str, str, str, str] = ("US", "credit_card", "US", "web")) -> Observation:
    """An attempt that fails with a category, or succeeds."""
    kind = "failure" if category else "success"
    return observation(kind, category, values, counts=category in COUNTED, soft=category in SOFT)


class Traffic:
    """Attempts at one processor.

    Args:
        rate: events a second.
        declines: the share of attempts that fail.
        seed: of everything.
        categories: how they fail, with weights.
    """

    def __init__(
        self, rate: float, declines: float = 0.08, seed: int = 1, categories: dict[str, int] | None = None
    ) -> None:
        self._random = Random(seed)
        self._rate, self._declines = rate, declines
        self._categories = categories or DECLINES

    def second(self, fault: Fault | None = None, rate: float | None = None) -> list[Observation]:
        """The attempts of one second."""
        return [self._one(fault) for _ in range(self._poisson(self._rate if rate is None else rate))]

    def _one(self, fault: Fault | None) -> Observation:
        random = self._random
        geo = _pick(random, GEOS)
        issuer = geo if random.random() < 0.7 else _pick(random, GEOS)
        values = (geo, _pick(random, METHODS), issuer, _pick(random, CHANNELS))
        category = _pick(random, self._categories) if random.random() < self._declines else ""
        one = seen(category, values)
        caused = fault(random, one) if fault else ""
        return seen(caused, values) if caused else one

    def _poisson(self, rate: float) -> int:
        """Events of a second whose gaps are exponential."""
        count, at = 0, self._random.expovariate(rate) if rate else 2.0
        while at < 1.0:
            count += 1
            at += self._random.expovariate(rate)
        return count


def counted(attempts: list[Observation], latency_ms: int = -1) -> Counts:
    """Attempts as counts."""
    counts = Counts()
    for one in attempts:
        counts.add(one)
        if latency_ms >= 0:
            counts.add_latency(latency_class(latency_ms))
    return counts


def outage(category: str = "processor_error", share: float = 0.95) -> Fault:
    """Most attempts fail."""
    return lambda random, _: category if random.random() < share else ""


def segment_outage(at: int, value: str, category: str, share: float = 0.95) -> Fault:
    """Most attempts with one value of one dimension fail."""
    return lambda random, one: category if one.values[at] == value and random.random() < share else ""


def _pick(random: Random, weights: dict[str, int]) -> str:
    return random.choices(tuple(weights), tuple(weights.values()))[0]


def seconds(first: int, count: int) -> Iterator[int]:
    """Stream time, counted from `START`."""
    return iter(range(START + first, START + first + count))


LEARNED = 7300
"""The first second after which a watch on enough traffic has learned."""


def learned_by(traffic: Traffic, until: int = LEARNED) -> Watch:
    """A watch that saw some traffic from the start on."""
    watch = Watch("stripe", Limits(), START)
    for second in seconds(1, until - 1):
        watch.tick(second, counted(traffic.second(), 300))
    return watch


class Memory(NamedTuple):
    """What a watch has learned, as bytes, in a shape that is short to print."""

    data: bytes

    def __repr__(self) -> str:
        return "Memory()"


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


def run(
    watch: Watch, traffic: Traffic, count: int, fault: Fault | None = None, rate: float | None = None
) -> list[RiskAssessment]:
    """What is said while some traffic goes on."""
    first = watch.moved - START + 1
    return [
        said
        for second in seconds(first, count)
        for said in watch.tick(second, counted(traffic.second(fault, rate), 300))
    ]
