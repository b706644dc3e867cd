"""What the detector spends on a processor: the least CPU of some runs over the same stretch of its traffic.

Other work on the machine makes a run dearer, never cheaper: so a stretch is cut into pieces, and of each the cheapest
run counts.
"""

import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple, TypeVar

from benchmarks.detection.seconds import counted, parts
from benchmarks.detection.shard import START as MIDNIGHT
from benchmarks.detection.tables import CostRow
from payflux.load.corpus.population import PROCESSORS
from payflux.load.traffic import Traffic
from payflux.risk.counts import Counts
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation
from payflux.risk.scoring import Scorer
from payflux.risk.snapshot import restore, snapshot
from payflux.risk.watch import Watch

SEED = 3001
START = MIDNIGHT + 5 * 3600
"""From seven in the morning on processors have about as many events a second as their names say."""

RUNS = 5
PIECES = 12
LATENCY_MS = 180
IDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(4096)]

Seconds = Sequence[tuple[int, Counts]]
"""The seconds with events, and what happened in them."""


Piece = TypeVar("Piece")


class Stretch(NamedTuple):
    """What is run over.

    Attributes:
        processor: a name in `PROCESSORS`.
        learned: seconds before it, from which the detector learns what is normal.
        seconds: how long it is.
    """

    processor: str
    learned: int
    seconds: int


STRETCHES = (
    Stretch("p0_05", 100_000, 72_000),
    Stretch("p0_5", 10_800, 14_400),
    Stretch("p5", 7_800, 3_600),
    Stretch("p20", 7_800, 2_400),
    Stretch("p50", 7_800, 1_200),
    Stretch("p200", 7_800, 600),
)
"""Of every processor: two hours and 2,000 attempts are learned from, or a day; then blocks of five minutes."""


def costs(stretches: Sequence[Stretch] = STRETCHES, runs: int = RUNS) -> Iterator[CostRow]:
    """Measure every stretch so many times."""
    for stretch in stretches:
        before, during = _traffic(stretch)
        events = sum(sum(counts.events.values()) for _, counts in during)
        charts, counting = _charts(stretch, before, during, runs), _counting(stretch.processor, during, runs)
        figures = charts / events, charts / stretch.seconds, counting / events
        yield CostRow(stretch.processor, *(round(figure / 1000, 2) for figure in figures))


def _traffic(stretch: Stretch) -> tuple[Seconds, Seconds]:
    """The seconds to learn from, and those to run over."""
    name, until = stretch.processor, stretch.learned + stretch.seconds
    lane = Traffic(SEED, START, (), {name: PROCESSORS[name]}).lanes()[0]
    known: dict[int, Observation] = {}
    every = [one for rows in parts(lane, until) for one in counted(rows, known)]
    learned = sum(second < stretch.learned for second, _ in every)
    return every[:learned], every[learned:]


def _charts(stretch: Stretch, before: Seconds, during: Seconds, runs: int) -> int:
    """Nanoseconds of ticks."""
    watch = Watch(stretch.processor, Limits(), START)
    for second, counts in before:
        watch.tick(START + second, counts)
    if not watch.baseline.learned:
        raise ValueError(f"{stretch.processor}: nothing is learned after {stretch.learned} seconds")
    known, end = snapshot(watch), START + stretch.learned + stretch.seconds - 1
    return _cheapest([_ticks(restore(stretch.processor, Limits(), known), during, end) for _ in range(runs)])


def _ticks(watch: Watch, seconds: Seconds, end: int) -> list[int]:
    spent = []
    for piece in _pieces(seconds):
        began = time.thread_time_ns()
        for second, counts in piece:
            watch.tick(START + second, counts)
        spent.append(time.thread_time_ns() - began)
    began = time.thread_time_ns()
    watch.tick(end, None)
    return [*spent, time.thread_time_ns() - began]


def _counting(processor: str, seconds: Seconds, runs: int) -> int:
    """Nanoseconds of counting the events, each by itself, in any order within a second."""
    events, random = [], Random(SEED)
    for second, counts in seconds:
        seen = [one for one, times in counts.events.items() for _ in range(times)]
        random.shuffle(seen)
        events.append((1000 * second, seen))
    return _cheapest([_counts(processor, events) for _ in range(runs)])


def _counts(processor: str, seconds: Sequence[tuple[int, list[Observation]]]) -> list[int]:
    spent = []
    for piece in _pieces(seconds):
        scorer, ids = Scorer(), iter(IDS * (1 + sum(len(seen) for _, seen in piece) // len(IDS)))
        began = time.thread_time_ns()
        for at_ms, every in piece:
            for seen in every:
                scorer.observe(at_ms, processor, seen, LATENCY_MS, "EUR", 4_200, next(ids))
        spent.append(time.thread_time_ns() - began)
    return spent


def _pieces(seconds: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
    size = -(-len(seconds) // PIECES)
    return (seconds[at : at + size] for at in range(0, len(seconds), size))


def _cheapest(runs: Sequence[Sequence[int]]) -> int:
    return sum(map(min, zip(*runs, strict=True)))
