"""A trial of exporters: events while one destination after the other is in trouble, and what came of it."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from destinations import Destination, Line
from gate import Trouble
from nodes import Node, event
from servers import Server, until

GROUP = "payflux:"
KILLED = "killed"
TROUBLES = ("stalled", "cut after it took", "slow", "not there", "5xx", "4xx", "429", KILLED)
HARMLESS = ("none", "slow")
PROCESSORS = 7
BATCH = 250
SETTINGS = {
    f"PAYFLUX_EXPORT_{name}_{end}": text
    for name in ("WEBHOOK", "PARQUET", "KAFKA")
    for end, text in (("BATCH_EVENTS", "200"), ("TIMEOUT_SEC", "2"), ("BACKOFF_SEC", "1"))
}
"""Batches and waits that are small, so that a trouble is met many times."""


class Phase(NamedTuple):
    """What was seen while one destination was in one trouble.

    Attributes:
        exporter: whose destination.
        trouble: what was wrong.
        events: so many were sent.
        held: so many waited for it when the trouble ended.
        others: the most that waited for any other exporter and for the lines, seconds after the last event was sent.
        slowest: milliseconds of the slowest of its batches at ingestion.
        recovered: seconds from the end of the trouble until nothing waited.
        peak: the most memory its process ever had, in MB.
    """

    exporter: str
    trouble: str
    events: int
    held: int
    others: float
    slowest: float
    recovered: float
    peak: float


def lags(server: Server) -> dict[str, int]:
    """How many entries wait for each group; where Redis does not know it, some do."""
    found: Any = server.client.xinfo_groups("events_stream")
    return {one["name"].decode(): (1 if one["lag"] is None else int(one["lag"])) + int(one["pending"]) for one in found}


class Trial:
    """One node that exports to several destinations.

    Args:
        node: with an exporter for each of them.
        server: its Redis.
        destinations: real ones.
    """

    def __init__(self, node: Node, server: Server, destinations: Sequence[Destination]) -> None:
        self._node, self._server, self._destinations = node, server, destinations
        self.sent: list[str] = []

    def phase(self, victim: Destination, trouble: str, count: int) -> Phase:
        """Send so many events while one destination is in trouble; then wait until it has them all."""
        name = GROUP + victim.name
        self._begin(victim, trouble)
        slowest = self._send(count)
        ended = time.monotonic()
        until(
            lambda: not any(lag for group, lag in lags(self._server).items() if group != name),
            f"the others, while {victim.name} is {trouble}",
            60,
        )
        others = time.monotonic() - ended
        if trouble == KILLED:
            self._node.kill_child(f"export-{victim.name}")
        elif trouble not in HARMLESS:
            until(lambda: self._failing(victim.name), f"{victim.name} to fail while it is {trouble}", 60)
        held, peak = lags(self._server)[name], self._peak(victim)
        victim.gate.set(Trouble.NONE)
        ended = time.monotonic()
        if trouble == KILLED:
            until(lambda: lags(self._server)[name] < held, f"{victim.name} to work")
            self._node.kill_child(f"export-{victim.name}")
        until(lambda: not lags(self._server)[name], f"{victim.name} after it was {trouble}", 120)
        recovered = time.monotonic() - ended
        return Phase(victim.name, trouble, count, held, others, slowest, recovered, max(peak, self._peak(victim)))

    def _begin(self, victim: Destination, trouble: str) -> None:
        """Who is killed is so with a delivery in hand, which goes on without it."""
        if trouble in victim.refusals:
            victim.gate.set(Trouble.ANSWERING, victim.refusals[trouble])
        else:
            victim.gate.set(Trouble.STALLED if trouble == KILLED else Trouble(trouble))

    def _send(self, count: int) -> float:
        """So many events, of several processors; milliseconds of the slowest batch."""
        slowest = 0.0
        events = [event(processor=f"processor-{number % PROCESSORS}") for number in range(count)]
        for start in range(0, count, BATCH):
            begun = time.monotonic()
            assert self._node.post_batch(events[start : start + BATCH])[0] == 200
            slowest = max(slowest, (time.monotonic() - begun) * 1000)
        self.sent += [str(one["event_id"]) for one in events]
        return slowest

    def _failing(self, name: str) -> bool:
        time.sleep(0.05)
        return self._node.metrics()[f'exporter_failing{{destination="{name}"}}'] == 1

    def lost(self) -> float:
        """What the node counted as lost to exporters, or put among their dead letters."""
        counts = ("export_lost_total", "export_dlq_total")
        return sum(value for name, value in self._node.metrics().items() if name.startswith(counts))

    def _peak(self, victim: Destination) -> float:
        """The most memory its exporter's process ever had, in MB."""
        status = Path(f"/proc/{self._node.child_pid(f'export-{victim.name}')}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Arrived(NamedTuple):
    """What a destination has in the end, of what was sent.

    Attributes:
        missing: events that are not there.
        twice: how often one came that was there already.
        disordered: processors whose events came first in another order than they were taken in.
    """

    missing: int
    twice: int
    disordered: int


def arrived(destination: Destination, sent: Sequence[str]) -> Arrived:
    """Compare what it has with what was sent."""
    lines = destination.lines(len(sent))
    by_key: dict[str, list[int]] = {}
    firsts: dict[str, Line] = {}
    for line in lines:
        if line["event_id"] not in firsts:
            firsts[line["event_id"]] = line
            by_key.setdefault(line["processor"], []).append(line["seq"])
    return Arrived(
        missing=len(set(sent) - firsts.keys()),
        twice=len(lines) - len(firsts),
        disordered=sum(seqs != sorted(seqs) for seqs in by_key.values()),
    )


def table(phases: Sequence[Phase], ends: Mapping[str, Arrived]) -> str:
    """What was seen, as Markdown."""
    rows = [
        "| exporter | destination | events | waiting | others done after | slowest batch in | done after | memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in phases:
        times = f"{one.others:.1f} s | {one.slowest:.0f} ms | {one.recovered:.1f} s"
        rows.append(f"| {one.exporter} | {one.trouble} | {one.events:,} | {one.held:,} | {times} | {one.peak:.0f} MB |")
    rows += ["", "| exporter | events | missing | out of order | came twice |", "| --- | --- | --- | --- | --- |"]
    total = {name: sum(one.events for one in phases) for name in ends}
    for name, end in ends.items():
        rows.append(f"| {name} | {total[name]:,} | {end.missing} | {end.disordered} | {end.twice} |")
    return "\n".join([*rows, ""])
