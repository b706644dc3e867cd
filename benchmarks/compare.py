"""CPU of an event beside another commit, both in one run on this machine: is the work tree slower than that was?

    make compare BASE=7d46c64
    python -m benchmarks.compare 7d46c64 --pairs 20 --seconds 5

In each pair both start a node of their own on a Redis of its own, the one that begins alternating, and take the same
loads: single events on 64 connections, batches of 100 on 8, and a full stream that the consumer gets through alone (it
reads, scores, writes lines and acks). CPU is what the kernel counted for the processes, divided by the events.

A ratio is the work tree by the other commit, within a pair. Shown is the Hodges-Lehmann estimate of the pairs' log
ratios with its exact 95 % interval (Wilcoxon's signed ranks; Hollander and Wolfe, Nonparametric Statistical Methods,
3.2 and 3.3): no distribution is assumed, and a pair that somebody disturbed moves it little. Six pairs are the fewest
that can have such an interval; take ten or more, on a machine with nothing else to do. Beside itself (BASE=HEAD in a
clean tree) every ratio must be about 1, which shows how much this machine can tell.

The verdict is PASS when the lower end is at most 1.03: then it is not shown that an event costs more.

Exit codes: 0 all within the limit, 1 one is above it, a version failed, or there are too few pairs to say, 2 it cannot
run here.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from math import exp, log
from pathlib import Path
from statistics import median
from typing import NamedTuple

import hiredis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.load.generator import GeneratorMissing, LoadGenerator, Shape
from benchmarks.machine import ROOT, describe, open_files, supported
from benchmarks.scenarios.under_load import drain
from benchmarks.servers.node import Node, NodeFailed
from benchmarks.servers.redis import Redis, RedisMissing
from scripts.commits import NoCommit, extract, named

LIMIT = 1.03
ERROR = 0.05
OPEN_FILES = 4096
MAXLEN = 2_000_000
"""Of the stream: more than a load brings, so that a consumer that falls behind loses nothing."""

SINGLE, BATCH = Shape(64), Shape(8, 100, "ndjson")
COSTS = {
    ("single", "ingest"): "ingest_us",
    ("single", "Redis"): "redis_us",
    ("batch", "ingest"): "ingest_us",
    ("batch", "Redis"): "redis_us",
    ("consumer", "consumer"): "consumer_us",
    ("consumer", "Redis"): "redis_us",
}
"""What is compared: the load and who spends the CPU, and the name of the figure."""

Costs = dict[tuple[str, str], float]


class Side(NamedTuple):
    """One of the two versions.

    Attributes:
        name: for people.
        source: the folder its package is imported from.
    """

    name: str
    source: Path


class Interval(NamedTuple):
    """A ratio, and where it lies with 95 % confidence; the ends are None when there are too few pairs."""

    ratio: float
    low: float | None
    high: float | None


class Wrong(Exception):
    """A version did not do what it was measured at; the text says which and what."""


FAILED = (Wrong, NodeFailed, GeneratorMissing, OSError, subprocess.SubprocessError, hiredis.ReplyError)
"""Ends the comparison; the pairs before it are shown."""


def interval(ratios: Sequence[float]) -> Interval:
    """The middle of some ratios: the median of all means of two logarithms, and the ends by Wilcoxon's signed ranks."""
    logs = [log(ratio) for ratio in ratios]
    means = sorted((one + other) / 2 for at, one in enumerate(logs) for other in logs[at:])
    cut = _left_out(len(logs))
    ends = (exp(means[cut - 1]), exp(means[-cut])) if cut else (None, None)
    return Interval(exp(median(means)), *ends)


def _left_out(pairs: int) -> int:
    """How many values the sum of signed ranks can have at each end, together of at most half the error."""
    ways = [1]  # in how many ways some of the ranks 1 to n have a sum, by that sum
    for rank in range(1, pairs + 1):
        longer = [*ways, *[0] * rank]
        ways = [count + (ways[at - rank] if at >= rank else 0) for at, count in enumerate(longer)]
    found, seen = 0, 0
    while (seen := seen + ways[found]) <= ERROR / 2 * 2**pairs:
        found += 1
    return found


def measure(side: Side, directory: Path, options: argparse.Namespace) -> Costs:
    """Start a version, put every load on it, end it.

    Args:
        side: the version.
        directory: for its files; made.
        options: of the command line.

    Raises:
        Wrong: it broke its promise, so that its costs mean nothing.
        NodeFailed: it did not start.
    """
    directory.mkdir()
    redis = Redis(directory / "redis", "off")
    try:
        node = Node(directory / "node", redis, workers=1, maxlen=MAXLEN, source=side.source)
        try:
            return _loaded(side, node, options)
        finally:
            node.stop()
    finally:
        redis.stop()


def _loaded(side: Side, node: Node, options: argparse.Namespace) -> Costs:
    generator = LoadGenerator(options.seconds, threads=1)
    generator.run(node.port, SINGLE, min(1.0, options.seconds))  # warm up
    found: dict[str, dict[str, float]] = {}
    for load, shape in (("single", SINGLE), ("batch", BATCH)):
        figures = node.measure(lambda shape=shape: generator.run(node.port, shape), shape)  # type: ignore[misc]
        _right(side, load, figures.wrong)
        found[load] = {"ingest_us": figures.ingest_us, "redis_us": figures.redis_us}
    drained = drain(node, SINGLE, options.events)
    _right(side, "consumer", drained.wrong)
    found["consumer"] = drained.figures
    return {(load, who): found[load][name] for (load, who), name in COSTS.items()}


def _right(side: Side, load: str, wrong: Sequence[str]) -> None:
    if wrong:
        raise Wrong(f"{side.name}, {load}: {'; '.join(wrong)}")


def pairs(base: Side, here: Side, directory: Path, options: argparse.Namespace) -> Iterator[tuple[Costs, Costs]]:
    """The costs of both, pair after pair.

    Raises:
        Wrong: one of them broke its promise; NodeFailed: it did not start.
    """
    for number in range(options.pairs):
        order = (base, here) if number % 2 == 0 else (here, base)
        costs = {side: measure(side, directory / f"{number}-{at}", options) for at, side in enumerate(order)}
        yield costs[base], costs[here]


def rows(measured: Sequence[tuple[Costs, Costs]]) -> Iterator[tuple[str, str, float, float, Interval]]:
    """Of each cost: load, who, the medians of both in µs, and the ratio."""
    for load, who in COSTS:
        before, now = ([side[load, who] for side in sides] for sides in zip(*measured, strict=True))
        ratios = [new / old for old, new in zip(before, now, strict=True)]
        yield load, who, median(before), median(now), interval(ratios)


def verdict(found: Interval) -> str:
    """PASS, FAIL, or that nothing can be said."""
    if found.low is None:
        return "too few pairs"
    return "PASS" if found.low <= LIMIT else "FAIL"


def table(base: Side, here: Side, measured: Sequence[tuple[Costs, Costs]]) -> Table:
    """The comparison for people."""
    shown = Table("load", "CPU of", title=f"µs of CPU per event, {len(measured)} pairs", title_justify="left")
    for heading in (base.name, here.name, "ratio", "95 % interval", f"lower end ≤ {LIMIT}"):
        shown.add_column(heading, justify="right")
    for load, who, before, now, found in rows(measured):
        ends = f"{found.low:.3f} to {found.high:.3f}" if found.low is not None else ""
        shown.add_row(load, who, f"{before:.2f}", f"{now:.2f}", f"{found.ratio:.3f}", ends, verdict(found))
    return shown


def imported_from(source: Path) -> Path:
    """Where Python finds the package when it is told to look there first."""
    code = "import payflux; print(payflux.__file__)"
    environ = {"PATH": os.defpath, "PYTHONPATH": str(source)}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environ, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", help="the other commit, as git takes it")
    parser.add_argument("--pairs", type=int, default=10, help="of both versions (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load (default %(default)s)")
    parser.add_argument("--events", type=int, default=50_000, help="the consumer gets through (default %(default)s)")
    options = parser.parse_args(arguments)
    if min(options.pairs, options.seconds, options.events) <= 0:
        parser.error("every number must be more than 0")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and show; returns the exit code."""
    options = parse(arguments)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=120, highlight=False)
    if not supported():
        console.print("the benchmark reads /proc, which only Linux has")
        return 2
    open_files(OPEN_FILES)
    with tempfile.TemporaryDirectory(prefix="pf-compare-") as directory:
        try:
            return compare(options, Path(directory), console)
        except (NoCommit, RedisMissing) as error:
            console.print(f"cannot compare: {error}")
            return 2


def compare(options: argparse.Namespace, directory: Path, console: Console) -> int:
    """Measure and show; returns the exit code.

    Raises:
        NoCommit: the other commit is not there, or has no package.
        RedisMissing: there is no server to measure with.
    """
    base, here = Side(named(options.base), directory / "base" / "src"), Side("work tree", ROOT / "src")
    (directory / "base").mkdir()
    extract(base.name, directory / "base", "src")
    for side in (base, here):
        if not imported_from(side.source).is_relative_to(side.source):
            raise NoCommit(f"{side.name} has no package in {side.source}")
    measured: list[tuple[Costs, Costs]] = []
    ended = ""
    try:
        for pair in track(
            pairs(base, here, directory, options), "pairs", options.pairs, console=console, transient=True
        ):
            measured.append(pair)  # noqa: PERF402 - what was measured before a failure is shown
    except FAILED as error:
        ended = f"ended in pair {len(measured) + 1}: {type(error).__name__}: {error}"
    machine = describe([])
    console.print(f"{machine['cpus']} x {machine['cpu']}, Python {machine['python']}; work tree at {machine['commit']}")
    console.print(table(base, here, measured) if measured else "nothing was measured")
    console.print(ended)
    passed = not ended and all(verdict(found) == "PASS" for *_, found in rows(measured))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
