"""Incidents in words: what fails, where, since when, how bad, what would clear it and where to read what to do."""

from collections.abc import Mapping
from datetime import UTC, datetime

from payflux.risk.detectors.registry import DETECTORS
from payflux.risk.drivers import Driver
from payflux.risk.incidents import places
from payflux.risk.incidents.book import FAILING
from payflux.risk.incidents.incident import Incident

NAMES = {
    "geo": "payments from {}",
    "method": "{} payments",
    "issuer": "cards issued in {}",
    "channel": "{} payments",
    "amount": "small payments",
}
"""What a segment is called, by its dimension."""

NO_MINORS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XPF"}
)
"""Currencies without minor units (ISO 4217)."""

THOUSANDTHS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
"""Currencies with three digits of minor units."""


def summary(incident: Incident) -> str:
    """One sentence: whom it concerns, what is observed and expected, since when, and what it affects.

    Args:
        incident: any.
    """
    whom = incident.processor or "all processors"
    since = datetime.fromtimestamp(incident.since, UTC).strftime("%H:%M")
    affected = [f"about {incident.payments} payments"] if incident.payments else []
    affected += [money(minor, currency) for currency, minor in incident.value_at_risk.items()]
    return ", ".join([f"{whom}: {observation_of(incident)} since {since} UTC", *affected])


def observation_of(incident: Incident) -> str:
    """What is observed, beside what was expected."""
    driver = measured(incident)
    observed, expected = ratios(driver)
    if driver.name == "volume_drop":
        return f"{driver.attempts - driver.observed} events arrive where {driver.attempts} are due"
    what = {
        "retry_pressure_spike": "attempts are retries",
        "card_testing_suspected": "failures are of the smallest amounts",
        "latency_increase": "answers are slow",
        "geo_entropy_increase": f"events come from {driver.value}",
        **{one.driver: one.observed for one in DETECTORS},
    }.get(driver.name, f"{_called(incident)} fail{_how(driver)}")
    return f"{observed:.0%} of {what} ({expected:.0%} expected)"


def _how(driver: Driver) -> str:
    return f" with {driver.value}" if driver.dimension == "category" else ""


def _called(incident: Incident) -> str:
    driver = measured(incident)
    dimension, value = (driver.dimension, driver.value) if driver.dimension in NAMES else incident.place
    return NAMES[dimension].format(value) if dimension in NAMES else "payments"


def measured(incident: Incident) -> Driver:
    """The driver whose numbers tell most: where payments fail that by which they are counted, else the first one."""
    first = incident.driver
    return places.measured(incident.place, incident.drivers) if first.name in FAILING else first


def ratios(driver: Driver) -> tuple[float, float]:
    """Observed and expected share of a driver's attempts, each 0.0 or more."""
    attempts = max(driver.attempts, 1)
    return driver.observed / attempts, driver.expected / attempts


def money(minor: int, currency: str) -> str:
    """An amount as people write it, without cents.

    Args:
        minor: minor units.
        currency: ISO 4217; of any other, two digits are taken for minor units.
    """
    code = currency.upper()
    units = minor if code in NO_MINORS else minor / (1000 if code in THOUSANDTHS else 100)
    return f"{units:,.0f} {code}"


def clears(incident: Incident, hold_sec: int) -> str:
    """What would end an incident.

    Args:
        incident: any.
        hold_sec: how long it must have been quiet.
    """
    driver = measured(incident)
    expected = ratios(driver)[1]
    wanted: Mapping[str, str] = {
        "volume_drop": "events arrive again as usual",
        "retry_pressure_spike": f"retries are back near {expected:.0%} of attempts",
        "card_testing_suspected": f"small amounts are back near {expected:.0%} of failures",
        "latency_increase": f"slow answers are back near {expected:.0%}",
        "geo_entropy_increase": f"{driver.value} is back near {expected:.0%} of events",
        **{one.driver: f"they are back near {expected:.0%} of attempts" for one in DETECTORS},
    }
    what = wanted.get(driver.name, f"failures{_how(driver)} of {_called(incident)} are back near {expected:.0%}")
    return f"{what}, for {hold_sec} seconds"


def section(incident: Incident) -> str:
    """The section of the runbook that says what to do."""
    return "nothing_arrives" if not incident.processor else incident.driver.name
