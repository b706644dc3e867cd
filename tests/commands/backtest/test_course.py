"""The course of a backtest."""

from collections.abc import Iterator

import pytest

from payflux.commands.backtest.course import Course, Score
from payflux.commands.backtest.history import Entry, Timed
from payflux.commands.backtest.rules import Compared
from payflux.commands.backtest.scenario import START, Staged
from payflux.event.outcome import NOTHING_DECLARED
from payflux.risk.assessment import RiskAssessment
from payflux.risk.episodes import Episodes
from payflux.risk.judge import Limits
from payflux.risk.reading import observed
from payflux.risk.scoring import Scorer


@pytest.fixture(scope="module")
def history() -> list[Timed]:
    """Three hours of normal traffic at half an event a second, then an outage."""
    return list(Staged(["outage"], "p0_5", 5, warm_up=9000.0, duration=9600.0).history(lambda _: None))


def ticked_every_second(history: list[Timed]) -> Iterator[RiskAssessment]:
    """What a node says that looks at its clock every second."""
    scorer = Scorer(Limits())
    waiting = list(history)
    for second in range(int(START), int(START) + 9600):
        while waiting and waiting[0].at_ms < 1000 * (second + 1):
            at_ms, entry = waiting.pop(0)
            seen = observed(entry)
            assert seen is not None
            scorer.observe(at_ms, entry.processor, seen, entry.latency_ms, entry.currency, entry.amount_minor)
        yield from scorer.tick(second)


def test_a_backtest_says_what_a_node_says(history: list[Timed]) -> None:
    """Whether a tick comes every second or with the next event makes no difference to scores and warnings."""
    kept: list[Score] = []
    course = Course(Limits(), NOTHING_DECLARED, "high", keep=kept.append)
    course.run(history)
    log = list(ticked_every_second(history))
    episodes = Episodes()
    for one in log:
        episodes.take(one)
    assert course.warnings == episodes.found
    [warning] = course.warnings
    assert 0 < warning.opened_at - START - 9000 < 60
    upto = history[-1].at_ms // 1000
    told = [
        Score(one.second + 1, one.processor, one.score, one.band, one.names[0]) for one in log if one.second <= upto
    ]
    assert kept == told


def test_it_knows_from_when_to_when_it_went(history: list[Timed]) -> None:
    """From the second of the first event to the end of that of the last."""
    course = Course(Limits(), NOTHING_DECLARED, "high")
    course.run(history)
    assert course.seconds == (history[0].at_ms // 1000, history[-1].at_ms // 1000 + 1)


def test_rules_see_attempts_alone() -> None:
    """A test, or an event that says no outcome, is nothing to a ratio."""
    rule = Compared("srv3:3")
    entries = [Entry(kind, "p") for kind in ("payment_failed", "test", "payment_created", "payment_failed")]
    Course(Limits(), NOTHING_DECLARED, "high", [rule]).run(Timed(1000 * at, one) for at, one in enumerate(entries))
    assert rule.found == []
    more = [Entry("payment_failed", "p")] * 3
    Course(Limits(), NOTHING_DECLARED, "high", [rule]).run(Timed(1000 * at, one) for at, one in enumerate(more, 9))
    assert len(rule.found) == 1


def test_declared_outcomes_are_heard() -> None:
    """A type of one's own fails as the operator says."""
    rule = Compared("srv3:3")
    course = Course(Limits(), frozenset({("order.gone", "failure")}), "high", [rule])
    course.run(Timed(1000 * at, Entry("order.gone", "p")) for at in range(5))
    assert [one.processor for one in rule.found] == ["p"]
