"""What is demanded of the product's detector, beside what was measured of it."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median, quantiles

from benchmarks.detection.shard import HOLD_SEC, START, Measured
from benchmarks.detection.tables import BUSY, MONTH_DAYS, About, BoundRow, CostRow, DisturbedRow, Row, TargetRow
from payflux.commands.backtest.judging import Found, Judgement, judged, names
from payflux.load.corpus.population import PROCESSORS
from payflux.load.corpus.schedule import DAY

FALSE_A_MONTH = 1.0
FOUND_BUSY, FOUND_QUIET = 0.98, 0.72
MIDDLE_DELAY = 12.0
NAMED_AT_ONCE, NAMED_LATER = 0.95, 0.87
EPISODES = 1.05
CLEARED = 2.0 * HOLD_SEC
SHARP, MILD, SLOW = 1.5, 1.9, 1.7
"""Times the shortest delay: for rises that are not mild, for the mildest, and at five events a second."""

MILDEST = 0.12
HALF_A_TICK = 0.5
DISTURBED_LATER = 3.0
PER_SECOND_US, MEMORY_KB = 250.0, 1024.0
COUNTED_AT, COUNTING_US = 200.0, 1.5


def targets(shards: Sequence[Measured], rows: Sequence[Row]) -> list[TargetRow]:
    """Every target.

    Args:
        shards: what was measured; those for tuning are left out.
        rows: the rest of the result: bounds, costs and memory.
    """
    measured = [one for one in shards if not (one.tuning or one.disturbance)]
    bounds = [row for row in rows if isinstance(row, BoundRow)]
    return [*_detection(measured), *_bounds(bounds), *_disturbed(rows), *_costs(rows)]


def _detection(shards: Sequence[Measured]) -> Iterator[TargetRow]:
    judgements = [(one, judged(one.truths, one.warnings, float("inf"))) for one in shards]
    months = sum(one.clean_days for one in shards) / MONTH_DAYS
    false = sum(len(judgement.false) for _, judgement in judgements)
    yield TargetRow("false alarms a processor-month", None, FALSE_A_MONTH, round(false / months, 2))
    busy = [(one, judgement) for one, judgement in judgements if PROCESSORS[one.processor].rate >= BUSY]
    quiet = [(one, judgement) for one, judgement in judgements if PROCESSORS[one.processor].rate < BUSY]
    whole = Judgement([one for _, judgement in busy for one in judgement.found], [])
    yield TargetRow("share found at 5 events/s and more", FOUND_BUSY, None, _found(busy))
    yield TargetRow("half of them within, seconds", None, MIDDLE_DELAY, whole.middle_delay)
    yield TargetRow("share found at fewer", FOUND_QUIET, None, _found(quiet))
    at_once, later = zip(*(_named(one, found) for one, those in judgements for found in _of(those)), strict=True)
    yield TargetRow("share named rightly at once", NAMED_AT_ONCE, None, _share(at_once))
    yield TargetRow("share named rightly a minute later", NAMED_LATER, None, _share(later))
    found = [one for _, those in busy for one in _of(those)]
    episodes = round(sum(one.episodes for one in found) / len(found), 3) if found else None
    yield TargetRow("warnings an incident at 5 events/s and more", None, EPISODES, episodes)
    cleared = sorted(_cleared(one) for shard, those in busy for one in _of(those) if _is_over(shard, one))
    yield TargetRow("half of them over within, seconds", None, CLEARED, median(cleared) if cleared else None)
    late = quantiles(cleared, n=10, method="inclusive")[-1] if len(cleared) > 1 else None
    yield TargetRow("nine of ten over within, seconds", None, CLEARED, late)


def _of(judgement: Judgement) -> list[Found]:
    return [one for one in judgement.found if one.warning is not None]


def _found(judgements: Sequence[tuple[Measured, Judgement]]) -> float | None:
    every = [one.warning is not None for _, judgement in judgements for one in judgement.found]
    return _share(every)


def _named(shard: Measured, found: Found) -> tuple[bool, bool]:
    """Whether the driver of an incident that was found was right when the warning began, and a minute later."""
    assert found.warning is not None
    first = shard.crossings[shard.warnings.index(found.warning)]
    return names(first, found.truth), found.named


def _is_over(shard: Measured, found: Found) -> bool:
    """Whether the traffic went on for so long after an incident that its warning had the time to end."""
    return found.cleared is not None or found.truth.ended + CLEARED < START + shard.days * DAY


def _cleared(found: Found) -> float:
    return float("inf") if found.cleared is None else found.cleared


def _share(those: Sequence[bool]) -> float | None:
    return round(sum(those) / len(those), 3) if those else None


def _bounds(rows: Sequence[BoundRow]) -> Iterator[TargetRow]:
    """The delays less half a tick over the shortest, the worst of each kind, where that is a second at least."""
    kinds: dict[tuple[str, float], list[float]] = {
        ("times the shortest delay at 20 events/s and more, from 8 % to 20 % and up", SHARP): [],
        ("the same from 8 % to 12 %", MILD): [],
        ("times the shortest delay at 5 events/s", SLOW): [],
    }
    places = list(kinds)
    for row in rows:
        place = places[2] if row.rate < 20.0 else places[1] if row.failing <= MILDEST else places[0]
        if row.shortest >= 1.0:
            kinds[place].append(round((row.delay - HALF_A_TICK) / row.shortest, 2))
    for (target, most), ratios in kinds.items():
        yield TargetRow(target, None, most, max(ratios, default=None))


def _disturbed(rows: Iterable[Row]) -> Iterator[TargetRow]:
    for row in rows:
        if isinstance(row, DisturbedRow):
            yield TargetRow(f"{row.disturbance}: seconds later in the mean", None, DISTURBED_LATER, row.later)
            yield TargetRow(f"{row.disturbance}: more false alarms", None, 0.0, float(row.false))


def _costs(rows: Iterable[Row]) -> Iterator[TargetRow]:
    for row in rows:
        if isinstance(row, CostRow):
            yield TargetRow(f"charts of `{row.processor}`, µs a second", None, PER_SECOND_US, row.per_second)
            if PROCESSORS[row.processor].rate >= COUNTED_AT:
                yield TargetRow(f"counting at `{row.processor}`, µs an event", None, COUNTING_US, row.counting)
        if isinstance(row, About):
            yield TargetRow("KB a processor", None, MEMORY_KB, row.memory_kb)
