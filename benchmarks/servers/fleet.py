"""The servers of a run: floors that stay up for all of it, and a node with a Redis of its own for each scenario."""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from benchmarks.load.generator import LoadGenerator, Shape
from benchmarks.machine import busy_seconds, cpu_seconds
from benchmarks.report.result import Run
from benchmarks.servers.floors import Floor, bare_server, measure_script, measure_xadd, nginx, nginx_binary
from benchmarks.servers.node import Node, NodeFailed
from benchmarks.servers.redis import Redis

Aof = str


class Servers:
    """Everything that is started.

    Args:
        options: of the command line.
        directory: for their files.
        stack: ends them.

    Raises:
        FloorMissing: one of the floors cannot be measured here.
    """

    def __init__(self, options: argparse.Namespace, directory: Path, stack: ExitStack) -> None:
        self.options = options
        self.generator = LoadGenerator(options.seconds, threads=options.threads)
        self._directory, self._stack, self._numbers = directory, stack, count(1)
        self.nginx = nginx(directory / "nginx")
        stack.callback(self.nginx.stop)
        self.bare = bare_server()
        stack.callback(self.bare.stop)
        self._redis: dict[Aof, Redis] = {}
        self._pids: set[int] = set()

    def directory(self) -> Path:
        """A new one."""
        found = self._directory / str(next(self._numbers))
        found.mkdir()
        return found

    @contextmanager
    def redis(self, aof: Aof = "off") -> Iterator[Redis]:
        """A new Redis, for as long as it is needed."""
        redis = Redis(self.directory() / "redis", aof)
        self._pids.add(redis.pid)
        try:
            yield redis
        finally:
            self._pids.discard(redis.pid)
            redis.stop()

    @contextmanager
    def node(self, workers: int, aof: Aof = "off", *, keys: int = 1, maxlen: int = 200_000) -> Iterator[Node]:
        """A new node on a new Redis, for as long as it is needed."""
        with self.redis(aof) as redis:
            node = Node(self.directory() / "node", redis, workers, keys=keys, maxlen=maxlen)
            self._pids |= set(node.pids)
            try:
                yield node
            except OSError as error:  # one of its processes has ended, perhaps
                raise NodeFailed(f"{error}; the node's log ends with\n{node.log_end()}") from error
            finally:
                self._pids -= set(node.pids)
                node.stop()

    def floors(self, names: tuple[str, ...], shape: Shape, aof: Aof) -> dict[str, Floor]:
        """Measure floors with the requests and events of a scenario.

        Raises:
            FloorMissing: one cannot be measured.
        """
        return {name: self._floor(name, shape, aof) for name in names}

    def _floor(self, name: str, shape: Shape, aof: Aof) -> Floor:
        if name in ("nginx", "bare"):
            server = self.nginx if name == "nginx" else self.bare
            return server.measure(self.generator, shape)
        if aof not in self._redis:
            self._redis[aof] = Redis(self.directory() / "bare", aof)
            self._stack.callback(self._redis[aof].stop)
        redis = self._redis[aof]
        if name == "xadd":
            return measure_xadd(redis, shape)
        return measure_script(redis, shape, int(name.removeprefix("script")))

    def watched(self, measure: Callable[[], Run]) -> Run:
        """Measure, and see how much CPU others took meanwhile."""
        busy, ours, started = busy_seconds(), self._spent(), time.monotonic()
        run = measure()
        foreign = (busy_seconds() - busy) - (self._spent() - ours)
        run.foreign = max(0.0, foreign / (time.monotonic() - started))
        return run

    def _spent(self) -> float:
        """CPU seconds of all that belongs to the run."""
        pids = {self.nginx.pid, self.bare.pid, *self._pids, *(redis.pid for redis in self._redis.values())}
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(map(cpu_seconds, pids)) + sum(usage.ru_utime + usage.ru_stime for usage in own)

    def tools(self) -> list[str]:
        """Commands that tell the versions of what took part."""
        with self.redis() as redis:
            return [f"{nginx_binary()} -v", f"{redis.binary} --version", "redis-benchmark --version", "wrk -v"]
