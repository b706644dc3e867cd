"""What is demanded of the detector, judged by a recount."""

from datetime import UTC, datetime

import pytest

from benchmarks.detection.shard import START, Measured
from benchmarks.detection.tables import About, BoundRow, CostRow, Row, TargetRow
from benchmarks.detection.targets import targets
from payflux.commands.backtest.judging import Truth
from payflux.risk.episodes import Episode


def at(second: int) -> datetime:
    """A time."""
    return datetime.fromtimestamp(START + second, UTC)


def warning(driver: str, opened: int, resolved: int) -> Episode:
    """A warning of a processor."""
    return Episode("p5", driver, "", "", "high", START + opened, 0.9, START + resolved)


def measured(*, tuning: bool = False) -> Measured:
    """A month with three outages: one named late, one warned of twice, one missed; and one false alarm."""
    truths = [Truth("outage", "p5", at(1000 * n), at(1000 * n + 500), "high_failure_rate") for n in (10, 20, 30)]
    said = [
        *(warning("high_failure_rate", 10_010, 10_600), warning("high_failure_rate", 20_020, 20_100)),
        *(warning("high_failure_rate", 20_200, 21_900), warning("volume_drop", 50_000, 50_100)),
    ]
    crossings = [warning("volume_drop", 10_010, 10_600), *said[1:]]
    return Measured("p5", tuning, "corpus", 1, "", 30.44, 30.44, truths, said, crossings, {})


@pytest.fixture(name="found")
def found_() -> dict[str, TargetRow]:
    """What came of such a month, by target."""
    bounds = [
        BoundRow(50.0, 0.2, 1.0, 2.0, 0.9),
        BoundRow(20.0, 0.2, 1.0, 4.5, 2.0),
        BoundRow(5.0, 0.12, 1.0, 20.5, 10),
    ]
    rest: list[Row] = [
        *bounds,
        CostRow("p5", 1.0, 260.0, 0.9),
        CostRow("p200", 1.0, 240.0, 1.6),
        About("", "", 1.0, 1.0, 1.0, 300.0),
    ]
    return {row.target: row for row in targets([measured(), measured(tuning=True)], rest)}


@pytest.mark.parametrize(
    ("target", "figure", "held"),
    [
        ("false alarms a processor-month", 1.0, True),
        ("share found at 5 events/s and more", 0.667, False),
        ("half of them within, seconds", 15.0, False),
        ("share found at fewer", None, False),
        ("share named rightly at once", 0.5, False),
        ("share named rightly a minute later", 1.0, True),
        ("warnings an incident at 5 events/s and more", 1.5, False),
        ("half of them over within, seconds", 750.0, False),
        ("times the shortest delay at 20 events/s and more, from 8 % to 20 % and up", 2.0, False),
        ("the same from 8 % to 12 %", None, False),
        ("times the shortest delay at 5 events/s", 2.0, False),
        ("charts of `p5`, µs a second", 260.0, False),
        ("charts of `p200`, µs a second", 240.0, True),
        ("counting at `p200`, µs an event", 1.6, False),
        ("KB a processor", 300.0, True),
    ],
)
def test_a_target_is_held_or_it_is_said_to_be_missed(
    found: dict[str, TargetRow], target: str, figure: float | None, held: bool
) -> None:
    """Shards for tuning do not count, nor does what there is too little of to measure."""
    assert (found[target].measured, found[target].held) == (figure, held)
