"""A summary for people: the table, the floors, the verdicts."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.report.result import Verdict
from benchmarks.report.summary import Line, Summary
from benchmarks.report.targets import CONTRACT


class Column(NamedTuple):
    """A figure as it is shown."""

    figure: str
    heading: str
    form: str = ",.1f"


COLUMNS = (
    Column("per_second", "events/s", ",.0f"),
    Column("ingest_us", "ingest"),
    Column("consumer_us", "consumer"),
    Column("redis_us", "Redis"),
    Column("redis_append_us", "append"),
    Column("redis_consumer_us", "read"),
    Column("p50_ms", "p50 ms", ",.2f"),
    Column("p99_ms", "p99", ",.1f"),
    Column("p999_ms", "p99.9", ",.1f"),
    Column("batch", "script", ",.0f"),
    Column("read_batch", "commit", ",.0f"),
    Column("drain_ms", "drain ms", ",.0f"),
    Column("node_mib", "MiB", ",.0f"),
)
FLOORS = {
    "nginx": "nginx `return 202`",
    "bare": "202 of our server",
    "xadd": "XADD, pipelined",
    "script30": "XADD in scripts of 30",
    "script100": "XADD in scripts of 100",
}
OTHERS = {
    "capacity": "events/s at most, just before",
    "rate": "events/s that were due",
    "late_p99_ms": "load generator late, p99, ms",
    "answer_p50_ms": "event to answer, p50, ms",
    "answer_p99_ms": "event to answer, p99, ms",
    "line_p50_ms": "event to line, p50, ms",
    "line_p99_ms": "event to line, p99, ms",
    "line_max_ms": "event to line, longest, ms",
    "start_ms": "start to first 202, ms",
    "lag_max": "most lag, events",
    "growth_mib": "growth of the node's memory, MiB",
    "measured_ids": "ids remembered for real",
    "per_id": "bytes of an id in its set",
    "per_bucket": "bytes of a set besides",
    **{f"bytes_at_{millions}m": f"bytes an id at {millions} million (calculated)" for millions in (5, 10, 20, 50, 100)},
    "bytes_per_id": "most bytes an id from 1 to 100 million",
    "gib_a_day_at_1000": "GiB for 24 h at 1,000 events/s (calculated)",
    "gib_a_day_at_50000": "GiB for 24 h at 50,000 events/s (calculated)",
}
"""Figures that only some scenarios have."""


def show(console: Console, summary: Summary) -> None:
    """Print a run."""
    machine = summary.about.machine
    console.print(f"\n{machine['cpus']} x {machine['cpu']}, Linux {machine['kernel']}, Python {machine['python']}")
    console.print(f"load by {summary.about.generator}; CPUs kept busy by others: {summary.about.foreign:.2f} at most")
    console.print(figures_table(summary.scenarios))
    for table in (floors_table(summary.scenarios), others_table(summary.scenarios), verdict_table(summary)):
        if table.row_count:
            console.print(table)
    for text in summary.wrong:
        console.print(f"[red]{text}[/]")


def figures_table(scenarios: list[Line]) -> Table:
    """What the loads cost, a row for each."""
    table = Table(title="the node: medians of the rounds; CPU in µs per event", title_justify="left")
    table.add_column("", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for scenario in scenarios:
        if scenario.figure("per_second") is not None:
            table.add_row(scenario.name, *cells(scenario))
    return table


def cells(scenario: Line) -> list[str]:
    """The figures of a row; empty where there is none."""
    values = ((scenario.figure(column.figure), column.form) for column in COLUMNS)
    return ["" if value is None else format(value, form) for value, form in values]


def floors_table(scenarios: list[Line]) -> Table:
    """What the floors cost in the same rounds."""
    table = Table(title="the floors: CPU in µs per request or event, and how many a second", title_justify="left")
    table.add_column("beside")
    for name in FLOORS.values():
        table.add_column(name, justify="right")
    for scenario in scenarios:
        if scenario.floors:
            found = (scenario.floors.get(name) for name in FLOORS)
            cells = ("" if floor is None else f"{floor.cpu_us:.2f}  {floor.per_second:>9,.0f}" for floor in found)
            table.add_row(scenario.name, *cells)
    return table


def others_table(scenarios: list[Line]) -> Table:
    """What is measured otherwise."""
    table = Table("", "figure", "median", title="other figures", title_justify="left")
    for scenario in scenarios:
        for label, value in others(scenario):
            table.add_row(scenario.name, label, value)
    return table


def others(scenario: Line) -> Iterator[tuple[str, str]]:
    """What of a scenario is in no column: what it is, and the median."""
    for name, label in OTHERS.items():
        if value := scenario.figure(name):  # 0 is a schedule that was none
            yield label, f"{value:,.2f}"


def verdict_table(summary: Summary) -> Table:
    """The targets."""
    table = Table("target", title="targets", title_justify="left")
    for heading in ("median", "range", "limit", "verdict"):
        table.add_column(heading, justify="right")
    for row in verdict_rows(summary):
        table.add_row(*row[:-1], {"PASS": "[green]PASS[/]", "FAIL": "[red]FAIL[/]"}.get(row[-1], row[-1]))
    return table


def verdict_rows(summary: Summary) -> Iterator[tuple[str, str, str, str, str]]:
    """Each target: name, median, range, limit, verdict; the contract is the last one."""
    for verdict in summary.verdicts:
        limit = f"{'≥' if verdict.at_least else '≤'} {number(verdict.limit)}"
        if verdict.reason:
            yield verdict.name, verdict.reason, "", limit, "FAIL"
            continue
        spread = f"{number(verdict.least)} to {number(verdict.most)}"
        yield verdict.name, number(verdict.found), spread, limit, word(verdict)
    yield CONTRACT, "", "", "", "FAIL" if summary.wrong else "PASS"


def word(verdict: Verdict) -> str:
    """PASS, FAIL, or that it is not judged."""
    return "for information" if verdict.ok is None else "PASS" if verdict.ok else "FAIL"


def number(value: float) -> str:
    """With as many digits as matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
