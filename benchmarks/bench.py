"""Measure a node beside its floors, in one run on one machine; README.md says what the figures mean.

Without options a short run of the most important scenarios; `--full` is all of them, and takes most of an hour.

Exit codes: 0 every target met, 1 one missed, a floor missing or the contract broken, 2 the benchmark cannot run here.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import hiredis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.load.generator import GeneratorMissing
from benchmarks.machine import describe, host_kind, open_files, supported
from benchmarks.report.figures import write
from benchmarks.report.result import Measured, Result, Run, save
from benchmarks.report.summary import keep, summarised
from benchmarks.report.targets import judge
from benchmarks.report.terminal import show
from benchmarks.scenarios.catalogue import KINDS, SCENARIOS
from benchmarks.scenarios.scenario import Scenario
from benchmarks.servers.fleet import Servers
from benchmarks.servers.floors import FloorMissing
from benchmarks.servers.node import NodeFailed
from benchmarks.servers.redis import RedisMissing
from payflux.errors import SettingsError

WIDTH = 150  # of the table in a pipe
OPEN_FILES = 16_384
UNMEASURABLE = (FloorMissing, GeneratorMissing, RedisMissing, SettingsError)
"""Nothing can be measured here."""
FAILED = (NodeFailed, OSError, subprocess.SubprocessError, hiredis.ReplyError)
"""One scenario went wrong, which fails the run; the others are measured all the same."""
PRESETS = {
    "short": {"rounds": 3, "seconds": 2.0, "drained": 100_000, "longest": 10.0, "idle": 100, "ids": 1_000_000},
    "full": {"rounds": 3, "seconds": 4.0, "drained": 400_000, "longest": 60.0, "idle": 200, "ids": 2_500_000},
    "quick": {"rounds": 1, "seconds": 1.0, "drained": 20_000, "longest": 2.0, "idle": 20, "ids": 100_000},
}


def run(options: argparse.Namespace, chosen: Sequence[Scenario], console: Console) -> Result:
    """Measure.

    Raises:
        FloorMissing: a floor cannot be measured here; there are more such exceptions, see `UNMEASURABLE`.
    """
    measured: list[Measured] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pf-bench-")))
        servers = Servers(options, directory, stack)
        machine = describe(servers.tools())
        progress = stack.enter_context(
            Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        )
        task = progress.add_task("", total=len(chosen))
        for scenario in chosen:
            progress.update(task, description=scenario.title)
            measured.append(measure(servers, scenario))
            progress.advance(task)
    return Result(
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        machine=machine,
        options=vars(options),
        generator=servers.generator.name,
        scenarios=measured,
        verdicts=judge(measured),
    )


def measure(servers: Servers, scenario: Scenario) -> Measured:
    """All rounds of a scenario; what went wrong in it is kept with what was measured before."""
    runs: list[Run] = []
    try:
        for run in KINDS[scenario.kind](servers, scenario):
            runs.append(run)  # noqa: PERF402 - what was measured before a failure is kept
    except FAILED as error:
        runs.append(Run({}, wrong=[f"failed: {type(error).__name__}: {error}"]))
    return Measured(scenario.name, scenario.family, scenario.title, scenario.x, needs=list(scenario.floors), runs=runs)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--full", dest="extent", action="store_const", const="full", help="every scenario")
    extent.add_argument(
        "--quick",
        dest="extent",
        action="store_const",
        const="quick",
        help="one short round: does it work? proves nothing",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these scenarios, or families of them (see --list)")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--rounds", type=int, help="of floors and node")
    parser.add_argument("--seconds", type=float, help="of each load")
    parser.add_argument("--longest", type=float, help="seconds of a load that is watched")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help="and a soak of so many minutes")
    parser.add_argument("--ids", type=int, help="that are really remembered when their memory is measured")
    parser.add_argument("--drained", type=int, help="events the consumer alone gets through")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="of wrk")
    parser.add_argument("--name", help="of the result in benchmarks/results/; by default of date, machine and extent")
    parser.set_defaults(extent="short")
    options = parser.parse_args(arguments)
    for name, value in PRESETS[options.extent].items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    numbers = ("rounds", "seconds", "longest", "ids", "drained", "threads")
    if any(getattr(options, name) <= 0 for name in numbers) or options.soak < 0:
        parser.error("every number must be more than 0")
    if unknown := sorted(set(options.only or ()) - {name for s in SCENARIOS.values() for name in (s.name, s.family)}):
        parser.error(f"there is no scenario {', '.join(unknown)}; --list shows them")
    return options


def choose(options: argparse.Namespace) -> list[Scenario]:
    """The scenarios to measure; a soak only when asked for."""
    only = set(options.only or ())
    found = [
        scenario
        for scenario in SCENARIOS.values()
        if ({scenario.name, scenario.family} & only if only else options.extent == "full" or scenario.brief)
        and scenario.kind != "soak"
    ]
    return found + ([SCENARIOS["soak"]] if options.soak else [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark as a command, return its exit code."""
    options = parse(arguments)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=WIDTH, highlight=False)
    chosen = choose(options)
    if options.list:
        for scenario in SCENARIOS.values():
            console.print(f"{scenario.name:20} {scenario.family:12} {scenario.title}{' *' if scenario.brief else ''}")
        return 0
    if not supported():
        console.print("the benchmark reads /proc, which only Linux has")
        return 2
    open_files(OPEN_FILES)
    try:
        result = run(options, chosen, console)
    except UNMEASURABLE as error:
        console.print(f"[red]cannot measure:[/] {error}")
        return 2
    summary = summarised(result)
    show(console, summary)
    if options.extent != "quick" or options.name:
        kind = "" if options.extent == "full" else f"-{options.extent}"
        name = options.name or f"{result.date[:10]}-{host_kind()}{kind}"
        folder = save(result, name)
        print(f"kept in {keep(summary, name)}; every round and {len(write(summary, folder))} plots are in {folder}")
    return 0 if summary.passed else 1


if __name__ == "__main__":
    sys.exit(main())
