"""Whose trouble it is: only what counts against the processor raises its score; and what scores and bands may be."""

from bisect import bisect_right
from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from payflux.risk.assessment import BANDS
from payflux.risk.judge import Limits
from payflux.risk.scoring import RISK_SCORE_THRESHOLDS, RISK_SCORE_WINDOW_SEC
from payflux.risk.watch import Watch
from risk_traffic import (
    LEARNED,
    START,
    Memory,
    Traffic,
    counted,
    few,
    minutes,
    outage,
    resumed,
    run,
    seconds,
    seeds,
    segment_outage,
)

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


@st.composite
def settings_given(draw: st.DrawFn) -> Limits:
    """Thresholds and a window that a node starts with, the least and the greatest among them."""
    number = st.one_of(st.sampled_from((1e-9, 0.0001, 0.9999, 1.0)), st.floats(1e-6, 1.0))
    three = sorted(draw(st.lists(number, min_size=3, max_size=3, unique_by=lambda one: f"{one:.12f}")))
    window = draw(st.sampled_from(("20", "300", "86400")))
    thresholds = RISK_SCORE_THRESHOLDS.parse(",".join(f"{one:.12f}" for one in three))
    return Limits(thresholds, RISK_SCORE_WINDOW_SEC.parse(window))


@few
@given(seed=seeds, limits=settings_given(), cold=st.booleans())
def test_scores_are_scores_whatever_is_set(memory: Memory, seed: int, limits: Limits, cold: bool) -> None:
    """From 0 to 1 and never no number; a band is at least the score's own, and higher scores have no lower ones."""
    watch = Watch("stripe", limits, START + LEARNED - 1) if cold else resumed(memory, limits)
    for second, attempts in zip(seconds(LEARNED, 60), minutes(seed), strict=True):
        for said in watch.tick(second, counted(attempts, 300)):
            assert 0.0 <= said.score <= 1.0
            assert BANDS.index(said.band) >= bisect_right(limits.thresholds, said.score)
            for one in said.drivers:
                assert 0.0 <= one.severity <= 1.0
                assert all(map(isfinite, (one.expected, one.odds, one.evidence, one.excess)))
                assert 0 <= one.observed <= one.attempts
