"""Snapshots: all that a watch knows as plain data, so that it goes on elsewhere as if nothing had happened.

What follows from the rest is left out; everything else is kept to the bit.
"""

from collections import deque
from typing import Any

import msgspec

from payflux.risk.assessment import RiskAssessment
from payflux.risk.detectors.registry import KINDS
from payflux.risk.drivers import Finding
from payflux.risk.evidence.baseline import Baseline, Level
from payflux.risk.evidence.breadth import Breadth
from payflux.risk.evidence.charts import Bank
from payflux.risk.evidence.latencies import Latencies
from payflux.risk.evidence.segments import Segments
from payflux.risk.evidence.shares import Group
from payflux.risk.evidence.side_streams import ELSEWHERE, SideStreams
from payflux.risk.evidence.streams import (
    CATEGORY,
    GEO_SHARE,
    OTHER_CATEGORY,
    Dispersion,
    Effect,
    Segment,
    Share,
    Stream,
)
from payflux.risk.evidence.volume import Profile, Volume
from payflux.risk.judge import Active, Judge, Limits
from payflux.risk.severity import Hold
from payflux.risk.watch import Watch

VERSION = 4
"""Goes up when the data change; older ones are not read, and their processor is learned anew."""

KEPT: dict[type, tuple[str, ...]] = {
    Bank: (
        *("levels", "marks", "live", "awake", "recovery", "alarm", "began", "beats", "margin", "calm", "price"),
        "touched",
    ),
    Dispersion: ("total", "windows", "opened", "before"),
    Stream: ("bank", "dispersion", "hits", "mean", "ratio", "scale", "taken"),
    Segment: ("total", "opened", "pending", "size", "seen", "charted", "counted", "other"),
    Segments: ("whole", "retried", "firsts", "odds"),
    Share: ("total", "hits", "current", "pending", "seen", "taken", "stream"),
    Group: ("sizes", "current", "pending"),
    Latencies: ("share", "sizes", "current", "pending", "slow", "rate"),
    SideStreams: ("latencies", "failing", "geo_step", "geo_totals", "geo_before"),
    Level: ("hits", "mean"),
    Baseline: ("begun", "attempts", "learned", "frozen", "confirmed", "levels"),
    Profile: ("rates", "current", "since", "learned"),
    Volume: (
        *("levels", "marks", "anchor", "begun", "events", "current", "pending", "due", "low", "high", "level", "share"),
        *("frozen", "day", "week", "window", "jumps", "calm"),
    ),
    Hold: ("band", "below"),
    Judge: ("hold", "led"),
    Watch: (
        *("touched", "moved", "segments", "baseline", "sides", "volume", "judge", "alarmed", "confirmed"),
        *("volume_alarmed", "note", "dormant", "dispersed", "window", "block_end", "due"),
    ),
}
"""What is kept of each class."""

_GROUPS = ("categories", "soft", "retries", "cards", "geos", "signs")


def snapshot(watch: Watch) -> dict[str, Any]:
    """All a watch knows, between two ticks: dictionaries, lists, numbers and texts, fit for any encoding.

    Args:
        watch: any.
    """
    streams = {stream: at for at, stream in enumerate(watch.streams())}
    judge = watch.judge
    return {
        "version": VERSION,
        "watch": _freeze(watch),
        "dimensions": [_freeze(values) for values in watch.segments.dimensions],
        "groups": {name: [_freeze(group), _freeze(group.shares)] for name, group in _groups(watch.sides)},
        "breadth": [[at, value, hex(total)] for (at, value), total in watch.sides.breadth.marks.items()],
        "hot": [streams[stream] for stream in watch.hot if stream in streams],
        "active": [
            [*key, _freeze(active.hold), active.order, _finding(active.finding)] for key, active in judge.active.items()
        ],
        "signs": list(KINDS),
        "lead": judge.lead,
        "last": msgspec.to_builtins(judge.last),
    }


def restore(processor: str, limits: Limits, data: dict[str, Any]) -> Watch:
    """A watch that goes on from a snapshot.

    Args:
        processor: whose it is.
        limits: thresholds and hold; need not be those it was taken with.
        data: what `snapshot` gave, before or after any encoding.

    Raises:
        ValueError: it is of another version, or of other detectors.
    """
    if data.get("version") != VERSION:
        raise ValueError(f"snapshot of version {data.get('version')!r}: expected {VERSION}")
    if data.get("signs") != list(KINDS):
        raise ValueError(f"snapshot of other detectors, {data.get('signs')!r}: expected {list(KINDS)}")
    watch = Watch(processor, limits, 0)
    for at, values in enumerate(data["dimensions"]):
        for value, kept in values.items():
            _thaw(watch.segments.add(at, value), kept)
    for name, group in _groups(watch.sides):
        own, shares = data["groups"][name]
        _thaw(group, own)
        group.admit({value: _kind(name, value) for value in shares if value not in group.shares})
        group.shares = {value: group.shares[value] for value in shares}
        for value, kept in shares.items():
            _thaw(group.shares[value], kept)
    _thaw(watch, data["watch"])
    _resume(watch, data)
    return watch


def _resume(watch: Watch, data: dict[str, Any]) -> None:
    """What refers to other parts, once they are there."""
    marks = {(at, value): int(total, 16) for at, value, total in data["breadth"]}
    watch.sides.breadth = Breadth(marks)
    streams = watch.streams()
    watch.hot = dict.fromkeys(streams[at] for at in data["hot"])
    for name, dimension, value, raises, hold, order, finding in data["active"]:
        key = (name, dimension, value, raises)
        since, numbers = tuple(map(_number, finding[3])), Effect(*finding[4])
        found = Finding(key, finding[0], finding[1], finding[2], since, numbers, None)
        watch.judge.active[key] = Active(Hold(*hold), (order[0], order[1]), found)
    lead = data["lead"]
    watch.judge.lead = (lead[0], lead[1], lead[2], lead[3]) if lead else None
    watch.judge.last = msgspec.convert(data["last"], RiskAssessment)


def _groups(sides: SideStreams) -> list[tuple[str, Group]]:
    return list(zip(_GROUPS, sides.groups(), strict=True))


def _kind(group: str, value: str) -> Any:
    if group == "geos":
        return GEO_SHARE
    return OTHER_CATEGORY if value.endswith(ELSEWHERE) else CATEGORY


def _finding(found: Finding) -> list[Any]:
    return [found.severity, found.evidence, found.rank, _freeze(found.mark), list(found.effect)]


def _freeze(value: Any) -> Any:
    names = KEPT.get(type(value))
    if names is not None:
        return [_freeze(getattr(value, name)) for name in names]
    if isinstance(value, dict):
        return {key: _freeze(one) for key, one in value.items()}
    if isinstance(value, list | tuple | deque):
        return [_freeze(one) for one in value]
    # Tallies are wider than the integers of most encodings.
    return hex(value) if isinstance(value, int) and value >> 63 > 0 else value


def _thaw(target: Any, kept: list[Any]) -> None:
    for name, value in zip(KEPT[type(target)], kept, strict=True):
        fresh = getattr(target, name)
        if type(fresh) in KEPT:
            _thaw(fresh, value)
        elif isinstance(fresh, tuple) and fresh and type(fresh[0]) in KEPT:
            for one, part in zip(fresh, value, strict=True):
                _thaw(one, part)
        elif isinstance(fresh, dict):
            setattr(target, name, {key: _number(one) for key, one in value.items()})
        elif isinstance(fresh, list | tuple | deque):
            setattr(target, name, type(fresh)(map(_number, value)))
        else:
            setattr(target, name, _number(value))


def _number(value: Any) -> Any:
    """What stands for a number, or for several in a row."""
    if isinstance(value, list | tuple):
        return tuple(map(_number, value))
    return int(value, 16) if isinstance(value, str) and value.startswith("0x") else value
