"""A shard of the bench: some days of one processor, what really happened in it, and what each detector said."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks.detection.columns import SPAN, Ints
from benchmarks.detection.disturbances import disturbed
from benchmarks.detection.peers import PEERS
from benchmarks.detection.seconds import Tally, counted, parts
from payflux.commands.backtest.judging import AFTERMATH_SEC, Truth
from payflux.load.corpus.lanes import Lane
from payflux.load.corpus.population import PROCESSORS
from payflux.load.corpus.scenarios import Incident, label_of
from payflux.load.corpus.schedule import DAY, planned
from payflux.load.traffic import Traffic
from payflux.risk.episodes import Episode, Episodes
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation
from payflux.risk.watch import Watch

START = 1_767_225_600
"""A Thursday, midnight UTC."""

WARM_UP_SEC = 1.1 * DAY
HOLD_SEC = 300
OURS = "PayFlux"

Spell = tuple[int, int | None]
"""When a warning began, and when it ended; seconds."""


class Shard(NamedTuple):
    """What is to be measured.

    Attributes:
        processor: a name in `PROCESSORS`.
        plan: `corpus` (with incidents) or `benign` (without).
        days: how much of it.
        seed: of the traffic.
        ours: whether the product's detector is to be measured; else only those that are to be tuned.
        disturbance: what happens to its events on their way, one of `DISTURBANCES`; then only the product's detector is
            measured.
    """

    processor: str
    plan: str
    days: float
    seed: int
    ours: bool = True
    disturbance: str = ""

    @property
    def name(self) -> str:
        """Of its file."""
        more = f"-{self.disturbance.replace(' ', '_')}" if self.disturbance else "" if self.ours else "-tuning"
        return f"{self.processor}-{self.plan}-{self.days:g}-{self.seed}{more}"


class Measured(msgspec.Struct):
    """What came of a shard.

    Attributes:
        processor: whose traffic.
        tuning: it is for tuning only.
        plan: of the shard, as are seed and disturbance.
        seed: see there.
        disturbance: see there.
        days: of traffic.
        clean_days: those in which no incident was on, nor over for less than half an hour.
        truths: what really happened.
        warnings: the product's.
        crossings: the same as they were at the moment they began.
        peers: spells of each peer, by its title and level.
    """

    processor: str
    tuning: bool
    plan: str
    seed: int
    disturbance: str
    days: float
    clean_days: float
    truths: list[Truth]
    warnings: list[Episode]
    crossings: list[Episode]
    peers: dict[str, list[list[Spell]]]


def measured(shard: Shard) -> Measured:
    """Run every detector over a shard."""
    incidents, lane = _planned(shard)
    seconds = int(shard.days * DAY)
    tally, watch, episodes = Tally(seconds), Watch(shard.processor, Limits(), START), Episodes()
    known: dict[int, Observation] = {}
    crossings: list[Episode] = []
    for rows in disturbed(parts(lane, seconds), shard.disturbance, 1000 * SPAN, shard.seed):
        tally.add(rows.rows(rows.at < 1000 * seconds))
        for second, counts in counted(rows, known) if shard.ours else ():
            for one in watch.tick(START + second, counts):
                episodes.take(one)
                crossings += map(copy, episodes.found[len(crossings) :])
    peers = {}
    for peer in () if shard.disturbance else PEERS:
        fires = peer.fires(tally.series)
        peers[peer.title] = [spells(fires(level)) for level in peer.levels]
    truths = [msgspec.convert(label_of(one, START, seconds)._asdict(), Truth) for one in incidents]
    clean = _clean_days(truths, shard.days)
    about = shard.processor, not shard.ours, shard.plan, shard.seed, shard.disturbance, shard.days, clean
    return Measured(*about, truths, episodes.found, crossings, peers)


def _planned(shard: Shard) -> tuple[list[Incident], Lane]:
    processors = {shard.processor: PROCESSORS[shard.processor]}
    incidents = []
    for one in planned([shard.plan], shard.seed, START, processors, WARM_UP_SEC):
        if one.start >= shard.days * DAY:
            break
        incidents.append(one)
    return incidents, Traffic(shard.seed, START, iter(incidents), processors).lanes()[0]


def _clean_days(truths: Sequence[Truth], days: float) -> float:
    """Days that are no incident's, nor within half an hour after one."""
    clean, free = days * DAY, 0.0
    for truth in sorted((one for one in truths if not one.benign), key=lambda one: one.began):
        began, ended = truth.began - START, min(truth.ended - START + AFTERMATH_SEC, days * DAY)
        clean -= max(ended - max(began, free), 0.0)
        free = max(free, ended)
    return clean / DAY


def spells(fired: Ints) -> list[Spell]:
    """Warnings of a rule: on from the end of a second at which it fires, until it has been silent for five minutes."""
    if not len(fired):
        return []
    gaps = np.flatnonzero(np.diff(fired) > HOLD_SEC)
    begun = fired[np.concatenate(([0], gaps + 1))].tolist()
    last = fired[np.concatenate((gaps, [len(fired) - 1]))].tolist()
    return [(START + first + 1, START + final + 1 + HOLD_SEC) for first, final in zip(begun, last, strict=True)]


def run(shard: Shard, folder: Path) -> Path:
    """Measure a shard, unless that was done before; returns its file."""
    file = folder / f"{shard.name}.json"
    if not file.exists():
        found = msgspec.json.encode(measured(shard))
        unfinished = file.with_suffix(".part")
        unfinished.write_bytes(found)
        unfinished.rename(file)
    return file
