"""Whose trouble it is: only what counts against the processor raises its score."""

from payflux.risk.watch import Watch
from risk_traffic import Traffic, outage, run, segment_outage

GEO, ISSUER = 0, 2


def test_an_issuer_that_is_down_is_named_and_not_held_against_the_processor(watch: Watch) -> None:
    """Whoever rerouted because of it would leave a healthy processor."""
    said = run(watch, Traffic(5, seed=10), 240, segment_outage(ISSUER, "GB", "issuer_unavailable"))
    assert {one.band for one in said} == {"low"}
    assert max(one.score for one in said) < 0.3
    lead = said[-1].drivers[0]
    assert (lead.dimension, lead.value, lead.raises, lead.band) == ("issuer", "GB", False, "critical")


def test_authentication_that_fails_is_named_and_not_held_against_the_processor(watch: Watch) -> None:
    """Cardholders who fail to authenticate are a trouble of its own."""
    said = run(watch, Traffic(5, seed=11), 180, outage("authentication_failed", 0.3))
    assert max(one.score for one in said) < 0.3
    lead = said[-1].drivers[0]
    assert (lead.name, lead.raises, lead.severity >= 0.6) == ("auth_failure_cluster", False, True)


def test_soft_declines_at_most_issuers_are_the_processors(watch: Watch) -> None:
    """No issuer makes all the others decline as well."""
    said = run(watch, Traffic(5, seed=12), 180, outage("do_not_honor", 0.5))
    assert said[-1].band in {"high", "critical"}
    assert any(one.raises and one.value == "soft_declines" for one in said[-1].drivers)
