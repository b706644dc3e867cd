"""What a webhook costs a running node, and whether events wait for webhooks: `python -m benchmarks.webhooks`.

One node with one ingest worker takes by turns as many events of a producer, and as many webhooks of Stripe, as it
answers on as many connections; CPU is that of the worker alone. Then a producer sends on a schedule, alone and beside
webhooks on a schedule of theirs. Every webhook is signed before it is sent, has ids of its own, must be answered with
200, counted as accepted and come out as a line. It takes about a minute and needs wrk.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast

from benchmarks.load.generator import GeneratorMissing, Load, Shape
from benchmarks.load.generator import LoadGenerator as Producers
from benchmarks.machine import cpu_seconds, describe, supported
from benchmarks.servers.node import Node, NodeFailed
from benchmarks.servers.promise import Counted
from benchmarks.servers.redis import Redis
from payflux.load.generator import LoadGenerator
from payflux.load.requests import Requests
from payflux.webhooks.registry import ADAPTERS, load_source, path_of
from payflux.webhooks.sampling import samples_of

SECRET = "whsec_0123456789abcdef"
NODE = {
    "PAYFLUX_HASH_KEY": "a key of hashes for a benchmark",
    "PAYFLUX_WEBHOOK_STRIPE_SECRETS": SECRET,
    "PAYFLUX_WEBHOOK_RPS": "10000000",
}
LIMIT_US = 60.0
MADE_A_SECOND = 16_000
SHAPE = Shape(64)
EVENTS, WEBHOOKS = "an event of a producer", "a webhook of Stripe"


def webhooks(host: str, sample: str) -> Iterator[bytes]:
    """Requests with signed webhooks, each with ids of its own.

    Args:
        host: of the node, with the port.
        sample: which of Stripe's.
    """
    chance, source, samples = random.Random(), load_source(ADAPTERS["stripe"]), samples_of("stripe")
    while True:
        now = time.time()
        webhook = source.sign(samples.body(sample, chance, now), SECRET, now)
        lines = b"".join(b"%b: %b\r\n" % header for header in webhook.headers.items())
        head = f"POST {path_of('stripe')} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(webhook.body)}\r\n".encode()
        yield head + lines + b"\r\n" + webhook.body


class Made:
    """Requests made before, in the form of those that `payflux.load` makes."""

    size, form = 1, "single"

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = iter(requests)

    def next(self) -> bytes:
        """The next one."""
        return next(self._requests)


class Cost(NamedTuple):
    """Of one load: answers a second, and the worker's CPU for each in µs."""

    per_second: float
    us: float


class Bench:
    """One node, and what is measured with it.

    Args:
        node: with one worker.
        options: of the command line.
        directory: for a file.
    """

    def __init__(self, node: Node, options: argparse.Namespace, directory: Path) -> None:
        self._node, self._options, self._file = node, options, directory / "requests"
        self._made = webhooks(f"127.0.0.1:{node.port}", options.sample)
        self._producers = Producers(options.seconds, threads=1)

    def events(self) -> Cost:
        """As many events of a producer as are answered."""
        return self._cost(lambda: self._producers.run(self._node.port, SHAPE))

    def webhooks(self) -> Cost:
        """As many webhooks as are answered."""
        made = islice(self._made, int(MADE_A_SECOND * self._options.seconds))
        self._file.write_bytes(b"".join(b"%d\n%b" % (len(one), one) for one in made))
        return self._cost(lambda: self._producers.prepared(self._node.port, SHAPE.connections, self._file))

    def _cost(self, load: Callable[[], Load]) -> Cost:
        counting, before = self._node.counting(), self._spent()
        seen = load()
        spent, counted = self._spent() - before, counting()
        self._check(counted, seen.answers, seen.bad + seen.broken)
        return Cost(seen.answers / seen.seconds, spent / counted.accepted * 1e6)

    def _spent(self) -> float:
        return sum(map(cpu_seconds, self._node.workers))

    def _check(self, counted: Counted, answers: int, bad: int) -> None:
        """Everything that was answered is stored and came out; what was cut at the end of a load may be besides.

        Raises:
            NodeFailed: not so.
        """
        whole = {counted.accepted, counted.numbered, counted.added, counted.exported, counted.lines}
        late = counted.accepted - answers
        if bad or counted.duplicates or counted.rejected or len(whole) > 1 or not 0 <= late <= SHAPE.connections:
            raise NodeFailed(f"{answers:,} answers, {bad:,} of them wrong, but {counted}")

    def schedule(self, beside: int) -> Load:
        """Events of a producer on a schedule, beside so many webhooks a second."""
        counting = self._node.counting()
        seen, webhooks = asyncio.run(self._beside(beside))
        self._check(counting(), seen.answers + webhooks, seen.bad + seen.broken)
        return seen

    async def _beside(self, beside: int) -> tuple[Load, int]:
        options, port = self._options, self._node.port
        events = asyncio.to_thread(self._producers.paced, port, SHAPE, options.rate, options.seconds)
        if not beside:
            return await events, 0
        made = Made(list(islice(self._made, int(beside * options.seconds * 3))))
        load = LoadGenerator(
            "127.0.0.1", port, cast("Requests", made), connections=8, seconds=options.seconds + 0.5, rate=beside
        )
        seen, report = await asyncio.gather(events, load.run())
        if report.statuses != {200: report.requests} or report.unanswered:
            raise NodeFailed(f"webhooks were answered {report.statuses}, {report.unanswered} not at all")
        return seen, report.requests


def show(bench: Bench, options: argparse.Namespace) -> bool:
    """Measure and print; whether a webhook costs no more than it may."""
    costs: dict[str, list[Cost]] = {EVENTS: [], WEBHOOKS: []}
    loads: dict[int, list[Load]] = {0: [], options.beside: []}
    for _ in range(options.rounds):
        costs[EVENTS].append(bench.events())
        costs[WEBHOOKS].append(bench.webhooks())
        for beside, found in loads.items():
            found.append(bench.schedule(beside))
    say("| the worker's CPU | µs each | range | answered a second |", "| --- | --- | --- | --- |")
    for name, of in costs.items():
        each = sorted(cost.us for cost in of)
        rate = median(cost.per_second for cost in of)
        say(f"| {name} | {median(each):.1f} | {each[0]:.1f} to {each[-1]:.1f} | {rate:,.0f} |")
    say("", f"| {options.rate:,} events/s of a producer | p50 ms | p99 ms |", "| --- | --- | --- |")
    for beside, found in loads.items():
        p50, p99 = median(load.p50_ms for load in found), median(load.p99_ms for load in found)
        say(f"| {f'beside {beside:,} webhooks/s' if beside else 'alone'} | {p50:.2f} | {p99:.2f} |")
    return median(cost.us for cost in costs[WEBHOOKS]) <= LIMIT_US


def say(*lines: str) -> None:
    """Print lines."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print tables; 0 when a webhook costs no more than it may, 1 when it does, 2 when it cannot run."""
    parser = argparse.ArgumentParser(prog="benchmarks.webhooks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of all four loads")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    parser.add_argument("--rate", type=int, default=1000, help="events a second of the schedule")
    parser.add_argument("--beside", type=int, default=200, help="webhooks a second beside them")
    parser.add_argument("--sample", default="charge.failed", help="of Stripe's")
    options = parser.parse_args(arguments)
    if not supported():
        say("the benchmark reads /proc, which only Linux has")
        return 2
    machine = describe(["wrk -v"])
    say(f"{machine['cpus']} x {machine['cpu']}, Python {machine['python']}, commit {machine['commit']}", "")
    with tempfile.TemporaryDirectory(prefix="pf-webhooks-") as directory, ExitStack() as stack:
        redis = Redis(Path(directory) / "redis", "off")
        stack.callback(redis.stop)
        node = Node(Path(directory) / "node", redis, 1, further=NODE)
        stack.callback(node.stop)
        try:
            return 0 if show(Bench(node, options, Path(directory)), options) else 1
        except GeneratorMissing as error:
            say(str(error))
            return 2


if __name__ == "__main__":
    sys.exit(main())
