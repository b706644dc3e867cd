"""The result of a benchmark: verdicts, a table for people, a file for machines."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import msgspec
from floors import Floor
from node_under_test import Figures
from rich.console import Console
from rich.table import Table

INGEST_LIMIT = 2.2
REDIS_LIMIT = 3.5
CONSUMER_LIMIT_US = 7.0


class Round(msgspec.Struct):
    """The floors and the node, one after the other; `foreign` is how many CPUs others kept busy meanwhile."""

    nginx: Floor
    xadd: Floor
    single: Figures
    ndjson: Figures
    foreign: float


class Verdict(msgspec.Struct):
    """One target: the median of the rounds, the least and the most of them, and what it may be."""

    name: str
    found: float
    least: float
    most: float
    limit: float
    ok: bool


class Result(msgspec.Struct):
    """Everything there is to keep of a run."""

    date: str
    machine: dict[str, object]
    options: dict[str, object]
    generator: str
    verdicts: list[Verdict]
    wrong: list[str]
    rounds: list[Round]


def judge(rounds: Sequence[Round]) -> list[Verdict]:
    """Compare within each round, as the machine is not equally fast in all of them."""
    return [
        _verdict(
            "ingest CPU / nginx's `return 202`", [r.single.ingest_us / r.nginx.cpu_us for r in rounds], INGEST_LIMIT
        ),
        _verdict("Redis CPU / bare pipelined XADD", [r.single.redis_us / r.xadd.cpu_us for r in rounds], REDIS_LIMIT),
        _verdict("consumer CPU, µs", [r.single.consumer_us for r in rounds], CONSUMER_LIMIT_US),
    ]


def _verdict(name: str, values: Sequence[float], limit: float) -> Verdict:
    found = median(values)
    return Verdict(name, found, min(values), max(values), limit, found <= limit)


def contradictions(rounds: Sequence[Round]) -> list[str]:
    """What broke the contract, each with the number of its round."""
    return [
        f"round {number}, {what}: {text}"
        for number, a_round in enumerate(rounds, 1)
        for what, figures in (("single", a_round.single), ("NDJSON", a_round.ndjson))
        for text in figures.wrong
    ]


class _Row(NamedTuple):
    name: str
    of_node: Callable[[Figures], float]
    of_nginx: Callable[[Floor], float] | None = None
    of_xadd: Callable[[Floor], float] | None = None
    form: str = ",.1f"


ROWS = (
    _Row("a second", lambda f: f.per_second, lambda f: f.per_second, lambda f: f.per_second, ",.0f"),
    _Row("latency p50, ms", lambda f: f.p50_ms, lambda f: f.p50_ms, form=".2f"),
    _Row("latency p99, ms", lambda f: f.p99_ms, lambda f: f.p99_ms, form=".2f"),
    _Row("CPU of ingest (nginx), µs", lambda f: f.ingest_us, lambda f: f.cpu_us, form=".2f"),
    _Row("CPU of Redis, µs", lambda f: f.redis_us, None, lambda f: f.cpu_us, ".2f"),
    _Row("CPU of the consumer, µs", lambda f: f.consumer_us, form=".2f"),
    _Row("Redis in scripts, µs", lambda f: f.script_us, form=".2f"),
    _Row("events in an append script", lambda f: f.batch),
    _Row("events in a read of the consumer", lambda f: f.read_batch),
    _Row("lag when the load ended", lambda f: f.lag, form=",.0f"),
    _Row("until it was gone, ms", lambda f: f.drain_ms, form=",.0f"),
    _Row("RSS of ingest, MiB", lambda f: f.ingest_mib),
    _Row("RSS of the consumer, MiB", lambda f: f.consumer_mib),
    _Row("RSS of Redis, MiB", lambda f: f.redis_mib),
)


def show(console: Console, result: Result, connections: Sequence[int]) -> None:
    """Print a run for people."""
    machine, rounds = result.machine, result.rounds
    console.print(f"\n{machine['cpus']} x {machine['cpu']}, Linux {machine['kernel']}, Python {machine['python']}")
    others = ", ".join(f"{a_round.foreign:.2f}" for a_round in rounds)
    console.print(f"load by {result.generator}; CPUs kept busy by others in each round: {others}")
    single, batch = connections
    table = Table(title=f"medians of {len(rounds)} rounds, per request or event", title_justify="left")
    for heading in ("", "nginx 202", "bare XADD", f"single, {single} conn.", f"NDJSON of 100, {batch} conn."):
        table.add_column(heading, justify="right" if heading else "left")
    for row in ROWS:
        table.add_row(row.name, *_cells(row, rounds))
    console.print(table)
    verdicts = Table(title="targets", title_justify="left")
    for heading in ("", "median", "range", "limit", "verdict"):
        verdicts.add_column(heading, justify="right" if heading else "left")
    for v in result.verdicts:
        mark = "[green]PASS[/]" if v.ok else "[red]FAIL[/]"
        verdicts.add_row(v.name, f"{v.found:.2f}", f"{v.least:.2f} to {v.most:.2f}", f"{v.limit:.1f}", mark)
    promise = "every answer a success; accepted = numbered = in the stream = exported = lines"
    verdicts.add_row(promise, "", "", "", "[red]FAIL[/]" if result.wrong else "[green]PASS[/]")
    console.print(verdicts)
    for text in result.wrong:
        console.print(f"[red]{text}[/]")


def _cells(row: _Row, rounds: Sequence[Round]) -> list[str]:
    nginx = format(median(map(row.of_nginx, (r.nginx for r in rounds))), row.form) if row.of_nginx else ""
    xadd = format(median(map(row.of_xadd, (r.xadd for r in rounds))), row.form) if row.of_xadd else ""
    ours = [format(median(map(row.of_node, each)), row.form) for each in _columns(rounds)]
    return [nginx, xadd, *ours]


def _columns(rounds: Sequence[Round]) -> tuple[list[Figures], list[Figures]]:
    return [r.single for r in rounds], [r.ndjson for r in rounds]
