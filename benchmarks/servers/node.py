"""The node that is measured: `payflux serve` as a process, its children by name, and what it did between two looks."""

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.load.generator import KEY, Load, Shape, event_of, key_of
from benchmarks.machine import cpu_seconds, rss_mib
from benchmarks.servers.promise import COUNTED, Counted, broken
from benchmarks.servers.redis import APPENDS, COMMITS, Commands, Redis
from payflux.event.intake import BATCH_PATH, EVENT_PATH

START_SECONDS = 30.0
DRAIN_SECONDS = 30.0
SETTLE_SECONDS = 5.0
PIPE_BYTES = 1 << 20
LOG_LINES = 12
METRICS = {
    "accepted": "payflux_ingest_accepted_total",
    "duplicates": "payflux_ingest_duplicate_total",
    "rejected": "payflux_ingest_rejected_total",
    "exported": "payflux_events_exported_total",
    "lost": "payflux_stream_lost_total",
}


class NodeFailed(Exception):
    """The node did not start, or does not do what it must; the text says what."""


class Figures(msgspec.Struct):
    """What one load cost. CPU is µs for each event that was accepted or found to be there already.

    Attributes:
        wrong: what breaks the contract, in words; the figures mean nothing unless it is empty.
        whole_per_second: events a second until the last one was read, acked and written.
        redis_append_us: the append side's part of it, by the time Redis measured in the commands of both.
        redis_consumer_us: the consumer's part of it.
        batch: events in an append script, on average.
        read_batch: events in a commit of the consumer, on average.
        lag: events not yet read when the load ended.
        drain_ms: how long it took from then until all was read and acked.
        node_mib: all processes of the node.
        rate: events a second that were due; 0 without a schedule.
        late_p99_ms: how late the load generator was against its schedule.
    """

    events: int
    per_second: float
    whole_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    ingest_us: float
    consumer_us: float
    redis_us: float
    redis_append_us: float
    redis_consumer_us: float
    batch: float
    read_batch: float
    lag: int
    drain_ms: float
    node_mib: float
    ingest_mib: float
    consumer_mib: float
    redis_mib: float
    wrong: list[str]
    rate: float = 0.0
    late_p99_ms: float = 0.0


class Lines:
    """Counts the lines that come out of a pipe, in a thread; `watch` is called with every piece and when it came."""

    def __init__(self) -> None:
        self._read, self.end = os.pipe()
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.count = 0
        self.watch: Callable[[bytes, float], None] | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while piece := os.read(self._read, PIPE_BYTES):
            if self.watch is not None:
                self.watch(piece, time.perf_counter())
            self.count += piece.count(b"\n")
        os.close(self._read)


class Node:
    """One node on its own server; its lines go to a pipe, where they are counted.

    Args:
        directory: for its log.
        redis: its server.
        workers: ingest processes.
        keys: API keys it knows.
        maxlen: of the stream, approximately.
        port: 0 takes a free one.
        source: where its package is imported from; None for the one that is installed.
        further: variables besides.

    Raises:
        NodeFailed: it does not start.
    """

    def __init__(
        self,
        directory: Path,
        redis: Redis,
        workers: int,
        *,
        keys: int = 1,
        maxlen: int = 200_000,
        port: int = 0,
        source: Path | None = None,
        further: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        directory.mkdir()
        self.redis = redis
        self._log = directory / "log.jsonl"
        environ = {
            "PATH": os.defpath,
            "REDIS_URL": redis.url,
            "HTTP_ADDR": f"127.0.0.1:{port}",
            "PAYFLUX_API_KEYS": ",".join(map(key_of, range(keys))),
            "PAYFLUX_WORKERS": str(workers),
            "PAYFLUX_CHECKOUT_ENABLED": "false",
            "PAYFLUX_RATELIMIT_RPS": "10000000",
            "PAYFLUX_RATELIMIT_BURST": "10000000",
            "PAYFLUX_STREAM_MAXLEN": str(maxlen),
            **({"PYTHONPATH": str(source)} if source else {}),
            **further,
        }
        self.lines = Lines()
        command = [sys.executable, "-P", "-m", "payflux", "serve"]
        self.started = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environ, stdout=self.lines.end, stderr=log)
        os.close(self.lines.end)
        until(lambda: self._said("node_started") or self._process.poll() is not None, START_SECONDS, 0.002)
        if not (ready := self._said("node_started")):
            self.stop()
            raise NodeFailed(f"the node did not start:\n{self._log.read_text()}")
        self.port = int(str(ready[-1]["address"]).rpartition(":")[2])
        pids = {str(line["child"]): int(str(line["pid"])) for line in self._said("child_started")}
        self.consumer = pids.pop("consumer")
        self.ingest = list(pids.values())
        self.workers = [pid for child, pid in pids.items() if child.startswith("ingest")]

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return [self._process.pid, self.consumer, *self.ingest]

    def _said(self, message: str) -> list[dict[str, object]]:
        lines = (json.loads(line) for line in self._log.read_text().splitlines() if line[:1] + line[-1:] == "{}")
        return [line for line in lines if line["msg"] == message]

    def log_end(self) -> str:
        """The last it said."""
        return "\n".join(self._log.read_text().splitlines()[-LOG_LINES:])

    def measure(self, load: Callable[[], Load], shape: Shape) -> Figures:
        """Put a load on the node, wait until everything came out, and count.

        Args:
            load: makes it.
            shape: what it looks like.
        """
        octets = self.answer_octets(shape)
        counting = self.counting()
        before = self._look()
        seen = load()
        ingest_spent, ended = sum(map(cpu_seconds, self.ingest)) - before.ingest, time.monotonic()
        lag = self.backlog()[0]
        drained = until(lambda: self.backlog() == (0, 0), DRAIN_SECONDS, 0.002)
        drain_ms, after = (time.monotonic() - ended) * 1e3, self._look()
        # A request that was cut may still be on its way through the node: its event counts, its cost is negligible.
        counted = counting()
        wrong = list(broken(seen, counted, shape, octets))
        if not drained:
            wrong.append(f"the stream is not empty after {DRAIN_SECONDS:.0f} s")
        return self._figures(seen, counted, shape, (before, after), ingest_spent, (lag, drain_ms), wrong)

    def _figures(  # noqa: PLR0917 - what `measure` found
        self,
        seen: Load,
        counted: Counted,
        shape: Shape,
        looks: "tuple[_Look, _Look]",
        ingest_spent: float,
        backlog: tuple[int, float],
        wrong: list[str],
    ) -> Figures:
        before, after = looks
        events = max(1, counted.accepted + counted.duplicates)
        scripts, acks = (
            after.redis_said.calls.get(name, 0) - before.redis_said.calls.get(name, 0) for name in (APPENDS, COMMITS)
        )
        append, read = (
            getattr(after.redis_said, name) - getattr(before.redis_said, name) for name in ("append_us", "consumer_us")
        )
        # Of the two times only the ratio is used: they are by the clock, so waiting for a CPU is in them.
        redis_us, share = (after.redis - before.redis) / events * 1e6, append / max(1.0, append + read)
        lag, drain_ms = backlog
        return Figures(
            events=events,
            per_second=seen.answers * shape.size / seen.seconds,
            whole_per_second=events / (seen.seconds + drain_ms / 1e3),
            p50_ms=seen.p50_ms,
            p99_ms=seen.p99_ms,
            p999_ms=seen.p999_ms,
            ingest_us=ingest_spent / events * 1e6,
            consumer_us=(after.consumer - before.consumer) / events * 1e6,
            redis_us=redis_us,
            redis_append_us=redis_us * share,
            redis_consumer_us=redis_us * (1 - share),
            batch=events / max(1, scripts),
            read_batch=counted.accepted / max(1, acks),
            lag=lag,
            drain_ms=drain_ms,
            **self.memory(),
            wrong=wrong,
            rate=seen.rate * shape.size,
            late_p99_ms=seen.late_p99_ms,
        )

    def memory(self) -> dict[str, float]:
        """Resident memory in MiB, by who has it."""
        return {
            "node_mib": sum(map(rss_mib, self.pids)),
            "ingest_mib": sum(map(rss_mib, self.ingest)),
            "consumer_mib": rss_mib(self.consumer),
            "redis_mib": rss_mib(self.redis.pid),
        }

    def counting(self) -> Callable[[], Counted]:
        """Start to count, once nothing is on its way; what is returned waits for that again, and tells."""
        before = Counted(*[-1] * len(Counted.__struct_fields__))

        def quiet() -> bool:
            nonlocal before
            before = self._count()
            return self.backlog() == (0, 0) and before.lines == before.exported == before.accepted

        if not until(quiet, DRAIN_SECONDS):
            raise NodeFailed(f"the node does not come to rest: {before}")

        def since() -> Counted:
            found = before

            def agreed() -> bool:
                nonlocal found
                now = self._count()
                found = Counted(*(getattr(now, name) - getattr(before, name) for name in Counted.__struct_fields__))
                return len({found.accepted, found.numbered, found.added, found.exported, found.lines}) == 1

            until(agreed, SETTLE_SECONDS)
            return found

        return since

    def _count(self) -> Counted:
        metrics = self.metrics()
        numbered = self.redis.number("HGET", "{events_stream}:state", "seq")
        counts = {name: int(metrics.get(METRICS[name], 0)) for name in COUNTED}
        return Counted(**counts, numbered=numbered, added=self._added(), lines=self.lines.count)

    def _look(self) -> "_Look":
        cpu = sum(map(cpu_seconds, self.ingest)), cpu_seconds(self.redis.pid), cpu_seconds(self.consumer)
        return _Look(*cpu, self.redis.commands())

    def _added(self) -> int:
        """How many entries the stream has ever taken; XLEN is less when it was trimmed."""
        if not self.redis.number("EXISTS", "events_stream"):
            return 0
        return int(str(_pairs(self.redis.command("XINFO", "STREAM", "events_stream"))["entries-added"]))

    def backlog(self) -> tuple[int, int]:
        """Entries not read (-1 when Redis cannot tell; all of them before there is a group), and read but not acked."""
        if not self.redis.number("EXISTS", "events_stream"):
            return 0, 0
        groups = self.redis.command("XINFO", "GROUPS", "events_stream")
        assert isinstance(groups, list)
        if not groups:
            return self.redis.number("XLEN", "events_stream"), 0
        group = _pairs(groups[0])
        return int(str(-1 if group["lag"] is None else group["lag"])), int(str(group["pending"]))

    def metrics(self) -> dict[str, float]:
        """The sums of /metrics, by name."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        sums: dict[str, float] = {}
        for family in families:
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def answer_octets(self, shape: Shape) -> tuple[int, int]:
        """The least and greatest length of a right answer, from asking: with a new event, and once more."""
        first, again = (self._post(shape, key) for key in (True, False))
        return (min(first, again), max(first, again)) if shape.duplicates else (first, first)

    def _post(self, shape: Shape, new: bool) -> int:  # noqa: FBT001
        if new:
            self._probes = [os.urandom(16).hex() for _ in range(shape.size)]
        ids = [f"{one[:8]}-{one[8:12]}-4{one[13:16]}-8{one[17:20]}-{one[20:]}" for one in self._probes]
        events = [event_of(shape, event_id).replace('"p%"', '"p0001"') for event_id in ids]
        kind = "x-ndjson" if shape.form == "ndjson" else "json"
        body = {"single": events[0], "array": f"[{','.join(events)}]", "ndjson": "\n".join(events)}[shape.form]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": f"application/{kind}"}
        connection.request("POST", EVENT_PATH if shape.form == "single" else BATCH_PATH, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        said, batch = json.loads(text), shape.form != "single"
        word = ("accepted" if new else "duplicate") + "s" * (batch and not new)
        right = said.get(word) == shape.size if batch else said.get("status") == word
        if answer.status != (200 if batch else 202) or not right:
            raise NodeFailed(
                f"the node answered {answer.status} to a {'new' if new else 'known'} event: {text[:200]!r}"
            )
        head = f"HTTP/1.1 {answer.status} {answer.reason}\r\n" + "".join(
            f"{k}: {v}\r\n" for k, v in answer.getheaders()
        )
        return len(head) + 2 + len(text)

    def pause_consumer(self, *, pause: bool) -> None:
        """Stop or continue the consumer's process."""
        os.kill(self.consumer, signal.SIGSTOP if pause else signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(35)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


class _Look(NamedTuple):
    """The state of things at one moment: CPU seconds, and what Redis says of its commands."""

    ingest: float
    redis: float
    consumer: float
    redis_said: Commands


def _pairs(flat: object) -> dict[str, object]:
    assert isinstance(flat, list)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def until(condition: Callable[[], object], seconds: float, nap: float = 0.01) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(nap)
    return True
