"""The rules that PayFlux is compared with."""

from collections.abc import Iterable
from random import Random

import pytest

from payflux.commands.backtest.rules import HOLD_SEC, Compared

Attempt = tuple[int, bool]


def episodes(rule: str, attempts: Iterable[Attempt]) -> list[tuple[int, int | None]]:
    """When a rule warned, and until when."""
    compared = Compared(rule)
    for second, failed in attempts:
        compared.take(second, "stripe", failed=failed)
    return [(one.opened_at, one.resolved_at) for one in compared.found]


def steady(first: int, last: int, every: int = 10) -> list[Attempt]:
    """Two attempts a second, one of so many fails."""
    return [(second, not at % every) for at, second in enumerate(s for s in range(first, last) for _ in range(2))]


def test_a_ratio_must_be_above_for_as_long_again() -> None:
    """Half of all failing for ten minutes: the window says so early, the rule only minutes later, and long after."""
    log = steady(0, 1000) + steady(1000, 1600, every=2) + steady(1600, 3000)
    [(opened, resolved)] = episodes("static:0.27:300s", log)
    above = next(at for at in range(1000, 1600, 10) if ratio(log, at, 300) > 0.27)
    below = next(at for at in range(1600, 2200, 10) if ratio(log, at, 300) <= 0.27)
    assert opened == above + 300
    assert resolved is not None
    assert resolved == below - 10 + HOLD_SEC


def ratio(log: list[Attempt], at: int, seconds: int) -> float:
    """Of the failures in a window, counted anew."""
    window = [failed for second, failed in log if at - seconds <= second < at]
    return sum(window) / len(window)


def test_a_short_rise_is_no_rise() -> None:
    """Nor are a few failures where there is little traffic."""
    assert episodes("static:0.27:300s", steady(0, 1000) + steady(1000, 1060, every=1) + steady(1060, 3000)) == []
    assert episodes("static:0.27:300s", [(60 * at, True) for at in range(100)]) == []


def test_a_ratio_goes_with_the_window_when_nothing_comes() -> None:
    """Traffic that stops leaves nothing to divide: the warning ends before the next attempt."""
    [(opened, resolved)] = episodes("static:0.27:300s", [*steady(0, 1000, every=2), (9000, False)])
    assert opened == 10 + 300
    assert resolved is not None
    assert 1000 + 300 - 20 <= resolved - HOLD_SEC <= 1000 + 300


def test_the_last_attempts_are_those_before() -> None:
    """The rate of success is that of a recount at every attempt."""
    random = Random(7)
    log = [(second, random.random() < (0.5 if 300 <= second < 600 else 0.1)) for second in range(1500)]
    low = [at for at in range(49, 1500) if sum(not failed for _, failed in log[at - 49 : at + 1]) < 33]
    [(opened, resolved)] = episodes("srv3:50", log)
    assert opened == low[0] + 1
    assert resolved == low[-1] + 1 + HOLD_SEC


def test_processors_do_not_mix() -> None:
    """Each has a window of its own."""
    compared = Compared("srv3:10")
    for second in range(100):
        compared.take(second, "good", failed=False)
        compared.take(second, "bad", failed=True)
    assert [one.processor for one in compared.found] == ["bad"]


@pytest.mark.parametrize(
    "text",
    [
        "static",
        "static:2:300s",
        "static:0.2:300",
        "static:0.2:0s",
        "srv3",
        "srv3:0",
        "srv3:x",
        "burn:1",
        "static:nan:5s",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    """With the two that there are."""
    with pytest.raises(ValueError, match=r"static:0\.27:300s"):
        Compared(text)
