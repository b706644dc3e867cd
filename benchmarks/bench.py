"""Measure a node beside its floors, in one run on one machine; README.md says what the figures mean.

Exit codes: 0 every target met, 1 one missed or the contract broken, 2 the benchmark cannot run here.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from floors import FloorMissing, Nginx, Redis
from load_generator import LoadGenerator
from machine import busy_seconds, cpu_seconds, describe, host_kind, supported
from node_under_test import Node, NodeFailed
from report import Result, Round, contradictions, judge, show
from rich.console import Console

from payflux.errors import SettingsError

BATCH_EVENTS = 100
XADD_COMMANDS = 400_000
WIDTH = 120  # of the table in a pipe
RESULTS = Path(__file__).parent / "results"


class Bench:
    """The servers of a run, all on this machine.

    Args:
        options: of the command line.
        stack: ends the servers.
    """

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options = options
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pf-bench-")))
        self.nginx = Nginx(directory / "nginx")
        stack.callback(self.nginx.stop)
        self.bare_redis = Redis(directory / "bare", options.aof)
        stack.callback(self.bare_redis.stop)
        self.redis = Redis(directory / "redis", options.aof)
        stack.callback(self.redis.stop)
        self.node = Node(directory / "node", self.redis, options.workers)
        stack.callback(self.node.stop)
        self.generator = LoadGenerator(options.seconds, spaced=options.spaced, threads=options.threads)

    def round(self) -> Round:
        """Floor, node, floor, node: once."""
        generator, connections, batch = self.generator, self.options.connections, self.options.batch_connections
        busy, ours, started = busy_seconds(), self._spent(), time.monotonic()
        nginx = self.nginx.measure(generator, connections)
        single = self.node.measure(lambda: generator.run(self.node.port, connections), connections)
        xadd = self.bare_redis.measure_xadd(XADD_COMMANDS)
        ndjson = self.node.measure(lambda: generator.run(self.node.port, batch, BATCH_EVENTS), batch, size=BATCH_EVENTS)
        foreign = (busy_seconds() - busy) - (self._spent() - ours)
        return Round(nginx, xadd, single, ndjson, max(0.0, foreign / (time.monotonic() - started)))

    def _spent(self) -> float:
        """CPU seconds of all that belongs to the run."""
        pids = [self.nginx.pid, self.bare_redis.pid, self.redis.pid, self.node.consumer, *self.node.ingest]
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(map(cpu_seconds, pids)) + sum(usage.ru_utime + usage.ru_stime for usage in own)

    def tools(self) -> list[str]:
        """Commands that tell the versions of what took part."""
        return [self.nginx.version, f"{self.redis.binary} --version", "redis-benchmark --version", "wrk -v"]


def run(options: argparse.Namespace, console: Console) -> Result:
    """The whole benchmark.

    Raises:
        FloorMissing: a floor cannot be measured here.
    """
    rounds = []
    with ExitStack() as stack:
        bench = Bench(options, stack)
        status = stack.enter_context(console.status("warming up"))
        bench.node.measure(lambda: bench.generator.run(bench.node.port, options.connections), options.connections)
        for number in range(options.rounds):
            status.update(f"round {number + 1} of {options.rounds}")
            rounds.append(bench.round())
        return Result(
            date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            machine=describe(bench.tools()),
            options=vars(options),
            generator=bench.generator.name,
            verdicts=judge(rounds),
            wrong=contradictions(rounds),
            rounds=rounds,
        )


def save(result: Result, options: argparse.Namespace) -> Path:
    """Keep a run; one of the same day, machine and kind is replaced."""
    kind = "".join(("-aof-everysec" if options.aof != "off" else "", "-spaced" if options.spaced else ""))
    file = RESULTS / f"{result.date[:10]}-{host_kind()}{kind}.json"
    RESULTS.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return file


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    cpus = os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of floors and node (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="of each load (default %(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="for single events (default %(default)s)")
    parser.add_argument("--batch-connections", type=int, default=4, help="for batches (default %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="ingest processes of the node (default %(default)s)")
    parser.add_argument("--threads", type=int, default=max(1, cpus // 2), help="of wrk (default %(default)s)")
    parser.add_argument("--aof", choices=("off", "everysec"), default="off", help="persistence of Redis")
    parser.add_argument("--spaced", action="store_true", help="send bodies with blanks, as Python's json.dumps does")
    options = parser.parse_args(arguments)
    numbers = ("rounds", "seconds", "connections", "batch_connections", "workers", "threads")
    if any(getattr(options, name) < 1 for name in numbers):
        parser.error("every number must be 1 or more")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark as a command, return its exit code."""
    options = parse(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    if not supported():
        console.print("the benchmark reads /proc, which only Linux has")
        return 2
    try:
        result = run(options, console)
    except (FloorMissing, NodeFailed, SettingsError, subprocess.SubprocessError) as error:
        console.print(f"[red]cannot measure:[/] {error}")
        return 2
    show(console, result, (options.connections, options.batch_connections))
    console.print(f"kept in {save(result, options)}")
    return 1 if result.wrong or not all(verdict.ok for verdict in result.verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
