"""Incidents in words say what fails, where, since when and how bad it is."""

import pytest
from msgspec.structs import replace

from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import Incident
from payflux.risk.incidents.wording import clears, money, ratios, section, summary

GB = Driver("segment_degradation", "geo", "GB", 0.9, "critical", True, 62, 100, 9.0, 1_767_276_120, 16.0, 24.0)
INCIDENT = Incident(
    id="stripe-1767276125-aabbcc",
    processor="stripe",
    severity="critical",
    opened=1_767_276_125,
    since=1_767_276_120,
    counted_from=1_767_276_120,
    updated=1_767_276_200,
    dimension="geo",
    value="GB",
    drivers=(GB,),
    payments=310,
    value_at_risk={"GBP": 4_120_000},
)


def of(name: str, dimension: str = "", value: str = "") -> Incident:
    """The same incident with another driver, of all traffic."""
    return replace(
        INCIDENT, dimension="", value="", drivers=(replace(GB, name=name, dimension=dimension, value=value),)
    )


def test_the_summary_says_it_all() -> None:
    """Whom, what, where, expected, since when, how many and how much."""
    assert summary(INCIDENT) == (
        "stripe: 62% of payments from GB fail (9% expected) since 14:02 UTC, about 310 payments, 41,200 GBP"
    )


@pytest.mark.parametrize(
    ("incident", "words"),
    [
        (of("high_failure_rate"), "62% of payments fail (9% expected)"),
        (of("timeout_clustering", "category", "timeout"), "62% of payments fail with timeout (9% expected)"),
        (of("retry_pressure_spike"), "62% of attempts are retries (9% expected)"),
        (of("volume_drop"), "38 events arrive where 100 are due"),
        (of("card_testing_suspected", "", "small"), "62% of failures are of the smallest amounts"),
        (of("latency_increase"), "62% of answers are slow"),
        (of("geo_entropy_increase", "geo", "NG"), "62% of events come from NG"),
        (replace(of("volume_drop"), processor=""), "all processors: 38 events"),
    ],
)
def test_every_driver_has_words_of_its_own(incident: Incident, words: str) -> None:
    """The numbers are called what they count."""
    assert words in summary(incident)


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
    [(4_120_000, "GBP", "41,200 GBP"), (5_000, "jpy", "5,000 JPY"), (12_345, "KWD", "12 KWD"), (99, "USD", "1 USD")],
)
def test_money_has_the_minor_units_of_its_currency(minor: int, currency: str, written: str) -> None:
    """Yen have none, dinars three digits of them."""
    assert money(minor, currency) == written


def test_what_would_clear_it() -> None:
    """It names the expected share, and how long it must hold."""
    assert clears(INCIDENT, 300) == "failures of payments from GB are back near 9%, for 300 seconds"
    assert clears(of("volume_drop"), 300) == "events arrive again as usual, for 300 seconds"


def test_the_section_to_read() -> None:
    """It is that of the driver; nothing arriving has its own."""
    assert section(INCIDENT) == "segment_degradation"
    assert section(replace(INCIDENT, processor="")) == "nothing_arrives"


def test_ratios_need_no_attempts() -> None:
    """A driver without any attempt is no division by 0."""
    assert ratios(replace(GB, attempts=0, observed=0, expected=0.0)) == (0.0, 0.0)
