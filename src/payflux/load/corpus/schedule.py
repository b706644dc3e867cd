"""When scenarios happen: staged one after another, now and then, or as the corpus has them."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from random import Random

from payflux.load.corpus.chance import stream
from payflux.load.corpus.population import PROCESSORS, Processor
from payflux.load.corpus.scenarios import SCENARIOS, Incident, Scenario, values_of

DAY = 86_400
SLOT = 4 * 3600
LATEST_IN_SLOT = 5400
"""The latest start in its slot, so that half an hour is calm before the next slot even after an overlapping pair."""

OVERLAPPING = 1 / 6
COMMON_VALUES = 4
"""Segments are drawn from so many of the most common values: failures of rare ones are nobody's incident."""

BILLING_AT = 2 * 3600
BURSTS = 3
EVENTFUL = 0.8
ROUTINE = ("merchant_burst", "billing_batch")
"""What happens every day; the other benign scenarios happen now and then."""

NAMES = tuple(name for name, scenario in SCENARIOS.items() if not scenario.benign)
EVENTS = tuple(name for name, scenario in SCENARIOS.items() if scenario.benign and name not in ROUTINE)


PLANS = ("random", "corpus", "benign")
"""What may be asked for instead of scenarios: incidents now and then, the corpus, or the corpus without incidents."""

WARM_UP = 3 * DAY


def planned(
    names: Sequence[str], seed: int, start: float, processors: Mapping[str, Processor], lead: float | None = None
) -> Iterable[Incident]:
    """What happens, by the names of scenarios or the name of one of `PLANS` alone; the same for the same arguments.

    Args:
        names: as above; none for traffic in which nothing happens.
        seed: of the traffic.
        start: of the traffic, Unix seconds.
        processors: those of the traffic.
        lead: seconds of normal traffic before each scenario, or before the first incident of the corpus.

    Raises:
        KeyError: a name is none of `SCENARIOS`.
    """
    if names == ["random"]:
        return now_and_then(seed, processors)
    if names == ["corpus"]:
        return corpus(seed, start, processors, WARM_UP if lead is None else lead)
    if names == ["benign"]:
        return uneventful(seed, start, processors)
    return staged(names, processors, lead)


def staged(
    names: Sequence[str], processors: Mapping[str, Processor] = PROCESSORS, lead: float | None = None
) -> list[Incident]:
    """The named scenarios in that order, each with its start counted from the end of the one before.

    A scenario whose usual processor is not among `processors` happens at the first of them.

    Args:
        names: of `SCENARIOS`.
        processors: those of the traffic.
        lead: seconds of normal traffic before each; by default each scenario's own.

    Raises:
        KeyError: a name is none of `SCENARIOS`.
    """
    ordered: list[Incident] = []
    free = 0.0
    for name in names:
        usual = SCENARIOS[name]
        processor = usual.processor if usual.processor in processors else next(iter(processors))
        value = usual.value
        if value and value not in values_of(usual.dimension, processors[processor]):
            value = values_of(usual.dimension, processors[processor])[0]
        start = free + (usual.start if lead is None else lead)
        ordered.append(Incident(name, processor, start, usual.duration, value=value))
        free = ordered[-1].end
    return ordered


def now_and_then(
    seed: int, processors: Mapping[str, Processor], quiet: tuple[float, float] = (120, 420)
) -> Iterator[Incident]:
    """Incidents of random kinds at random processors, one at a time, without end.

    Args:
        seed: the same seed gives the same incidents.
        processors: those of the traffic.
        quiet: least and greatest pause before each, seconds.
    """
    random = stream("now and then", seed)
    free = 0.0
    while True:
        name, processor = _one_of(random, NAMES), _one_of(random, tuple(processors))
        usual = SCENARIOS[name]
        start = free + _between(random, *quiet)
        duration = usual.duration * _between(random, 0.5, 1.0)
        severity = _between(random, 0.7, 1.0)
        yield Incident(name, processor, start, duration, severity, _value(random, usual, processors[processor]))
        free = start + duration


FIRST = Incident("outage", "", 30, 45)
"""What a demonstration begins with: whoever has just started it sees an incident open, and end, in three minutes."""


def demonstration(seed: int, processors: Mapping[str, Processor]) -> Iterator[Incident]:
    """A short outage at the first processor, then what happens now and then.

    Args:
        seed: the same seed gives the same incidents.
        processors: those of the traffic.
    """
    yield replace(FIRST, processor=next(iter(processors)))
    yield from now_and_then(seed, processors)


def corpus(seed: int, start: float, processors: Mapping[str, Processor], warm_up: float) -> Iterator[Incident]:
    """What happens in the corpus, without end, ordered by start.

    At each processor an incident, or an overlapping pair, in every slot of four hours, after `warm_up` seconds; beside
    it what `uneventful` has.

    Args:
        seed: the same seed and start give the same.
        start: of the traffic, Unix seconds; billing goes by the clock.
        processors: those of the traffic.
        warm_up: seconds without incidents, for detectors to learn what is normal.
    """
    troubles = (_troubles(seed, name, processor, warm_up) for name, processor in processors.items())
    return heapq.merge(uneventful(seed, start, processors), *troubles, key=_start)


def uneventful(seed: int, start: float, processors: Mapping[str, Processor]) -> Iterator[Incident]:
    """What happens in the corpus without its incidents: bursts, billing, sales, releases, holidays; for `corpus`."""
    days = (_days(seed, start, name, processor) for name, processor in processors.items())
    return heapq.merge(*days, key=_start)


def _troubles(seed: int, name: str, processor: Processor, warm_up: float) -> Iterator[Incident]:
    random = stream("incidents", seed, name)
    for slot in count():
        at = warm_up + SLOT * slot + _between(random, 0, LATEST_IN_SLOT)
        first = _drawn(random, _one_of(random, NAMES), name, processor, at)
        yield first
        if random.random() < OVERLAPPING:
            others = [other for other in NAMES if other != first.name]
            yield _drawn(random, _one_of(random, others), name, processor, at + first.duration / 2)


def _days(seed: int, start: float, name: str, processor: Processor) -> Iterator[Incident]:
    random = stream("benign", seed, name)
    billing = (BILLING_AT - start) % DAY
    for day in count():
        happens = [("billing_batch", billing)] + [("merchant_burst", random.random() * DAY) for _ in range(BURSTS)]
        if random.random() < EVENTFUL:
            happens.append((_one_of(random, EVENTS), random.random() * DAY))
        drawn = [_drawn(random, what, name, processor, day * DAY + at) for what, at in happens]
        yield from sorted(drawn, key=_start)


def _drawn(random: Random, name: str, at: str, processor: Processor, start: float) -> Incident:
    """A scenario of the corpus at a processor, as long and severe as chance has it."""
    scenario = SCENARIOS[name]
    duration = 60 * _between(random, *scenario.minutes)
    severity = _between(random, *scenario.severities)
    return Incident(name, at, start, duration, severity, _value(random, scenario, processor))


def _value(random: Random, scenario: Scenario, processor: Processor) -> str:
    """One of the common values of a scenario's dimension; a benign one keeps its own."""
    if not scenario.dimension or scenario.benign:
        return scenario.value
    return _one_of(random, values_of(scenario.dimension, processor)[:COMMON_VALUES])


def _one_of(random: Random, values: Sequence[str]) -> str:
    return values[int(random.random() * len(values))]


def _between(random: Random, least: float, most: float) -> float:
    return least + (most - least) * random.random()


def _start(incident: Incident) -> float:
    return incident.start
