"""The plots of a summary."""

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.report.plots import FLOOR, Point, bars, lines
from benchmarks.report.summary import Line, Summary
from benchmarks.scenarios.alone import modelled

COST = (
    *("single-8", "single-64", "single-256", "single-64-2w", "pipelined", "duplicates-100", "aof-everysec"),
    *("json-100", "ndjson-10", "ndjson-100", "ndjson-1000", "ndjson-100-2w", "consumer"),
)
SPEED = (
    *("single-8", "single-64", "single-256", "single-8-2w", "single-64-2w", "single-256-2w", "pipelined"),
    *("aof-everysec", "aof-always", "json-100", "ndjson-10", "ndjson-100", "ndjson-1000", "ndjson-100-2w", "consumer"),
)
SIDES = {"ingest_us": "ingest", "consumer_us": "consumer"}
SCALED = {"connections": "connections", "stored": "bytes of an event", "ignored": "bytes that are not stored"} | {
    "stream": "events in the stream",
    "keys": "API keys",
    "processors": "processors",
}
START = {"connections": 64.0, "stored": 447.0, "ignored": 447.0, "stream": 200_000.0, "keys": 1.0, "processors": 1.0}
"""Where the usual load, `single-64`, lies among them."""


def write(summary: Summary, folder: Path) -> list[Path]:
    """Write every plot there are figures for, instead of those that are there; returns the files."""
    found = dict(plots(summary))
    if found:
        folder.mkdir(parents=True, exist_ok=True)
    for former in folder.glob("*.svg"):
        former.unlink()
    for plot, svg in found.items():
        (folder / f"{plot}.svg").write_text(svg)
    return [folder / f"{plot}.svg" for plot in found]


def plots(summary: Summary) -> Iterator[tuple[str, str]]:
    """Each plot's name and SVG."""
    by_name = {scenario.name: scenario for scenario in summary.scenarios}
    machine = summary.about.machine
    about = f"{machine['cpus']} x {machine['cpu']}, shared by load, node and Redis; {summary.about.date[:10]}; medians"
    for name, plot in PLOTS.items():
        if svg := plot(by_name, about):
            yield name, svg


def _cost(found: dict[str, Line], about: str) -> str:
    rows = {name: parts for name in COST if name in found and (parts := _parts(found[name]))}
    reference = found.get("single-64") or found.get("single-64-2w")
    floors = {
        "nginx": "nginx 202",
        "bare": "bare server 202",
        "script30": "XADD in a script",
        "xadd": "XADD, pipelined",
    }
    for floor, label in floors.items() if reference else ():
        if value := reference.floor(floor) if reference else None:
            rows[f"floor: {label}"] = {FLOOR: value}
    return bars("CPU of an event, µs", about, rows, "µs of CPU per event") if rows else ""


def _parts(scenario: Line) -> dict[str, float]:
    """CPU of an event by who spends it."""
    sides = SIDES | {"redis_append_us": "Redis: append", "redis_consumer_us": "Redis: consumer"}
    return {label: value for name, label in sides.items() if (value := scenario.figure(name))}


def _speed(found: dict[str, Line], about: str) -> str:
    rows = {
        name: {"events/s": value} for name in SPEED if name in found and (value := found[name].figure("per_second"))
    }
    return (
        bars("Events a second", about, rows, "events per second, load and Redis on the same CPUs", ",.0f")
        if rows
        else ""
    )


def _sizes(found: dict[str, Line], about: str) -> str:
    names = [name for name in ("single-64", "ndjson-10", "ndjson-100", "ndjson-1000") if name in found]
    curves = {
        label: [(found[name].x if name != "single-64" else 1.0, found[name].figure(figure) or 0.0) for name in names]
        for figure, label in (SIDES | {"redis_us": "Redis"}).items()
    }
    if len(names) < 2:
        return ""
    return lines("Batches make events cheaper", about, curves, "events in a request", "µs of CPU per event", "x")


def _latency(found: dict[str, Line], about: str) -> str:
    names = [name for name in ("open-25", "open-50", "open-75") if name in found]
    curves: dict[str, list[Point]] = {
        label: [(found[name].x, found[name].figure(figure) or 0.0) for name in names]
        for figure, label in (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9"))
    }
    if len(names) < 2:
        return ""
    return lines("Latency at a constant rate", about, curves, "percent of what the node takes at most", "ms", "y")


def _lag(found: dict[str, Line], about: str) -> str:
    if "arriving" not in found:
        return ""
    trace = found["arriving"].trace
    curve = list(zip(trace["x"], trace["lag"], strict=True))
    return lines(
        "Lag while 80,000 events/s arrive", about, {"events not read or not acked": curve}, "seconds", "events"
    )


def _soak(found: dict[str, Line], about: str) -> str:
    if "soak" not in found:
        return ""
    trace = found["soak"].trace
    minutes = [x / 60 for x in trace["x"]]
    curves = {name: list(zip(minutes, trace[key], strict=True)) for name, key in MEMORY.items()}
    return lines("Memory in a soak", about, curves, "minutes", "MiB")


MEMORY = {"the node, all processes": "node_mib", "Redis": "redis_mib"}


def _dedup(found: dict[str, Line], about: str) -> str:
    if "dedup-memory" not in found:
        return ""
    line = found["dedup-memory"]
    trace, a, b = line.trace, line.figures["per_id"], line.figures["per_bucket"]
    measured = [(x, size / x) for x, size in zip(trace["x"], trace["bytes"], strict=True)]
    ids = [50_000 * 1.12**step for step in range(68)]
    curves = {"measured": measured, "calculated (model)": [(x, modelled(x, a, b)) for x in ids]}
    return lines("Memory of a remembered id", about, curves, "ids remembered", "bytes per id", "x")


def _scaling(family: str) -> Callable[[dict[str, Line], str], str]:
    def plot(found: dict[str, Line], about: str) -> str:
        members = [scenario for scenario in found.values() if scenario.family == family]
        places = {scenario.name: scenario.x for scenario in members}
        if members and "single-64" in found:
            members, places["single-64"] = [*members, found["single-64"]], START[family]
        members.sort(key=lambda scenario: places[scenario.name])
        if len(members) < 2:
            return ""
        curves = {
            label: [(places[scenario.name], scenario.figure(figure) or 0.0) for scenario in members]
            for figure, label in (SIDES | {"redis_us": "Redis"}).items()
        }
        nginx = [(places[s.name], cpu) for s in members if (cpu := s.floor("nginx")) is not None]
        if len(nginx) == len(members):
            curves["floor: nginx"] = nginx
        return lines(f"Cost by {SCALED[family]}", about, curves, SCALED[family], "µs of CPU per event", "x")

    return plot


PLOTS: dict[str, Callable[[dict[str, Line], str], str]] = {
    "cost": _cost,
    "speed": _speed,
    "batch-size": _sizes,
    "latency": _latency,
    "lag": _lag,
    "soak": _soak,
    "dedup-memory": _dedup,
    **{family: _scaling(family) for family in SCALED},
}
