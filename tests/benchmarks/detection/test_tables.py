"""How detectors are tuned and judged."""

from datetime import UTC, datetime

import numpy as np

from benchmarks.detection.peers import PEERS
from benchmarks.detection.shard import HOLD_SEC, START, Measured, Spell, spells
from benchmarks.detection.tables import DetectorRow, IncidentRow, read, rows, written
from payflux.commands.backtest.judging import Truth
from payflux.risk.episodes import Episode

TUNED = "static ratio, 5 min for 5 min"


def at(second: int) -> datetime:
    """A time."""
    return datetime.fromtimestamp(START + second, UTC)


def shard(peer: list[list[Spell]], *, tuning: bool, warnings: list[Episode]) -> Measured:
    """A month in which one outage was, and what one rule said at each level; all others said nothing."""
    said: dict[str, list[list[Spell]]] = {one.title: [[] for _ in one.levels] for one in PEERS}
    said[TUNED] = peer
    truth = Truth("outage", "p5", at(1000), at(2000), "high_failure_rate")
    return Measured("p5", tuning, "corpus", 1, "", 30.44, 30.44, [truth], warnings, warnings, said)


def test_a_peer_is_tuned_to_one_false_alarm_a_month() -> None:
    """The most sensitive level that keeps to it, on other traffic than it is measured on."""
    levels = next(len(one.levels) for one in PEERS if one.title == TUNED)
    false: list[Spell] = [(START + 10_000 * number, START + 10_000 * number + 60) for number in range(2, 5)]
    found: Spell = (START + 1100, START + 2100)
    peer: list[list[Spell]] = [[found, *false], [found, *false[:2]], [found, false[0]], *[[found]] * (levels - 3)]
    ours = Episode("p5", "high_failure_rate", "", "", "high", START + 1001, 0.9, START + 2100)
    measured = [shard(peer, tuning=True, warnings=[]), shard(peer, tuning=False, warnings=[ours])]
    result = rows(measured)
    assert read(written(result)) == result
    detectors = {row.detector: row for row in result if isinstance(row, DetectorRow)}
    tuned = detectors[TUNED]
    assert (tuned.level, tuned.tuned, tuned.false_per_month) == (0.16, True, 1.0)
    assert (tuned.busy, tuned.quiet, tuned.named) == ((1, 1, 100.0, 100.0), (0, 0, None, None), None)
    own = detectors["PayFlux"]
    assert (own.busy, own.named, own.episodes, own.cleared) == ((1, 1, 1.0, 1.0), 1.0, 1.0, 100.0)
    assert [row.incident for row in result if isinstance(row, IncidentRow)] == ["outage"]


def test_a_rule_warns_until_it_was_silent_for_a_while() -> None:
    """As the product does."""
    fired = np.array([10, 11, 11 + HOLD_SEC, 12 + 2 * HOLD_SEC + 1])
    assert [(first - START, last - START) for first, last in spells(fired) if last is not None] == [
        (11, 12 + 2 * HOLD_SEC),
        (14 + 2 * HOLD_SEC, 14 + 3 * HOLD_SEC),
    ]
    assert spells(np.array([], np.int64)) == []
