"""What is the norm of a processor is learned, and is no trouble."""

from payflux.risk.judge import Limits
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
