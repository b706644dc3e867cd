"""Payment traffic that looks like the real thing, the same for the same seed, as a stream of events."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from math import fsum

from payflux.load.corpus.attempts import Attempt, Profile
from payflux.load.corpus.conditions import Plan
from payflux.load.corpus.events import Event, Namer
from payflux.load.corpus.lanes import Lane
from payflux.load.corpus.population import DEMO, Processor
from payflux.load.corpus.scenarios import Incident
from payflux.load.corpus.seasons import Course, merchants_of


class Traffic:
    """A stream of payment events.

    The same seed, start, processors and incidents give the same events, to the byte; another start gives other ids and
    hashes.

    Args:
        seed: any whole number.
        start: Unix seconds.
        incidents: ordered by their start, perhaps endless.
        processors: by name.
    """

    def __init__(
        self,
        seed: int,
        start: float,
        incidents: Iterable[Incident] = (),
        processors: Mapping[str, Processor] = DEMO,
    ) -> None:
        self._seed = seed
        self._start_ms = round(1000 * start)
        self._processors = processors
        self._plan = Plan(incidents)
        self._names: list[str] = []

    def running(self, at: float) -> tuple[Incident, ...]:
        """The incidents that are on at a time, Unix seconds; the times must not fall."""
        return self._plan.running(at - self._start_ms / 1000)

    def arrivals(self, rate: float | None = None) -> Iterator[tuple[float, Event]]:
        """Times in Unix seconds and events, from the start on, without end.

        Args:
            rate: events per second of all processors in normal traffic, retries included; by default their own.
        """
        namer = Namer(self._seed, self._start_ms, self._names)
        for attempt in self.attempts(rate):
            yield (self._start_ms + attempt.at) / 1000, namer.event(attempt)

    def attempts(self, rate: float | None = None) -> Iterator[Attempt]:
        """The same as numbers, in the order of their times; `rate` as for `arrivals`."""
        lanes = self.lanes(rate)
        pending: dict[int, list[Attempt]] = {}
        for second in count():
            for lane in lanes:
                for source, expected, minute in lane.sources(second):
                    for attempt in source.second(second, expected, minute):
                        pending.setdefault(attempt.at // 1000, []).append(attempt)
            yield from sorted(pending.pop(second, ()))

    def lanes(self, rate: float | None = None) -> list[Lane]:
        """Where attempts come from, a lane for each processor, to be drawn by other means; `rate` as for `arrivals`."""
        own = fsum(processor.rate for processor in self._processors.values())
        scale = 1.0 if rate is None else rate / own
        start, merchants = self._start_ms // 1000, merchants_of(self._seed)
        lanes = []
        for name, processor in self._processors.items():
            course = Course(self._seed, name, processor, start, scale)
            lanes.append(Lane(self._seed, Profile(name, processor, course, self._plan, merchants), self._names))
        return lanes
