"""Histories that never were: the traffic of a scenario, with the truth about it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import takewhile

import msgspec

from payflux.commands.backtest.history import TELL_EVERY, Entry, Timed
from payflux.commands.backtest.judging import Truth
from payflux.load.corpus.population import PROCESSORS
from payflux.load.corpus.scenarios import SCENARIOS, Incident, label_of
from payflux.load.corpus.schedule import DAY, PLANS, planned
from payflux.load.traffic import Traffic

START = datetime.fromisoformat("2026-01-05T00:00:00Z").timestamp()
"""A Monday."""

LEARNING_SEC = 3 * 3600
"""What is normal is learned within two hours."""

VOLUME_SEC = 26 * 3600
"""But it takes a day until the absence of traffic says something."""

PLAN_SEC = 3 * DAY
AFTER_SEC = 2400


class Staged:
    """A scenario, several one after another, or a plan.

    Args:
        names: of `SCENARIOS`, or one of `PLANS` alone.
        processor: where it happens.
        seed: of the traffic.
        warm_up: seconds of normal traffic before; by default what it takes to learn what is normal.
        duration: seconds in all; by default until it is over and quiet again, or three days of a plan.

    Attributes:
        seconds: how long it goes on.
    """

    def __init__(
        self, names: Sequence[str], processor: str, seed: int, warm_up: float | None, duration: float | None
    ) -> None:
        self._names, self._seed = list(names), seed
        self._processors = {processor: PROCESSORS[processor]}
        self._lead = _warm_up(names) if warm_up is None else warm_up
        self.seconds = self._usual_seconds() if duration is None else duration

    def _incidents(self) -> Iterator[Incident]:
        planned_ones = planned(self._names, self._seed, START, self._processors, self._lead)
        return takewhile(lambda incident: incident.start < self.seconds, planned_ones)

    def _usual_seconds(self) -> float:
        if self._names[0] in PLANS:
            return float(PLAN_SEC)
        return max(one.end for one in planned(self._names, self._seed, START, self._processors, self._lead)) + AFTER_SEC

    def truths(self) -> list[Truth]:
        """What really happens."""
        labels = (label_of(one, START, self.seconds) for one in self._incidents())
        return [msgspec.convert(label._asdict(), Truth) for label in labels]

    def history(self, tell: Callable[[float], None]) -> Iterator[Timed]:
        """Its events.

        Args:
            tell: told now and then how many seconds of it were made.
        """
        traffic = Traffic(self._seed, START, self._incidents(), self._processors)
        end = START + self.seconds
        for number, (at, event) in enumerate(takewhile(lambda one: one[0] < end, traffic.arrivals())):
            if number % TELL_EVERY == 0:
                tell(at - START)
            yield Timed(round(1000 * at), msgspec.convert(event, Entry))


def _warm_up(names: Sequence[str]) -> float:
    plan = names[0] in PLANS
    return VOLUME_SEC if plan or any(SCENARIOS[name].driver == "volume_drop" for name in names) else LEARNING_SEC
