"""Samples: ids of the latest failed and retried payments, so that an incident can name some of its own."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from payflux.risk.counts import Counts
from payflux.risk.drivers import Driver
from payflux.risk.incidents.book import FAILING, view_of, views_of
from payflux.risk.observation import DIMENSIONS, Observation, Values, observation

MOST = 5
"""Events that an incident names."""

REMEMBERED = 64
"""Events that may become samples: an incident begins before it is noticed, and traffic may be slow."""


class _Sample(NamedTuple):
    second: int
    seen: Observation
    event_id: str


class Samples:
    """The latest failures and retries of one processor, of each second one of a kind."""

    def __init__(self) -> None:
        self._latest: deque[_Sample] = deque(maxlen=REMEMBERED)

    def take(self, second: int, counts: Counts) -> None:
        """Remember some of a second, the most frequent ones last.

        Args:
            second: stream time, later than before.
            counts: what happened in it.
        """
        often = counts.events
        found = sorted(counts.samples.items(), key=lambda pair: (often.get(pair[0], 0), pair[1]))
        self._latest.extend(_Sample(second, *pair) for pair in found)

    def more(self, known: tuple[str, ...], driver: Driver, since: int) -> tuple[str, ...]:
        """The samples of an incident: those it has, and as many more as there is room for.

        Args:
            known: those it has.
            driver: whose numbers are the incident's.
            since: stream time from which on events are of it.

        Returns:
            Ids, `MOST` at most; what an incident has once it keeps.
        """
        if len(known) >= MOST:
            return known
        return tuple(dict.fromkeys((*known, *self._of(driver, since))))[:MOST]

    def _of(self, driver: Driver, since: int) -> Iterator[str]:
        for one in reversed(self._latest):
            if one.second >= since and _concerns(driver, one.seen):
                yield one.event_id

    def snapshot(self) -> list[Any]:
        """All that is known, as plain data."""
        return [[second, event_id, *_told(seen)] for second, seen, event_id in self._latest]

    def restore(self, data: Iterable[list[Any]]) -> None:
        """Go on from a snapshot, before or after any encoding."""
        self._latest.clear()
        for second, event_id, kind, category, values, *flags, signs in data:
            seen = observation(kind, category, msgspec.convert(values, Values), *flags, tuple(signs))
            self._latest.append(_Sample(second, seen, event_id))


def _told(seen: Observation) -> list[Any]:
    kind = "failure" if seen.failed else "success" if seen.attempt else "neutral"
    return [kind, seen.category, seen.values, seen.retried, seen.small, seen.counts, seen.soft, seen.signs]


def _concerns(driver: Driver, seen: Observation) -> bool:
    """Whether an event is one of those a driver speaks of; of missing and of slow ones none is known."""
    if driver.name in FAILING:
        return seen.failed and not seen.retried and view_of(driver) in views_of(seen)
    if driver.value in seen.signs:
        return True
    if driver.name == "retry_pressure_spike":
        return seen.retried
    return driver.dimension in DIMENSIONS and seen.values[DIMENSIONS.index(driver.dimension)] == driver.value
