"""The node that is measured: `payflux serve` as a process, its children by name, and what it did between two looks."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from floors import Redis
from load_generator import KEY, Load
from machine import cpu_seconds, rss_mib
from prometheus_client.parser import text_string_to_metric_families

START_SECONDS = 30.0
DRAIN_SECONDS = 30.0
SETTLE_SECONDS = 5.0
METRICS = {
    "accepted": "payflux_ingest_accepted_total",
    "duplicates": "payflux_ingest_duplicate_total",
    "rejected": "payflux_ingest_rejected_total",
    "exported": "payflux_events_exported_total",
    "lost": "payflux_stream_lost_total",
}


class NodeFailed(Exception):
    """The node did not start; the text holds its log."""


class Figures(msgspec.Struct):
    """What one load cost. CPU is µs of user and system time for each accepted event.

    Attributes:
        wrong: what breaks the contract, in words; the figures mean nothing unless it is empty.
        batch: events in an append script, on average.
        read_batch: events in an ack of the consumer, on average.
        script_us: what Redis measured for the append scripts and the consumer's, for each event.
        lag: events not yet read when the load ended.
        drain_ms: how long it took from then until all was read and acked.
    """

    events: int
    per_second: float
    p50_ms: float
    p99_ms: float
    ingest_us: float
    redis_us: float
    consumer_us: float
    batch: float
    read_batch: float
    script_us: float
    lag: int
    drain_ms: float
    ingest_mib: float
    consumer_mib: float
    redis_mib: float
    wrong: list[str]


class Node:
    """One node on its own server; its lines go to a file, which is emptied after each load."""

    def __init__(self, directory: Path, redis: Redis, workers: int) -> None:
        directory.mkdir()
        self._redis = redis
        self._lines, self._log = directory / "lines.jsonl", directory / "log.jsonl"
        environ = {
            "PATH": os.defpath,
            "REDIS_URL": redis.url,
            "HTTP_ADDR": "127.0.0.1:0",
            "PAYFLUX_API_KEY": KEY,
            "PAYFLUX_WORKERS": str(workers),
            "PAYFLUX_CHECKOUT_ENABLED": "false",
            "PAYFLUX_RATELIMIT_RPS": "10000000",
            "PAYFLUX_RATELIMIT_BURST": "10000000",
        }
        command = [sys.executable, "-m", "payflux", "serve"]
        with self._lines.open("ab") as lines, self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environ, stdout=lines, stderr=log)
        _until(lambda: self._said("node_started") or self._process.poll() is not None, START_SECONDS)
        if not (ready := self._said("node_started")):
            self.stop()
            raise NodeFailed(f"the node did not start:\n{self._log.read_text()}")
        self.port = int(str(ready[-1]["address"]).rpartition(":")[2])
        pids = {str(line["child"]): int(str(line["pid"])) for line in self._said("child_started")}
        self.consumer = pids.pop("consumer")
        self.ingest = list(pids.values())

    def _said(self, message: str) -> list[dict[str, object]]:
        lines = (json.loads(line) for line in self._log.read_text().splitlines() if line[:1] + line[-1:] == "{}")
        return [line for line in lines if line["msg"] == message]

    def measure(self, load: Callable[[], Load], requests_open: int, size: int = 1) -> Figures:
        """Put a load on the node, wait until everything came out, and count.

        Args:
            load: makes it.
            requests_open: how many requests may be cut, unanswered, at its end.
            size: events in a request.
        """
        counted = self._metrics()
        before = self._look()
        seen = load()
        ingest_spent = sum(map(cpu_seconds, self.ingest)) - before.ingest
        ended = time.monotonic()
        lag = self._backlog()[0]
        drained = _until(lambda: self._backlog() == (0, 0), DRAIN_SECONDS)
        drain_ms = (time.monotonic() - ended) * 1e3
        after = self._look()
        # A request that was cut may still be on its way through the node: its event counts, its cost is negligible.
        _until(lambda: self._agreed(counted, before.seq), SETTLE_SECONDS)
        events = self._seq() - before.seq
        risen = {name: value - counted[name] for name, value in self._metrics().items()}
        stored = {"numbered": events, "in the stream": self._added() - before.added, "lines written": self._written()}
        wrong = list(_wrong(seen, risen, stored, cut=requests_open * size, size=size))
        if not drained:
            wrong.append(f"the stream is not empty after {DRAIN_SECONDS:.0f} s")
        per_event = 1e6 / max(1, events)
        calls = {name: after.calls.get(name, 0) - before.calls.get(name, 0) for name in ("hmget", "xpending")}
        return Figures(
            events=events,
            per_second=seen.answers * size / seen.seconds,
            p50_ms=seen.p50_ms,
            p99_ms=seen.p99_ms,
            ingest_us=ingest_spent * per_event,
            redis_us=(after.redis - before.redis) * per_event,
            consumer_us=(after.consumer - before.consumer) * per_event,
            batch=events / max(1, calls["hmget"]),
            read_batch=events / max(1, calls["xpending"]),
            script_us=(after.script_us - before.script_us) / max(1, events),
            lag=lag,
            drain_ms=drain_ms,
            ingest_mib=sum(map(rss_mib, self.ingest)),
            consumer_mib=rss_mib(self.consumer),
            redis_mib=rss_mib(self._redis.pid),
            wrong=wrong,
        )

    def _look(self) -> "_Look":
        cpu = sum(map(cpu_seconds, self.ingest)), cpu_seconds(self._redis.pid), cpu_seconds(self.consumer)
        commands = self._redis.commands_run()
        return _Look(
            *cpu,
            seq=self._seq(),
            added=self._added(),
            calls={name: values["calls"] for name, values in commands.items()},
            script_us=commands.get("evalsha", {}).get("usec", 0.0),
        )

    def _seq(self) -> int:
        """The last number given."""
        return int(str(self._redis.command("HGET", "{events_stream}:state", "seq") or 0))

    def _agreed(self, counted: dict[str, int], seq: int) -> bool:
        """Whether all that was accepted is numbered and exported."""
        metrics = self._metrics()
        accepted = metrics["accepted"] - counted["accepted"]
        return accepted == self._seq() - seq == metrics["exported"] - counted["exported"]

    def _added(self) -> int:
        """How many entries the stream has ever taken; XLEN is less when it was trimmed."""
        return int(str(_pairs(self._redis.command("XINFO", "STREAM", "events_stream"))["entries-added"]))

    def _backlog(self) -> tuple[int, int]:
        """Entries not read, and read but not acked."""
        groups = self._redis.command("XINFO", "GROUPS", "events_stream")
        assert isinstance(groups, list)
        group = _pairs(groups[0])
        return int(str(group["lag"] or 0)), int(str(group["pending"]))

    def _metrics(self) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        return {name: int(sum(s.value for s in samples if s.name == metric)) for name, metric in METRICS.items()}

    def _written(self) -> int:
        """How many lines came out since the last look; the file is emptied."""
        lines = 0
        with self._lines.open("r+b") as file:
            while piece := file.read(1 << 20):
                lines += piece.count(b"\n")
            file.truncate(0)
        return lines

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(35)


class _Look(NamedTuple):
    """The state of things at one moment: CPU seconds, numbers of the stream, calls of commands."""

    ingest: float
    redis: float
    consumer: float
    seq: int
    added: int
    calls: dict[str, float]
    script_us: float


def _wrong(seen: Load, risen: dict[str, int], stored: dict[str, int], *, cut: int, size: int) -> Iterator[str]:
    """What contradicts: every answer a success, and each accepted event once in the stream and once in the output."""
    accepted, answered = risen["accepted"], seen.answers * size
    if not seen.answers or seen.bad or seen.broken:
        yield f"{seen.answers:,} answers, {seen.bad:,} of them no success, {seen.broken:,} connections broken"
    for name in ("duplicates", "rejected", "lost"):
        if risen[name]:
            yield f"{risen[name]:,} events {name}"
    if not answered <= accepted <= answered + cut:
        yield f"{accepted:,} accepted, but {answered:,} answered"
    for name, found in (("exported", risen["exported"]), *stored.items()):
        if found != accepted:
            yield f"{accepted:,} accepted, but {found:,} {name}"


def _pairs(flat: object) -> dict[str, object]:
    assert isinstance(flat, list)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
