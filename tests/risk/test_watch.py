"""What the watch says of troubles, of whose they are, and of what is none."""

from payflux.risk.assessment import RiskAssessment
from payflux.risk.judge import Limits
from payflux.risk.observation import observation
from payflux.risk.watch import Watch
from risk_traffic import LEARNED, START, Traffic, counted, outage, run, seconds, segment_outage

GEO, ISSUER = 0, 2
REFUND = observation("neutral", values=("US", "credit_card", "US", "web"))


def first_of(said: list[RiskAssessment], band: str) -> int:
    """After how many seconds a band was reached; fails when it was not."""
    return next(one.second for one in said if one.band == band) - START - LEARNED + 1


def test_a_hard_down_processor_is_critical_within_seconds(watch: Watch) -> None:
    """A total outage at five events a second needs no minutes, nor retries, to be critical."""
    said = run(watch, Traffic(5, seed=8), 15, outage())
    assert first_of(said, "critical") <= 5
    assert said[-1].score >= 0.9
    assert said[-1].names[0] in {"high_failure_rate", "failure_clustering"}


def test_a_hard_down_processor_is_critical_even_when_nothing_is_known() -> None:
    """Twenty attempts nearly all of which fail are unmistakable on the first minute too."""
    watch = Watch("stripe", Limits(), START)
    said = run(watch, Traffic(5, seed=4), 15, outage())
    assert said[-1].band == "critical"
    assert not said[-1].learned
    driver = said[-1].drivers[0]
    assert (driver.name, driver.attempts >= 20, driver.observed >= 0.6 * driver.attempts) == (
        "high_failure_rate",
        True,
        True,
    )


def test_recovery_is_seen(watch: Watch) -> None:
    """After ten minutes of outage the score falls within a minute, and the band after the hold."""
    traffic = Traffic(5, seed=9)
    run(watch, traffic, 600, outage())
    said = run(watch, traffic, 450)
    assert said[-1].band == "low"
    assert next(one.second for one in said if one.score < 0.3) - START - LEARNED - 600 <= 60


def test_one_country_is_named(watch: Watch) -> None:
    """Failures that count, from one geography alone, are the processor's, and say where."""
    said = run(watch, Traffic(5, seed=13), 180, segment_outage(GEO, "GB", "processor_error"))
    high = next(one for one in said if one.band in {"high", "critical"})
    assert high.second - START - LEARNED <= 30
    lead = said[-1].drivers[0]
    assert (lead.name, lead.dimension, lead.value, lead.raises) == ("segment_degradation", "geo", "GB", True)
    assert lead.excess > 0.5 * lead.attempts
    assert lead.odds > 10


def test_a_category_that_got_another_name_is_no_trouble(watch: Watch) -> None:
    """What failed before fails still: there is no excess to show, only a name."""
    renamed = Traffic(5, seed=14, categories={"soft_refusal": 40, "processor_error": 60})
    # The same number of attempts fails, and many more of them count: an unknown word did not count before.
    said = run(watch, renamed, 900)
    assert {one.band for one in said} <= {"low", "elevated"}


def test_healthy_traffic_is_quiet(watch: Watch) -> None:
    """Half an hour in which nothing happens says nothing above elevated."""
    said = run(watch, Traffic(5, seed=15), 1800)
    assert all(driver.severity < 0.6 for one in said for driver in one.drivers)
    assert max((one.score for one in said), default=0.0) < 0.6


def test_answers_that_take_longer_are_named(watch: Watch) -> None:
    """Latency is a driver of its own; the score is about failures."""
    traffic = Traffic(5, seed=16)
    said = [one for second in seconds(LEARNED, 120) for one in watch.tick(second, counted(traffic.second(), 1500))]
    lead = said[-1].drivers[0]
    assert (lead.name, lead.raises, lead.severity >= 0.6) == ("latency_increase", False, True)
    assert said[-1].band == "low"


def test_numbers_are_those_of_the_traffic(watch: Watch) -> None:
    """Observed and attempts of the driver are a recount of what came since its evidence began."""
    traffic, first = Traffic(5, seed=17), watch.moved + 1
    attempts = {
        second: traffic.second(outage() if second >= first + 900 else None) for second in range(first, first + 930)
    }
    said = [one for second, those in attempts.items() for one in watch.tick(second, counted(those))]
    last = said[-1]
    driver = next(one for one in last.drivers if one.name == "high_failure_rate")
    since = [one for second, those in attempts.items() if driver.since <= second <= last.second for one in those]
    assert first <= driver.since <= first + 900
    assert (driver.attempts, driver.observed) == (len(since), sum(one.counts for one in since))
    assert 0 < driver.expected < 0.1 * driver.attempts


def test_neutral_events_are_traffic_alone(watch: Watch) -> None:
    """Refunds by the hundred change no rate of failures."""
    traffic = Traffic(5, seed=18)
    for second in seconds(LEARNED, 60):
        counts = counted(traffic.second())
        counts.add(REFUND, 50)
        for one in watch.tick(second, counts):
            assert one.score < 0.3
