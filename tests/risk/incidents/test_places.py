"""Two segments show two troubles only if each has failures of its own."""

from collections import Counter

import pytest

from payflux.risk.drivers import Driver
from payflux.risk.incidents.book import SMALL
from payflux.risk.incidents.incident import EVERYWHERE
from payflux.risk.incidents.places import is_active, is_certain, is_other, ordered, place_of, places_of, share_within
from payflux.risk.observation import Observation
from risk_traffic import seen

GB_CARD = seen("processor_error", ("GB", "credit_card", "GB", "web"))
GB_WALLET = seen("processor_error", ("GB", "wallet", "GB", "web"))
US_WALLET = seen("processor_error", ("US", "wallet", "US", "web"))
US_CARD = seen("processor_error", ("US", "credit_card", "US", "web"))


def driver(place: tuple[str, str], observed: int, expected: float, severity: float = 0.9) -> Driver:
    """A driver of failures that count, at a place."""
    name = "segment_degradation" if place != EVERYWHERE else "high_failure_rate"
    return Driver(name, *place, severity, "critical", True, observed, 2 * observed, expected, 0, 9.0, 20.0)


GB, ISSUER, WALLET = ("geo", "GB"), ("issuer", "GB"), ("method", "wallet")


def test_a_country_and_its_issuers_are_one_trouble() -> None:
    """The failures of one lie in the other, so there is one place, and all traffic adds none."""
    failures = Counter({GB_CARD: 60, GB_WALLET: 20, US_CARD: 4})
    drivers = [driver(GB, 80, 5.0), driver(ISSUER, 80, 5.0), driver(EVERYWHERE, 84, 9.0)]
    assert places_of(drivers, failures) == [GB]


def test_two_segments_that_fail_apart_are_two_troubles() -> None:
    """Wallets fail in the United States too, where cards do not."""
    failures = Counter({GB_CARD: 60, GB_WALLET: 20, US_WALLET: 40, US_CARD: 4})
    drivers = [driver(GB, 80, 5.0), driver(WALLET, 60, 4.0), driver(EVERYWHERE, 124, 15.0)]
    assert places_of(drivers, failures) == [GB, WALLET]


def test_what_fails_outside_the_segments_too_is_everywhere() -> None:
    """An outage is no trouble of the segment that happens to be noticed first."""
    failures = Counter({GB_CARD: 60, GB_WALLET: 20, US_WALLET: 40, US_CARD: 80})
    assert places_of([driver(GB, 80, 5.0), driver(EVERYWHERE, 200, 15.0)], failures) == [EVERYWHERE]


def test_a_driver_that_is_only_held_is_no_trouble() -> None:
    """After the recovery a band is held for a while; what it was of is over."""
    held = driver(GB, 80, 5.0, severity=0.0)
    assert not is_active(held)
    assert not is_certain(held)
    assert places_of([held], Counter({GB_CARD: 80})) == []


def test_chance_is_no_trouble_of_its_own() -> None:
    """Some failures outside a segment were to be expected, and a few more may be chance."""
    few = Counter({GB_CARD: 9, US_CARD: 3})
    assert not is_other(driver(EVERYWHERE, 12, 1.0), [GB], few, 0.15)
    assert is_other(driver(EVERYWHERE, 120, 10.0), [GB], Counter({GB_CARD: 60, US_CARD: 60}), 0.15)


@pytest.mark.parametrize(
    ("failures", "share"),
    [({GB_CARD: 3, US_CARD: 1}, 0.75), ({}, 1.0), ({US_WALLET: 2}, 0.0)],
    ids=["some", "no", "none"],
)
def test_the_share_within_a_place(failures: dict[Observation, int], share: float) -> None:
    """It is that of a driver's own failures; without any, nothing speaks for another trouble."""
    assert share_within(driver(EVERYWHERE, 4, 0.0), [GB], failures) == share


def test_card_tests_are_where_the_small_amounts_are() -> None:
    """They have no segment, but an amount."""
    tests = Driver("card_testing_suspected", "", "small", 0.8, "high", False, 9, 10, 1.0, 0, 9.0, 20.0)
    assert place_of(tests) == SMALL


def test_what_an_incident_is_called_is_where_it_is() -> None:
    """A segment that says most for a while is no name for a trouble of all traffic, nor for one of another segment."""
    broad, country, wallet = driver(EVERYWHERE, 84, 9.0), driver(GB, 80, 5.0), driver(WALLET, 60, 4.0)
    retries = Driver("retry_pressure_spike", "", "retries", 0.8, "high", False, 9, 10, 1.0, 0, 9.0, 20.0)
    assert ordered(EVERYWHERE, [country, retries, broad]) == (broad, country, retries)
    assert ordered(WALLET, [country, broad, wallet]) == (wallet, country, broad)
    assert ordered(GB, [country, broad]) == (country, broad)
    assert ordered(GB, [broad, country]) == (broad, country)
    assert ordered(EVERYWHERE, [country, retries]) == (country, retries)
    assert ordered(EVERYWHERE, []) == ()
