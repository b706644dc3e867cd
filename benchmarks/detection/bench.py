"""How soon troubles are found, and what is raised for nothing: PayFlux beside other detectors on the same corpus.

    python -m benchmarks.detection.bench [--full] [--scale SCALE] [--folder FOLDER]

Every other detector is tuned on some seeds to one false alarm a processor-month, and all are measured on other seeds.
What was measured is kept in `build/detection`, by what the sources were, so that an interrupted bench goes on where it
was.
"""

import argparse
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.detection.bound import Stationary, compared
from benchmarks.detection.disturbances import DISTURBANCES
from benchmarks.detection.shard import START, Measured, Shard, run
from benchmarks.detection.tables import MONTH_DAYS, About, BoundRow, Row, TargetRow, rows, written
from benchmarks.detection.targets import targets
from benchmarks.machine import ROOT, host_kind
from benchmarks.report.plots import lines
from payflux.commands.backtest.judging import Found, judged
from payflux.load.corpus.population import PROCESSORS
from payflux.risk.judge import Limits
from payflux.risk.watch import Watch

RESULT = ROOT / "benchmarks" / "results" / "detection.jsonl"
PLOT = ROOT / "docs" / "img" / "detection.svg"
SOURCES = (
    *("src/payflux/risk/*.py", "src/payflux/risk/evidence/*.py", "src/payflux/risk/detectors/*.py"),
    *("src/payflux/event/*", "src/payflux/load/corpus/*.py"),
    *(f"benchmarks/detection/{name}.py" for name in ("columns", "disturbances", "peers", "seconds", "shard")),
)
TUNING_SEED, SEED = 1000, 2001
"""Of tuning and of evaluation. Traffic of the seeds from 1 on was looked at while the detector was made."""

BOUND_RUNS = 20
MEMORY_SEC, MEMORY_RATE = 7300, 5.0

DAYS = {
    "corpus": {"p0_05": 20.0, "p0_5": 8.0, "p5": 4.0, "p20": 3.0, "p50": 2.0, "p200": 1.4},
    "benign": {"p0_05": 20.0, "p0_5": 8.0, "p5": 4.0, "p20": 2.0},
}
"""Of one shard, for each plan and processor: about a minute of CPU."""

SHARDS = {"corpus": 2, "benign": 1}
"""How many of each."""

DISTURBED = "p5"
"""Whose events are measured once more for each disturbance."""

FULL = 4
"""How many times as many `--full` has: ten processor-months and more without incidents."""


def shards(times: int, scale: float = 1.0) -> list[Shard]:
    """What is to be measured, and what is to be tuned on, the longest first."""
    found = []
    for plan, days in DAYS.items():
        for processor, length in days.items():
            found += [
                Shard(processor, plan, max(length * scale, 1.3), SEED + number)
                for number in range(times * SHARDS[plan])
            ]
            found += [
                Shard(processor, plan, max(2 * length * scale, 1.3), TUNING_SEED + number, ours=False)
                for number in range(times)
            ]
    disturbed = [
        Shard(DISTURBED, "corpus", max(DAYS["corpus"][DISTURBED] * scale, 1.3), SEED, disturbance=name)
        for name in DISTURBANCES
    ]
    return [*sorted(found, key=_size, reverse=True), *disturbed]


def _size(shard: Shard) -> float:
    return shard.days * PROCESSORS[shard.processor].rate * (10 if shard.ours else 1)


def measure(wanted: Sequence[Shard], folder: Path) -> list[Measured]:
    """Measure some shards on every core, those that were not before; says how far it is."""
    console = Console(stderr=True)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    with ProcessPoolExecutor() as pool:
        running = {pool.submit(partial(run, shard, folder)): shard for shard in wanted}
        for done in as_completed(running):
            found.append(done.result())
            console.print(f"{len(found)} of {len(wanted)}: {running[done].name}", highlight=False)
    return [msgspec.json.decode(file.read_bytes(), type=Measured) for file in sorted(found)]


def fingerprint() -> str:
    """Of the sources that decide what is measured."""
    digest = blake2b(digest_size=6)
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


def bounds(runs: int) -> Iterator[Row]:
    """The detector beside the shortest delay there can be; half a second is what a tick takes."""
    for case, delay, shortest in compared(runs):
        yield BoundRow(case.rate, case.failing, case.part, round(delay, 2), round(shortest, 2))


def memory_kb() -> float:
    """What a watch takes that has learned from two hours of traffic."""
    traffic = Stationary(MEMORY_RATE, 1)
    tracemalloc.start()
    watch = Watch("p", Limits(), START)
    for second in range(START + 1, START + MEMORY_SEC):
        watch.tick(second, traffic.second())
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return round(taken / 1024, 0)


def about(found: Sequence[Measured]) -> About:
    """Of what the rows are."""
    tuning = sum(one.days for one in found if one.tuning) / MONTH_DAYS
    measured = [one for one in found if not (one.tuning or one.disturbance)]
    days = sum(one.days for one in measured) / MONTH_DAYS
    clean = sum(one.clean_days for one in measured) / MONTH_DAYS
    months = round(tuning, 2), round(days, 2), round(clean, 2)
    return About(f"{datetime.now(UTC):%Y-%m-%d}", host_kind(), *months, memory_kb())


def drawn(found: Sequence[Measured]) -> str:
    """How many of the incidents were found within a time: the product, busy processors and quiet ones."""
    ours = [
        (PROCESSORS[shard.processor].rate, one)
        for shard in found
        if not (shard.tuning or shard.disturbance)
        for one in judged(shard.truths, shard.warnings, float("inf")).found
    ]
    series = {
        "5 events a second and more": _curve([one for rate, one in ours if rate >= 5]),
        "fewer": _curve([one for rate, one in ours if rate < 5]),
    }
    return lines(
        "How soon incidents are found",
        f"{len(ours)} labelled incidents of the corpus; see docs/risk.md",
        {name: curve for name, curve in series.items() if curve},
        "seconds after the start",
        "share found",
        "x",
    )


def _curve(found: Sequence[Found]) -> list[tuple[float, float]]:
    delays = sorted(max(one.delay, 1.0) for one in found if one.warning is not None)
    return [(delay, (place + 1) / len(found)) for place, delay in enumerate(delays)]


def _limit(one: TargetRow) -> str:
    return f"at least {one.least}" if one.most is None else f"at most {one.most}"


def main(arguments: Sequence[str]) -> int:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="ten processor-months and more; some hours")
    parser.add_argument("--scale", type=float, default=1.0, help="of the days, but never less than 1.3 of each shard")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "detection" / fingerprint())
    wanted = parser.parse_args(arguments)
    found = measure(shards(FULL if wanted.full else 1, wanted.scale), wanted.folder)
    result = [about(found), *rows(found), *bounds(BOUND_RUNS)]
    verdicts = targets(found, result)
    RESULT.write_bytes(written([*result, *verdicts]))
    PLOT.write_text(drawn(found), encoding="utf-8")
    for one in verdicts:
        print(f"{'held' if one.held else 'MISSED':6}  {one.target}: {one.measured} ({_limit(one)})")
    print(f"{RESULT.relative_to(ROOT)} and {PLOT.relative_to(ROOT)} are written; `make docs` takes over the tables")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
