"""Places: where failures come from, and whether two segments show one trouble or two.

Failures of one trouble are seen in several segments: cards of a country's issuers are mostly used in that country. So
segments are compared by the failures they have in common: one whose failures lie in another, but for as many as were to
be expected anyway, shows the other's trouble.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt

from payflux.risk.assessment import BANDS
from payflux.risk.drivers import Driver
from payflux.risk.incidents.book import FAILING, SMALL
from payflux.risk.incidents.incident import EVERYWHERE, Place
from payflux.risk.observation import DIMENSIONS, Observation

OWN = 0.4
"""The part of a driver's excess that must lie elsewhere for its trouble to be another."""

BROAD, MOST_PLACES = 0.15, 2
"""The part of the excess of all traffic that must lie outside all segments found, or how many of those may explain it,
for the trouble to be everywhere.
"""

FEW = 3.0
"""So many failures are no trouble of their own."""

ACTIVE = 0.3
"""The severity of a driver that is more than noise."""

Failures = Mapping[Observation, int]


def place_of(driver: Driver) -> Place:
    """Where a driver says to look."""
    if driver.name == "segment_degradation":
        return driver.dimension, driver.value
    return SMALL if driver.name == "card_testing_suspected" else EVERYWHERE


def ordered(place: Place, own: Sequence[Driver]) -> tuple[Driver, ...]:
    """The drivers of an incident, the first cause first: never a segment that is not its place before one of its place.

    Args:
        place: of the incident.
        own: its drivers, the first cause of their processor's trouble first.
    """
    there = next((driver for driver in own if driver.name in FAILING and place_of(driver) == place), None)
    if there is None or own[0].name != "segment_degradation" or place_of(own[0]) == place:
        return tuple(own)
    return there, *(driver for driver in own if driver != there)


def measured(place: Place, own: Sequence[Driver]) -> Driver:
    """The driver whose numbers are an incident's: that of its place, or the broadest one.

    Args:
        place: of the incident.
        own: its drivers, at least one.
    """
    failing = [driver for driver in own if driver.name in FAILING] or list(own)
    there = [driver for driver in failing if place_of(driver) == place]
    return max(there or failing, key=_breadth)


def _breadth(driver: Driver) -> tuple[bool, float, tuple[str, str, str, bool]]:
    key = driver.name, driver.dimension, driver.value, driver.raises
    return driver.name == "high_failure_rate", driver.excess, key


def is_certain(driver: Driver) -> bool:
    """Whether a driver is sure and bad enough to be a trouble of its own, and not only held."""
    return is_active(driver) and BANDS.index(driver.band) >= BANDS.index("high")


def is_active(driver: Driver) -> bool:
    """Whether a driver says something now; else its band is held for a while, and its numbers grow old."""
    return driver.severity >= ACTIVE


def places_of(drivers: Sequence[Driver], failures: Failures) -> list[Place]:
    """The places of as many troubles as some drivers of failures show.

    Args:
        drivers: those of one kind of failure, the first cause first.
        failures: the latest ones.

    Returns:
        Each trouble's place, the clearest first; all traffic alone when much of it lies in no segment.
    """
    certain = [driver for driver in drivers if is_certain(driver)]
    found: list[Place] = []
    for driver in sorted(certain, key=_rank):
        place = place_of(driver)
        if place != EVERYWHERE and (not found or is_other(driver, found, failures)):
            found.append(place)
    broad = [driver for driver in certain if place_of(driver) == EVERYWHERE]
    if broad and (len(found) > MOST_PLACES or any(is_other(driver, found, failures, BROAD) for driver in broad)):
        return [EVERYWHERE]
    return found or [EVERYWHERE] * bool(broad)


def _rank(driver: Driver) -> tuple[bool, float, str, str]:
    return place_of(driver) != SMALL, -driver.excess, driver.dimension, driver.value


def is_other(driver: Driver, places: Sequence[Place], failures: Failures, part: float = OWN) -> bool:
    """Whether a driver shows a trouble beyond that of some places.

    Args:
        driver: of failures.
        places: where troubles are known.
        failures: the latest ones.
        part: which part of its excess must lie elsewhere, beside as many failures as were to be expected anyway and
            as chance may add to them.
    """
    outside = 1.0 - share_within(driver, places, failures)
    chance = FEW + 2.0 * sqrt(max(driver.expected, 0.0))
    return outside * driver.observed > driver.expected + part * driver.excess + chance


def share_within(driver: Driver, places: Iterable[Place], failures: Failures) -> float:
    """Which share of the failures a driver speaks of lies in some places; 1 when there are none of them."""
    own = [(seen, times) for seen, times in failures.items() if _is_of(seen, driver)]
    within = tuple(places)
    inside = sum(times for seen, times in own if any(_lies_in(seen, place) for place in within))
    return inside / sum(times for _, times in own) if own else 1.0


def _lies_in(seen: Observation, place: Place) -> bool:
    if place == SMALL:
        return seen.small
    return place == EVERYWHERE or seen.values[DIMENSIONS.index(place[0])] == place[1]


def _is_of(seen: Observation, driver: Driver) -> bool:
    """Whether a failure is one of those a driver speaks of."""
    place = place_of(driver)
    if place == SMALL:
        return seen.small
    counts = seen.counts or (driver.raises and driver.dimension == "origin" and seen.soft)
    if counts != driver.raises or not _lies_in(seen, place):
        return False
    return driver.dimension != "category" or seen.category == driver.value
