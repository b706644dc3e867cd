"""The producer client through an outage of the node, and what `send` costs its caller.

A real node with an embedded Valkey is ended, stays away, and comes back, while two clients are given events at a steady
rate: one with a spool, one with its memory alone. What arrived is counted by the node's own lines.
"""

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from benchmarks.machine import host_kind
from payflux.client import Client, Counts
from payflux.event.example import make_event

KEY = "bench-key-0123456789"
TARGET_US = 10.0
SETTLE_SECONDS = 60.0
SPEED_EVENTS = 5000  # fewer than the queue holds
PACED_RATE = 1000.0
MADE_BY_THE_CLIENT = ("event_id", "event_timestamp")
PERCENTILES = (("median", 0.5), ("p90", 0.9), ("p99", 0.99))


def event() -> dict[str, Any]:
    """An event as an application makes it."""
    return {name: value for name, value in make_event().items() if name not in MADE_BY_THE_CLIENT}


class Node:
    """A node with its own Valkey on one port, which can be ended and started again with its data."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._directory, self._lines = directory, directory / "lines.jsonl"
        self._environ = {
            "PATH": os.defpath,
            "HOME": str(directory),
            "HTTP_ADDR": f"127.0.0.1:{self._port}",
            "PAYFLUX_API_KEY": KEY,
            "PAYFLUX_RATELIMIT_RPS": "1000000",
            "PAYFLUX_RATELIMIT_BURST": "1000000",
        }
        self.start()

    def start(self) -> None:
        """Start it and wait until it takes events."""
        with self._lines.open("ab") as lines, (self._directory / "log.jsonl").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "payflux", "dev", "--directory", str(self._directory)],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=log,
            )
        until(self._ready, "the node")

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        with suppress(OSError), closing(connection):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        return False

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(40)

    def arrived(self) -> list[str]:
        """The mark of every line, in order."""
        return [json.loads(line)["channel"] for line in self._lines.read_bytes().splitlines()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition; raises TimeoutError when it does not come true in time."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)


def pace(rate: float, seconds: float, act: Callable[[], object]) -> list[float]:
    """Act at a steady rate; the µs each act took."""
    took = []
    due = time.perf_counter()
    for _ in range(int(rate * seconds)):
        due += 1 / rate
        if (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1e6)
    return took


def spread(took: list[float]) -> str:
    """Median and high percentiles."""
    ordered = sorted(took)
    shares = (f"{name} {ordered[int(len(ordered) * share)]:6.1f}" for name, share in PERCENTILES)
    return "   ".join(shares)


def speed(node: Node, seconds: float) -> float:
    """Show what `send` costs its caller; returns the larger median in µs, less that of measuring nothing."""
    one = event()
    with Client(node.url, KEY) as client:
        paced = pace(PACED_RATE, seconds, lambda: client.send(one))
        full = pace(1e9, SPEED_EVENTS / 1e9, lambda: client.send(one))
        client.flush(SETTLE_SECONDS)
    idle = pace(PACED_RATE, seconds, lambda: None)
    print(f"send, µs for its caller, on {host_kind()}:")
    print(f"  at {PACED_RATE:,.0f} events/s   {spread(paced)}")
    print(f"  at full speed     {spread(full)}")
    print(f"  measuring nothing {spread(idle)}")
    return max(median(paced), median(full)) - median(idle)


def outage(node: Node, directory: Path, seconds: float, rate: float) -> bool:
    """Show what became of every event of both clients; returns whether all of it adds up."""
    clients = {"spool": Client(node.url, KEY, spool=directory / "spool"), "memory": Client(node.url, KEY)}
    numbers = dict.fromkeys(clients, 0)

    def give() -> None:
        for name, client in clients.items():
            numbers[name] += 1
            client.send(event() | {"channel": f"{name}-{numbers[name]}"})

    pace(rate, 2, give)
    node.stop()
    pace(rate, seconds, give)
    away = {name: client.counts() for name, client in clients.items()}
    node.start()
    pace(rate, 2, give)
    settled = [client.close(SETTLE_SECONDS) for client in clients.values()]
    expected = sum(client.counts().accepted for client in clients.values())
    until(lambda: len(set(node.arrived()) - {""}) >= expected, "the lines")
    arrived = node.arrived()
    print(f"\nnode away for {seconds:.0f} s, {rate:.0f} events/s:")
    exact = all(settled)
    for name, client in clients.items():
        came = [mark for mark in arrived if mark.startswith(f"{name}-")]
        exact &= report(name, numbers[name], away[name], client.counts(), came)
    return exact


def report(name: str, given: int, away: Counts, end: Counts, came: list[str]) -> bool:
    """Show one client's numbers; returns whether they are exact."""
    dropped = sum(end.dropped.values())
    print(
        f"  {name:7} given {given}, arrived {len(came)}, dropped {dropped} {dict(end.dropped)}, retried {end.retried}"
    )
    print(f"  {'':7} before the node came back: spooled {away.spooled}, in memory {away.queued}")
    return (
        given == end.sent == len(came) + dropped
        and len(set(came)) == len(came) == end.accepted
        and not end.outstanding + sum(end.rejected.values())
    )


def main() -> int:
    """Measure; returns the exit code: 0 all exact and in time, 1 not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--outage", type=float, default=60.0, help="seconds the node is away (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=300.0, help="events a second (default: %(default)s)")
    parser.add_argument("--paced", type=float, default=5.0, help="seconds of paced sending (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pf-") as path, Node(Path(path)) as node:
        cost = speed(node, arguments.paced)
        exact = outage(node, Path(path), arguments.outage, arguments.rate)
    print(
        f"\nevery event accounted for: {exact}; send takes {cost:.1f} µs, at most {TARGET_US:.0f}: {cost <= TARGET_US}"
    )
    return 0 if exact and cost <= TARGET_US else 1


if __name__ == "__main__":
    sys.exit(main())
