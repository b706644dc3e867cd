"""What came of the bench: every detector tuned, judged, and put into one row a line of `results/detection.jsonl`."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from benchmarks.detection.peers import PEERS, Peer
from benchmarks.detection.shard import OURS, Measured, Spell
from payflux.commands.backtest.judging import Found, Judgement, judged
from payflux.load.corpus.population import PROCESSORS
from payflux.risk.episodes import Episode

MONTH_DAYS = 30.44
BUDGET = 1.0
"""False alarms a processor-month that a detector is tuned to."""

BUSY = 5.0
"""Events a second from which on a processor is a busy one."""

Volume = Literal["busy", "quiet"]


class DetectorRow(msgspec.Struct, tag="detector"):
    """One detector.

    Attributes:
        detector: what it is called.
        level: what it was tuned to; None for the product's, which was not tuned here.
        tuned: with it there was at most one false alarm a processor-month in the traffic for tuning.
        busy: found, incidents, median delay, 90 % delay at processors of 5 events a second and more; delays in seconds.
        quiet: the same of the others.
        false_per_month: false alarms a processor-month.
        named: of the found, the share whose driver was right at once; None for those that name none.
        episodes: warnings per found incident.
        cleared: median seconds from the end of an incident to that of its warning.
    """

    detector: str
    level: float | None
    tuned: bool
    busy: tuple[int, int, float | None, float | None]
    quiet: tuple[int, int, float | None, float | None]
    false_per_month: float
    named: float | None
    episodes: float | None
    cleared: float | None


class IncidentRow(msgspec.Struct, tag="incident"):
    """One kind of incident, as the product finds it; members as in `DetectorRow`."""

    incident: str
    busy: tuple[int, int, float | None, float | None]
    quiet: tuple[int, int, float | None, float | None]
    named: float | None


class CostRow(msgspec.Struct, tag="cost"):
    """What the product's detector spends on one processor's traffic: microseconds of CPU.

    Attributes:
        processor: by its events a second.
        per_event: of its charts, an event.
        per_second: of its charts, a second, with events or without.
        counting: an event, besides.
    """

    processor: str
    per_event: float
    per_second: float
    counting: float


class BoundRow(msgspec.Struct, tag="bound"):
    """A rise of failures from 8 %, and the shortest delay of any rule that is told all about it; seconds."""

    rate: float
    failing: float
    part: float
    delay: float
    shortest: float


class DisturbedRow(msgspec.Struct, tag="disturbed"):
    """The product beside itself on the same traffic, whose events were disturbed on their way.

    Attributes:
        disturbance: how.
        incidents: found in both.
        lost: found without the disturbance alone.
        later: how much later they were found, in the mean; seconds.
        most: how much later at most.
        false: false alarms more than without.
    """

    disturbance: str
    incidents: int
    lost: int
    later: float
    most: float
    false: int


class TargetRow(msgspec.Struct, tag="target"):
    """What is demanded of the product's detector, and what came of it.

    Attributes:
        target: of what, and where.
        least: the least that is demanded; None when there is none.
        most: the most that is allowed; None when there is none.
        measured: the same in this result; None when there was nothing to measure.
    """

    target: str
    least: float | None
    most: float | None
    measured: float | None

    @property
    def held(self) -> bool:
        """Whether it was held."""
        return self.measured is not None and (
            (self.least is None or self.measured >= self.least) and (self.most is None or self.measured <= self.most)
        )


class About(msgspec.Struct, tag="about"):
    """Of what the rows are: when, where, processor-months tuned on and measured, clean ones, memory of a watch."""

    date: str
    machine: str
    tuning_months: float
    months: float
    clean_months: float
    memory_kb: float


Row = About | DetectorRow | IncidentRow | CostRow | BoundRow | DisturbedRow | TargetRow


class _Judged(NamedTuple):
    """All that one detector did in some shards."""

    found: list[tuple[Volume, Found]]
    false: int


def rows(shards: Sequence[Measured]) -> list[Row]:
    """All rows but what is measured otherwise."""
    tuning = [one for one in shards if one.tuning]
    measured = [one for one in shards if not (one.tuning or one.disturbance)]
    ours = _judged((one, one.warnings) for one in measured)
    found: list[Row] = [_detector(OURS, None, ours, measured, tuned=True)]
    for peer in PEERS:
        place, tuned = _tuned(peer, tuning)
        theirs = _judged((one, _warnings(one, one.peers[peer.title][place])) for one in measured)
        level = peer.levels[place] if len(peer.levels) > 1 else None
        row = _detector(peer.title, level, theirs, measured, tuned=tuned)
        row.named = None
        found.append(row)
    found += _incidents(ours)
    found += _disturbed([one for one in shards if not one.tuning])
    return found


def _warnings(shard: Measured, spells: Iterable[Spell]) -> list[Episode]:
    return [Episode(shard.processor, "", "", "", "", opened, 1.0, ended) for opened, ended in spells]


def _judged(said: Iterable[tuple[Measured, list[Episode]]]) -> _Judged:
    found: list[tuple[Volume, Found]] = []
    false = 0
    for shard, warnings in said:
        judgement = _of(shard, warnings)
        false += len(judgement.false)
        volume: Volume = "busy" if PROCESSORS[shard.processor].rate >= BUSY else "quiet"
        found += [(volume, one) for one in judgement.found]
    return _Judged(found, false)


def _of(shard: Measured, warnings: Sequence[Episode]) -> Judgement:
    return judged(shard.truths, warnings, float("inf"))


def _tuned(peer: Peer, shards: Sequence[Measured]) -> tuple[int, bool]:
    """The place of the most sensitive level that keeps to the budget, and whether any does."""
    months = sum(one.clean_days for one in shards) / MONTH_DAYS
    for place in range(len(peer.levels)):
        said = ((one, _warnings(one, one.peers[peer.title][place])) for one in shards)
        if _judged(said).false <= BUDGET * months:
            return place, True
    return len(peer.levels) - 1, False


def _detector(name: str, level: float | None, said: _Judged, shards: Sequence[Measured], *, tuned: bool) -> DetectorRow:
    every = Judgement([one for _, one in said.found], [])
    found = [one for one in every.found if one.warning is not None]
    months = sum(one.clean_days for one in shards) / MONTH_DAYS
    cleared = sorted(one.cleared for one in found if one.cleared is not None)
    return DetectorRow(
        name,
        level,
        tuned,
        _figures(said.found, "busy"),
        _figures(said.found, "quiet"),
        round(said.false / months, 2),
        _named(found),
        round(sum(one.episodes for one in found) / len(found), 2) if found else None,
        cleared[len(cleared) // 2] if cleared else None,
    )


def _figures(found: Sequence[tuple[Volume, Found]], volume: Volume) -> tuple[int, int, float | None, float | None]:
    judgement = Judgement([one for of, one in found if of == volume], [])
    return len(judgement.delays), len(judgement.found), _short(judgement.middle_delay), _short(judgement.late_delay)


def _named(found: Sequence[Found]) -> float | None:
    return round(sum(one.named for one in found) / len(found), 3) if found else None


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _incidents(ours: _Judged) -> list[Row]:
    names = sorted({one.truth.scenario for _, one in ours.found})
    of = {name: [(volume, one) for volume, one in ours.found if one.truth.scenario == name] for name in names}
    return [
        IncidentRow(
            name,
            _figures(those, "busy"),
            _figures(those, "quiet"),
            _named([one for _, one in those if one.warning is not None]),
        )
        for name, those in of.items()
    ]


def _disturbed(shards: Sequence[Measured]) -> list[Row]:
    plain = {(one.processor, one.plan, one.seed, one.days): one for one in shards if not one.disturbance}
    return [
        _beside(plain[one.processor, one.plan, one.seed, one.days], one)
        for one in sorted(shards, key=lambda one: one.disturbance)
        if one.disturbance
    ]


def _beside(plain: Measured, disturbed: Measured) -> Row:
    before, after = (_of(one, one.warnings) for one in (plain, disturbed))
    delays = {one.truth.start: one.delay for one in after.found if one.warning is not None}
    found = [one for one in before.found if one.warning is not None]
    later = [delays[one.truth.start] - one.delay for one in found if one.truth.start in delays]
    false = len(after.false) - len(before.false)
    figures = (round(sum(later) / len(later), 1), max(later)) if later else (0.0, 0.0)
    return DisturbedRow(disturbed.disturbance, len(later), len(found) - len(later), *figures, false)


def read(data: bytes) -> list[Row]:
    """The rows of a result, one JSON object a line."""
    return [_decode(line) for line in data.splitlines() if line]


def written(found: Iterable[Row]) -> bytes:
    """The same, to be kept."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in found)


_decode = msgspec.json.Decoder(Row).decode
