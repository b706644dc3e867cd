"""Warnings out of a log of assessments."""

from payflux.risk.assessment import RiskAssessment
from payflux.risk.drivers import Driver
from payflux.risk.episodes import Episode, Episodes


def driver(name: str = "high_failure_rate", band: str = "high", severity: float = 0.7, geo: str = "") -> Driver:
    """One reason."""
    return Driver(name, "geo" if geo else "", geo, severity, band, True, 9, 10, 1.0, 0, 8.0, 12.0)


def said(second: int, *drivers: Driver, processor: str = "stripe") -> RiskAssessment:
    """An assessment; only its drivers matter."""
    return RiskAssessment(second, processor, drivers=drivers)


def gathered(*log: RiskAssessment, least: str = "high") -> list[Episode]:
    """The warnings of a log."""
    episodes = Episodes(least)
    for one in log:
        episodes.take(one)
    return episodes.found


def test_a_warning_is_on_while_a_driver_is_grave() -> None:
    """It opens and ends with the seconds that say so, and keeps the worst of what was said in between."""
    found = gathered(
        said(9, driver(band="elevated", severity=0.4)),
        said(10, driver(severity=0.65)),
        said(20, driver(band="critical", severity=0.9)),
        said(30, driver(band="high", severity=0.62)),
        said(40, driver(band="elevated", severity=0.3)),
        said(50),
    )
    assert found == [Episode("stripe", "high_failure_rate", "", "", "critical", 11, 0.9, 41)]


def test_what_is_not_over_is_still_on() -> None:
    """A log may end in the middle of a trouble."""
    assert [one.resolved_at for one in gathered(said(10, driver()))] == [None]


def test_processors_have_warnings_of_their_own() -> None:
    """One that recovers takes nothing back at another, and may be warned of again."""
    found = gathered(
        said(1, driver()), said(2, driver(), processor="adyen"), said(3), said(9, driver()), said(9, processor="adyen")
    )
    assert [(one.processor, one.opened_at, one.resolved_at) for one in found] == [
        ("stripe", 2, 4),
        ("adyen", 3, 10),
        ("stripe", 10, None),
    ]


def test_the_driver_may_be_told_better_for_a_minute() -> None:
    """What explains a trouble is often known some seconds later; after a minute the warning keeps its name."""
    [one] = gathered(
        said(10, driver()),
        said(40, driver("segment_degradation", geo="GB"), driver()),
        said(90, driver("timeout_clustering")),
    )
    assert (one.driver, one.dimension, one.value) == ("segment_degradation", "geo", "GB")


def test_the_first_grave_driver_counts_not_a_lesser_one_before_it() -> None:
    """A driver that is only notable is no reason for a warning."""
    [one] = gathered(said(1, driver("traffic_volatility", "elevated", 0.5), driver()))
    assert one.driver == "high_failure_rate"


def test_from_which_band_on_is_asked_for() -> None:
    """Elevated ones may be wanted too, or only critical ones."""
    log = said(1, driver(band="elevated", severity=0.4)), said(2, driver(band="critical", severity=1.0)), said(3)
    assert [one.opened_at for one in gathered(*log, least="elevated")] == [2]
    assert [one.opened_at for one in gathered(*log, least="critical")] == [3]
