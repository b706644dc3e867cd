"""How a scenario under load is measured: floors, then the node; several times."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from statistics import mean

import msgspec

from benchmarks.load.generator import Load, Shape, fill, fill_pool
from benchmarks.machine import cpu_seconds
from benchmarks.report.result import Run
from benchmarks.scenarios.scenario import Scenario
from benchmarks.servers.fleet import Servers
from benchmarks.servers.floors import Floor
from benchmarks.servers.node import DRAIN_SECONDS, Figures, Node, until
from benchmarks.servers.redis import COMMITS

CAPACITY_SECONDS = 2.0
SAMPLE_SECONDS = 0.25
CONNECTED_A_SECOND = 1000.0  # so much longer takes a load with many connections


def run_load(servers: Servers, scenario: Scenario) -> Iterator[Run]:
    """As many events as are answered."""
    shape = scenario.shape
    seconds = servers.options.seconds + shape.connections / CONNECTED_A_SECOND
    with servers.node(scenario.workers, scenario.aof, keys=shape.keys, maxlen=scenario.maxlen) as node:
        if shape.duplicates:
            fill_pool(node.port, shape)
        if scenario.prefill:
            fill(node.port, shape, scenario.prefill)
        servers.generator.run(node.port, shape, min(1.0, servers.options.seconds))  # warm up

        def once() -> Run:
            floors = servers.floors(scenario.floors, shape, scenario.aof)
            return _run(node.measure(lambda: servers.generator.run(node.port, shape, seconds), shape), floors)

        for _ in range(servers.options.rounds):
            yield servers.watched(once)


def run_open_loop(servers: Servers, scenario: Scenario) -> Iterator[Run]:
    """At a constant rate, a share of what the same node took a moment ago, as fast as wrk could send it."""
    shape = scenario.shape
    with servers.node(scenario.workers) as node:

        def once() -> Run:
            load = servers.generator.run(node.port, shape, min(CAPACITY_SECONDS, servers.options.seconds))
            capacity = load.answers / load.seconds
            rate = capacity * scenario.percent / 100
            seconds = servers.options.seconds
            figures = node.measure(lambda: servers.generator.paced(node.port, shape, rate, seconds), shape)
            run = _run(figures)
            run.figures["capacity"] = capacity
            return run

        for _ in range(servers.options.rounds):
            yield servers.watched(once)


def run_arriving(servers: Servers, scenario: Scenario) -> Iterator[Run]:
    """At a given rate for a long time, watching lag and memory."""
    shape = scenario.shape
    seconds = min(scenario.seconds, servers.options.longest)
    with servers.node(scenario.workers) as node:
        yield servers.watched(lambda: _sampled(servers, node, shape, scenario.rate, seconds))


def run_soak(servers: Servers, scenario: Scenario) -> Iterator[Run]:
    """Half of what the node takes, for minutes: does anything grow?"""
    with servers.node(scenario.workers) as node:
        load = servers.generator.run(node.port, scenario.shape, min(CAPACITY_SECONDS, servers.options.seconds))
        rate = load.answers / load.seconds / 2
        seconds = servers.options.soak * 60
        yield servers.watched(lambda: _sampled(servers, node, scenario.shape, rate, seconds))


def _sampled(servers: Servers, node: Node, shape: Shape, rate: float, seconds: float) -> Run:
    sampler = Sampler(node)
    paced = servers.generator.paced
    run = _run(node.measure(lambda: sampler.during(lambda: paced(node.port, shape, rate, seconds)), shape))
    trace = run.trace = sampler.trace
    quarter = max(1, len(trace["x"]) // 4)
    run.figures |= {
        "lag_max": max(trace["lag"]),
        "lag_seconds": max(trace["lag"]) / rate,
        "node_mib": max(trace["node_mib"]),
        "growth_mib": mean(trace["node_mib"][-quarter:]) - mean(trace["node_mib"][quarter : 2 * quarter] or [math.inf]),
    }
    return run


class Sampler:
    """Looks at a node again and again while something else goes on.

    Attributes:
        trace: seconds since the start (`x`), lag, and memory in MiB.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = threading.Event()
        self.trace: dict[str, list[float]] = {"x": [], "lag": [], "node_mib": [], "redis_mib": []}

    def during(self, load: Callable[[], Load]) -> Load:
        """Sample while a load lasts. Nobody else may use the node's Redis connection meanwhile."""
        self._look(0.0)
        thread = threading.Thread(target=self._run, args=(time.monotonic(),))
        thread.start()
        try:
            return load()
        finally:
            self._stop.set()
            thread.join()

    def _run(self, started: float) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._look(time.monotonic() - started)

    def _look(self, at: float) -> None:
        memory = self._node.memory()
        values = {"x": at, "lag": float(sum(self._node.backlog()))} | memory
        for name, sampled in self.trace.items():
            sampled.append(round(values[name], 3))


def run_consumer(servers: Servers, scenario: Scenario) -> Iterator[Run]:
    """The consumer alone: the stream is filled while it is stopped, then it reads, scores, acks and writes all."""
    events = servers.options.drained
    with servers.node(scenario.workers, maxlen=2 * events) as node:
        for _ in range(servers.options.rounds):
            yield servers.watched(lambda: drain(node, scenario.shape, events))


def drain(node: Node, shape: Shape, events: int) -> Run:
    """Fill the stream while the consumer is stopped, then let it go, and measure until all came out.

    Args:
        node: with nothing on its way.
        shape: of the events.
        events: how many.
    """
    counting = node.counting()
    node.pause_consumer(pause=True)
    try:
        fill(node.port, shape, events)
        waiting = sum(node.backlog())
        said, spent, redis = node.redis.commands(), cpu_seconds(node.consumer), cpu_seconds(node.redis.pid)
    finally:
        node.pause_consumer(pause=False)
    until(lambda: sum(node.backlog()) < waiting, DRAIN_SECONDS, 0.001)
    started, first = time.monotonic(), sum(node.backlog())
    drained = until(lambda: node.backlog() == (0, 0), DRAIN_SECONDS, 0.002)
    took = time.monotonic() - started
    spent, redis = cpu_seconds(node.consumer) - spent, cpu_seconds(node.redis.pid) - redis
    now, counted = node.redis.commands(), counting()
    figures = {
        "events": float(events),
        "per_second": first / took,
        "consumer_us": spent / events * 1e6,
        "redis_us": redis / events * 1e6,
        "redis_consumer_us": redis / events * 1e6,
        "read_batch": events / max(1, now.calls.get(COMMITS, 0) - said.calls.get(COMMITS, 0)),
        **node.memory(),
    }
    wrong = [] if drained else [f"the stream is not empty after {DRAIN_SECONDS:.0f} s"]
    if waiting != events:
        wrong.append(f"{events:,} were to be read, but {waiting:,} waited")
    if len({events, counted.accepted, counted.lines, counted.exported, counted.added, counted.numbered}) > 1:
        wrong.append(f"{events:,} went in, but {counted}")
    return Run(figures, wrong=wrong)


def _run(figures: Figures, floors: dict[str, Floor] | None = None) -> Run:
    fields = msgspec.structs.asdict(figures)
    wrong = fields.pop("wrong")
    if not fields["p99_ms"]:  # wrk does not tell it of pipelined requests
        fields = {name: value for name, value in fields.items() if name not in ("p50_ms", "p99_ms", "p999_ms")}
    return Run({name: float(value) for name, value in fields.items()}, floors or {}, wrong)
