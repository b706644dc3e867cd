"""The targets, and whether a run meets them."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.report.result import Measured, Run, Verdict

CONTRACT = "every answer the expected one; accepted = numbered = in the stream = exported = lines"
"""What holds of every run, beside the figures."""
DRAINED = ("single-64-2w", "ndjson-100-2w", "json-100-2w", "arriving", "soak")
"""Where it is judged how long the backlog stays after a load."""


class Target(NamedTuple):
    """Something to reach.

    Attributes:
        name: what it is, with its unit.
        scenario: where it is measured.
        value: what of a round is judged.
        limit: the most it may be, or the least.
        floors: what must have been measured beside it.
        at_least: `limit` is the least.
        informs: shown, not judged.
    """

    name: str
    scenario: str
    value: Callable[[Run], float]
    limit: float
    floors: tuple[str, ...] = ()
    at_least: bool = False
    informs: bool = False


def figure(name: str) -> Callable[[Run], float]:
    """A figure as it is."""
    return lambda run: run.figures[name]


def ratio(name: str, floor: str) -> Callable[[Run], float]:
    """A figure as a multiple of a floor's CPU in the same round."""
    return lambda run: run.figures[name] / run.floors[floor].cpu_us


TARGETS = (
    Target(
        "single POST, 64 connections, 2 workers: events/s", "single-64-2w", figure("per_second"), 50_000, at_least=True
    ),
    Target("the same with AOF everysec: events/s", "aof-everysec", figure("per_second"), 40_000, at_least=True),
    Target("single: ingest CPU / nginx `return 202`", "single-64-2w", ratio("ingest_us", "nginx"), 1.5, ("nginx",)),
    Target(
        "single: Redis CPU, all of it / XADD alone in a script",
        "single-64-2w",
        ratio("redis_us", "script30"),
        2.4,
        ("script30",),
    ),
    Target(
        "single: Redis CPU, append side / XADD alone in a script",
        "single-64-2w",
        ratio("redis_append_us", "script30"),
        2.4,
        ("script30",),
        informs=True,
    ),
    Target("batches of 100, 2 workers: events/s", "ndjson-100-2w", figure("per_second"), 150_000, at_least=True),
    Target("batches of 100: ingest CPU, µs", "ndjson-100-2w", figure("ingest_us"), 3.5),
    Target(
        "batches of 100: Redis CPU, all of it / XADD alone in a script",
        "ndjson-100-2w",
        ratio("redis_us", "script100"),
        2.2,
        ("script100",),
    ),
    Target(
        "batches of 100: Redis CPU, append side / XADD alone in a script",
        "ndjson-100-2w",
        ratio("redis_append_us", "script100"),
        2.2,
        ("script100",),
        informs=True,
    ),
    Target("consumer alone: events/s", "consumer", figure("per_second"), 150_000, at_least=True),
    Target("consumer alone: CPU, µs", "consumer", figure("consumer_us"), 5.0),
    Target("80,000 events/s in batches: most lag, in seconds of traffic", "arriving", figure("lag_seconds"), 1.0),
    Target("open loop at 50 %: p99, ms", "open-50", figure("p99_ms"), 5.0),
    Target("open loop at 50 %: p99.9, ms", "open-50", figure("p999_ms"), 20.0),
    Target("idle node, event to line: p99, ms", "idle", figure("line_p99_ms"), 5.0),
    Target("de-duplication, most bytes an id, 1 to 100 million ids", "dedup-memory", figure("bytes_per_id"), 16.0),
    *(Target(f"until lag and pending are 0, {name}: ms", name, figure("drain_ms"), 1000.0) for name in DRAINED),
    Target("memory of a node with 2 workers, MiB", "single-64-2w", figure("node_mib"), 150.0),
    Target("start to first 202, ms", "start", figure("start_ms"), 1000.0),
    Target("soak: most memory of the node, MiB", "soak", figure("node_mib"), 150.0),
    Target("soak: growth of the node's memory, MiB", "soak", figure("growth_mib"), 5.0),
    Target("soak: most lag, in seconds of traffic", "soak", figure("lag_seconds"), 1.0),
)


WHY = {
    "single POST, 64 connections, 2 workers: events/s": (
        "Four programs share two CPUs: what ingest, Redis and the consumer leave of the 40 µs there are for each "
        "of 50,000 events is less than the load generator takes. More CPUs are more workers."
    ),
    "the same with AOF everysec: events/s": (
        "As above, and Redis writes each event once more, to its file, which is two fifths more of its CPU."
    ),
    "single: ingest CPU / nginx `return 202`": (
        "Half of nginx's bare answer is less than decoding and validating an event alone; reading, writing and the "
        "event loop come on top: see *What an event costs*."
    ),
    "single: Redis CPU, all of it / XADD alone in a script": (
        "A script costs about 60 µs however few events it brings, and two workers bring 16 each where the floor "
        "brings 30; marks, numbers and the consumer's reads are not in the floor."
    ),
    "batches of 100, 2 workers: events/s": (
        "Two CPUs have 13 µs for each of 150,000 events, for ingest, Redis, the consumer and the load generator "
        "together; the first three alone take more."
    ),
    "batches of 100: ingest CPU, µs": (
        "Decoding, validating and the screen for card numbers take 2 to 2.5 µs, the mark half a one; the rest is "
        "packing the script, the answer, and caches that other processes share."
    ),
    "batches of 100: Redis CPU, all of it / XADD alone in a script": (
        "The mark and the number of each event, and the consumer's reads, are not in the floor; Lua hashes every "
        "byte of every argument."
    ),
    "open loop at 50 %: p99, ms": (
        "Ingest, Redis, the consumer and the load generator wait for each other's turns on two CPUs, and a script "
        "waits up to 1 ms for more events; p99.9 is within its target."
    ),
    "consumer alone: CPU, µs": (
        "More than half of it makes the line, and counting and scoring take 1.5: see *What an event costs*. The "
        "events a second are reached."
    ),
    "80,000 events/s in batches: most lag, in seconds of traffic": (
        "More than these CPUs can do at all. Ingest is nicer than the consumer since, and the same minute measured "
        "again had 0.07 s: see *When it is too much*."
    ),
    "until lag and pending are 0, arriving: ms": "The same minute; measured again it was 21 ms.",
    CONTRACT: (
        "In that minute alone: fewer requests were answered than were due, and connections ended without an "
        "answer. Every answer that came was the expected one."
    ),
}
"""Why a target is missed where it is; a miss without a reason is none that may be published."""


def judge(scenarios: Sequence[Measured], targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """Compare within each round, as the machine is not equally fast in all of them, and judge the median.

    Targets of scenarios that were not to be measured are left out; a floor or figure that is missing fails its target.
    """
    return list(_verdicts({scenario.name: scenario for scenario in scenarios}, targets))


def _verdicts(scenarios: dict[str, Measured], targets: Sequence[Target]) -> Iterator[Verdict]:
    for target in targets:
        if target.scenario in scenarios:
            yield _verdict(target, scenarios[target.scenario].runs)


def _verdict(target: Target, runs: Sequence[Run]) -> Verdict:
    missing = sorted({floor for floor in target.floors for run in runs if floor not in run.floors})
    values: list[float] = []
    reason = f"no floor: {', '.join(missing)}" if missing else "" if runs else "not measured"
    try:
        values = [] if reason else [target.value(run) for run in runs]
    except (KeyError, ZeroDivisionError) as error:
        reason = f"no figure: {error}"
    if reason:
        return Verdict(
            target.name, target.scenario, 0.0, 0.0, 0.0, target.limit, target.at_least, ok=False, reason=reason
        )
    found = median(values)
    met = found >= target.limit if target.at_least else found <= target.limit
    return Verdict(
        target.name,
        target.scenario,
        found,
        min(values),
        max(values),
        target.limit,
        target.at_least,
        ok=None if target.informs else met,
    )
