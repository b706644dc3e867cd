"""What is the norm of a processor is learned, and is no trouble."""

from collections.abc import Iterable

import pytest

from payflux.risk.evidence.baseline import Baseline, Verdict
from payflux.risk.evidence.segments import Segments
from payflux.risk.judge import Limits
from payflux.risk.tally import tally
from payflux.risk.watch import Watch
from risk_traffic import START, Traffic, outage, run


def test_nothing_else_exceeds_elevated_before_something_is_learned() -> None:
    """Half of all payments failing in the first hour may be how it is there."""
    watch = Watch("stripe", Limits(), START)
    said = run(watch, Traffic(5, seed=5), 600) + run(watch, Traffic(5, seed=6), 600, outage(share=0.45))
    assert {one.band for one in said} <= {"low", "elevated"}


def test_a_norm_of_many_failures_is_a_norm() -> None:
    """A processor that always declines four of five is loud at first, and low once that is learned."""
    traffic = Traffic(2, declines=0.8, seed=2, categories={"processor_error": 1})
    watch = Watch("stripe", Limits(), START)
    said = run(watch, traffic, 7500)
    assert "critical" in {one.band for one in said}
    assert [one.band for one in said if one.note == "baseline_learned"] == ["low"]
    last = said[-1]
    assert (last.band, last.learned, last.names) == ("low", True, ("nominal_behavior",))


def closed(baseline: Baseline, segments: Segments, verdicts: Iterable[Verdict]) -> None:
    """Blocks of thirty attempts, three of them declined; every other one has a retry, which is declined."""
    for number, verdict in enumerate(verdicts, 1):
        segments.whole.total += tally(30, 0, 3, 30)
        segments.retried.total += tally(number % 2, 0, number % 2, number % 2)
        baseline.close(START + 300 * number, segments, verdict)


def test_retries_are_remembered_for_as_long_as_all_traffic() -> None:
    """They are taken off it to tell what first attempts do: after weeks at a quiet processor as after a day."""
    baseline, segments = Baseline(START), Segments()
    baseline.learned = True
    closed(baseline, segments, ["learn"] * 1200)
    assert segments.retried.size == pytest.approx(segments.whole.size / 60, rel=0.05)
    assert segments.firsts[1] == pytest.approx(2.5 / 29.5 / (3 / 27), rel=0.2)


@pytest.mark.parametrize(
    ("verdicts", "learned"),
    [
        (["learn", "freeze", "freeze", "learn", "learn"], 4),
        (["learn", "freeze", "freeze", "resume", "learn"], 1),
        (["learn", "freeze", "freeze", "accept"], 4),
    ],
)
def test_a_doubt_that_came_to_nothing_is_learned_after_all(verdicts: list[Verdict], learned: int) -> None:
    """Or only good spells would be; a trouble is not, until it has lasted so long that it is the norm."""
    baseline, segments = Baseline(START), Segments()
    baseline.learned = True
    closed(baseline, segments, verdicts)
    assert segments.whole.size == pytest.approx(30 * learned, rel=0.05)


def test_a_doubt_is_more_than_that_once_it_is_reported() -> None:
    """Whenever it was, in the whole time in which nothing was learned."""
    baseline = Baseline(START)
    baseline.learned = True
    doubts = [(True, False), (True, True), (True, False), (False, False), (True, False), (False, False)]
    verdicts = [baseline.verdict(alarmed=alarmed, confirmed=confirmed) for alarmed, confirmed in doubts]
    assert verdicts == ["freeze", "freeze", "freeze", "resume", "freeze", "learn"]
