"""What the incidents of a second add up to, for one processor."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from payflux.load.corpus.chance import WORD, slots
from payflux.load.corpus.population import CATEGORIES, CHANNELS, COUNTRIES, METHODS
from payflux.load.corpus.scenarios import Extra, Incident

HALF_WORD = 2**16
LATENCY_ONE = 1024
DIMENSIONS = {"geo": COUNTRIES, "method": tuple(METHODS), "issuer": COUNTRIES, "channel": tuple(CHANNELS)}
"""What can be concerned, in the order in which payments have them, and the values by number."""

EVERYTHING = -1
REMEMBERED = 20_000


class Failing(NamedTuple):
    """Attempts that fail because of an incident.

    Attributes:
        below: those whose word is below it.
        dimension: where to look in `DIMENSIONS`, or `EVERYTHING`.
        value: which value is concerned.
        categories: 1,024 slots of category numbers.
    """

    below: int
    dimension: int
    value: int
    categories: tuple[int, ...]


class Conditions(NamedTuple):
    """What holds in one second at one processor.

    Attributes:
        traffic: multiple of the normal number of new payments.
        failing: what fails because of incidents, to be asked one after another.
        odds: multiple of the odds of failing otherwise.
        retrying: how many of 65,536 failed attempts are tried again within seconds.
        resending: how many of 65,536 attempts of some merchants are sent again whatever the answer.
        latency: multiple of the usual, in 1024ths.
        moved: numbers of payment methods, with the share of all payments that changes to each.
        extras: incidents with payments of their own, these payments, and each one's strength.
    """

    traffic: float = 1.0
    failing: tuple[Failing, ...] = ()
    odds: float = 1.0
    retrying: int = 0
    resending: int = 0
    latency: int = LATENCY_ONE
    moved: tuple[tuple[int, float], ...] = ()
    extras: tuple[tuple[Incident, Extra, float], ...] = ()


CALM = Conditions()


class Plan:
    """The incidents of some traffic, looked up by second.

    Args:
        incidents: ordered by their start, perhaps endless; no more are taken than needed.
    """

    def __init__(self, incidents: Iterable[Incident]) -> None:
        self._coming = iter(incidents)
        self._next = next(self._coming, None)
        self._lanes: dict[str, _Lane] = {}
        self._not_over: list[Incident] = []

    def at(self, processor: str, second: int) -> Conditions:
        """What holds at a processor, so many whole seconds after the start of the traffic."""
        self._learn(second)
        lane = self._lanes.get(processor)
        return lane.at(second) if lane else CALM

    def running(self, elapsed: float) -> tuple[Incident, ...]:
        """The incidents that are on, so many seconds after the start of the traffic; the seconds must not fall."""
        self._learn(elapsed)
        if any(incident.end <= elapsed for incident in self._not_over):
            self._not_over = [incident for incident in self._not_over if incident.end > elapsed]
        return tuple(incident for incident in self._not_over if incident.start <= elapsed)

    def _learn(self, elapsed: float) -> None:
        while self._next is not None and self._next.start <= elapsed:
            self._not_over.append(self._next)
            self._lanes.setdefault(self._next.processor, _Lane()).add(self._next)
            self._next = next(self._coming, None)


class _Lane:
    """The incidents of one processor, cut into stretches between one's start or end and the next."""

    def __init__(self) -> None:
        self._incidents: list[Incident] = []
        self._bounds: list[float] = []
        self._stretches: dict[int, tuple[tuple[Incident, ...], bool]] = {}
        self._remembered: dict[int, Conditions] = {}

    def add(self, incident: Incident) -> None:
        self._incidents.append(incident)
        self._bounds = sorted({*self._bounds, incident.start, incident.end})
        self._stretches.clear()
        self._remembered.clear()

    def at(self, second: int) -> Conditions:
        stretch = bisect_right(self._bounds, second)
        if stretch not in self._stretches:
            running = tuple(one for one in self._incidents if one.start <= second < one.end)
            self._stretches[stretch] = running, any(one.scenario.shape != "step" for one in running)
        running, changing = self._stretches[stretch]
        if not running:
            return CALM
        key = second if changing else -stretch
        if key not in self._remembered:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = combined(running, second)
        return self._remembered[key]


def combined(incidents: Iterable[Incident], second: int) -> Conditions:
    """What incidents that are on add up to, so many seconds after the start of the traffic.

    What multiplies is multiplied; of two kinds of hasty retries the likelier one counts.
    """
    found = CALM
    for incident in incidents:
        effect, strength = incident.effect, incident.strength(second)
        found = Conditions(
            traffic=found.traffic * (1 + (effect.traffic - 1) * strength),
            failing=(*found.failing, *_failing(incident, strength)),
            odds=found.odds * (1 + (effect.odds - 1) * strength),
            retrying=max(found.retrying, int(effect.retrying * strength * HALF_WORD)),
            resending=max(found.resending, int(effect.resending * strength * HALF_WORD)),
            latency=int(found.latency * (1 + (effect.latency - 1) * strength)),
            moved=(*found.moved, *_moved(incident, strength)),
            extras=(*found.extras, *([(incident, effect.extra, strength)] if effect.extra else [])),
        )
    return found


@cache
def _slots_of(categories: tuple[tuple[str, float], ...]) -> tuple[int, ...]:
    weights = dict(categories)
    return tuple(slots([weights.get(name, 0.0) for name in CATEGORIES], 1024))


def _failing(incident: Incident, strength: float) -> Iterator[Failing]:
    effect = incident.effect
    if not effect.failing:
        return
    dimension, value = EVERYTHING, 0
    if effect.segment:
        name = incident.scenario.dimension
        dimension, value = tuple(DIMENSIONS).index(name), DIMENSIONS[name].index(incident.concerned)
    yield Failing(int(effect.failing * strength * WORD), dimension, value, _slots_of(effect.categories))


def _moved(incident: Incident, strength: float) -> Iterator[tuple[int, float]]:
    if incident.effect.moved:
        yield tuple(METHODS).index(incident.concerned), incident.effect.moved * strength
