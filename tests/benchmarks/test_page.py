"""The benchmark's plots and page: made of the result, and of nothing else."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.report.figures import plots, write
from benchmarks.report.page import END, PAGE, PLOTS, parts, rewrite
from benchmarks.report.plots import Axis, axis, bars, lines
from benchmarks.report.result import Measured, Result, Run, read, save
from benchmarks.report.targets import judge
from benchmarks.servers.floors import Floor

SVG = "{http://www.w3.org/2000/svg}"
MACHINE: dict[str, object] = {
    "cpus": 2,
    "cpu": "A & B <C>",
    "kernel": "6.1",
    "python": "3.11",
    "modules": {"uvloop": "1"},
    "tools": {"nginx": "nginx 1"},
    "commit": "abc",
}


def measured(name: str, family: str, x: float, **figures: float) -> Measured:
    floors = {"nginx": Floor(8.0, 1e5), "script30": Floor(2.2, 4e5)}
    return Measured(name, family, name, x, [], [Run(figures, floors)])


def result() -> Result:
    load = {"per_second": 40_000.0, "ingest_us": 12.0, "consumer_us": 5.0, "redis_us": 7.0, "node_mib": 100.0}
    load |= {"redis_append_us": 4.0, "redis_consumer_us": 2.0, "drain_ms": 12.0}
    late = {"p50_ms": 1.0, "p99_ms": 4.0, "p999_ms": 9.0}
    trace = {"x": [1e5, 1e6, 2e6], "bytes": [1.3e6, 9.0e6, 2.4e7], "keys": [4096.0, 4096.0, 60_000.0]}
    run = Run({"per_id": 8.5, "per_bucket": 120.0, "bytes_per_id": 14.0}, trace=trace)
    sampled = Run(
        load, trace={"x": [0.0, 60.0], "lag": [0.0, 9.0], "node_mib": [90.0, 91.0], "redis_mib": [50.0, 60.0]}
    )
    scenarios = [
        measured("single-64", "single", 64, **load),
        measured("single-64-2w", "single-2w", 64, **load),
        measured("ndjson-100", "ndjson", 100, **load),
        measured("connections-8", "connections", 8, **load),
        measured("connections-4000", "connections", 4000, **load),
        measured("open-25", "open", 25, **late),
        measured("open-50", "open", 50, **late),
        Measured("dedup-memory", "dedup", "dedup", 0, [], [run]),
        Measured("arriving", "arriving", "arriving", 0, [], [sampled]),
        Measured("soak", "soak", "soak", 0, [], [sampled]),
    ]
    return Result("2026-01-09T12:00:00Z", MACHINE, {"rounds": 1, "seconds": 2.0}, "wrk", scenarios, judge(scenarios))


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own


def test_every_plot_is_drawn_and_well_formed() -> None:
    """There is one of each kind for which there are figures, each with its title and its conditions."""
    found = dict(plots(result()))
    assert set(found) == {"cost", "speed", "batch-size", "latency", "lag", "soak", "dedup-memory", "connections"}
    for name, svg in found.items():
        assert "A & B <C>" in " ".join(texts(svg)), name


def test_bars_are_as_long_as_their_figures() -> None:
    """Twice as much is twice as long; a sum stands at the end."""
    svg = bars("t", "a", {"one": {"x": 10.0, "y": 5.0}, "two": {"x": 20.0}}, "µs")
    found = [float(e.get("width", 0)) for e in ET.fromstring(svg).iter(f"{SVG}rect") if e.get("class") != "page"]  # noqa: S314
    assert found[0] * 2 == pytest.approx(found[2], abs=0.2)
    assert found[1] * 2 == pytest.approx(found[0], abs=0.2)
    assert {"15.0", "20.0"} <= set(texts(svg))


def test_points_lie_where_their_values_are() -> None:
    """On a logarithmic axis equal ratios are equal steps; upwards is more."""
    svg = lines("t", "a", {"c": [(1.0, 0.0), (10.0, 5.0), (100.0, 10.0)]}, "x", "y", "x")
    (line,) = ET.fromstring(svg).iter(f"{SVG}polyline")  # noqa: S314
    (x0, y0), (x1, y1), (x2, y2) = (tuple(map(float, p.split(","))) for p in line.get("points", "").split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y1 > y2


@pytest.mark.parametrize("values", [[0.0], [3.0], [0.7, 12.0], [1.0, 151_234.0]])
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_holds_its_values_and_has_round_ticks(values: list[float], log: bool) -> None:
    """Whatever they are; a logarithmic one holds no zero."""
    if log and 0.0 in values:
        return
    along = axis("a", values, log=log)
    assert along.low <= min(values) <= max(values) <= along.high
    assert 1 <= len(along.ticks()) <= 20
    assert Axis("a", 0, 10, log=False).ticks() == [0, 2, 4, 6, 8, 10]


def test_the_page_gets_figures_between_its_marks_and_keeps_its_words() -> None:
    """Twice the same is the same."""
    page = PAGE.read_text()
    once = rewrite(page, result(), "some-run", ["cost"])
    assert rewrite(once, result(), "some-run", ["cost"]) == once
    assert "(img/performance/cost.svg)" in once
    assert "benchmarks/results/some-run.json" in once
    assert "| 40,000 |" in once
    assert "**Where each µs goes.**" in once
    for part in parts(result(), []):
        assert once.count(f"<!-- {part}: ") == once.count(END.format(part)) == 1


def test_a_page_without_marks_is_refused() -> None:
    """Figures that have no place must not vanish."""
    with pytest.raises(ValueError, match="no marks for machine"):
        rewrite("# Nothing", result(), "some-run", [])


def test_a_result_is_kept_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written and read again it is the same, floors, traces and verdicts included; plots lie beside it."""
    monkeypatch.setattr("benchmarks.report.result.RESULTS", tmp_path)
    assert read(save(result(), "some-run")) == result()
    files = write(result(), tmp_path / "some-run")
    assert files == sorted(tmp_path.rglob("*.svg"), key=files.index)
    assert len(files) == 8


def test_the_page_shows_what_is_kept() -> None:
    """The figures of docs/performance.md are those of the result it names."""
    page = PAGE.read_text()
    for name in {line.rpartition("/")[2].split(".json")[0] for line in page.splitlines() if ".json -->" in line}:
        file = PAGE.parent.parent / "benchmarks" / "results" / f"{name}.json"
        assert file.exists()
        pictures = sorted(plot.stem for plot in PLOTS.glob("*.svg"))
        found = dict(plots(read(file)))
        assert pictures == sorted(found)
        assert rewrite(page, read(file), name, list(found)) == page
