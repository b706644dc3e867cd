"""What the repository keeps of a benchmark, and the plots and the page that are made of it, and of nothing else."""

import re
from pathlib import Path

import msgspec
import pytest

from benchmarks.report.figures import plots, write
from benchmarks.report.page import END, PAGE, PLOTS, UNEXPLAINED, parts, rewrite
from benchmarks.report.plots import FLOOR, bars, lines
from benchmarks.report.result import Measured, Result, Run, save
from benchmarks.report.summary import RESULTS, SAMPLES, Summary, keep, read, summarised
from benchmarks.report.targets import judge
from benchmarks.servers.floors import Floor
from payflux.terminal.drawing import GREY, SERIES
from pictures import texts

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


def raw() -> Result:
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


def result() -> Summary:
    return summarised(raw())


def test_every_plot_is_drawn_and_well_formed() -> None:
    """There is one of each kind for which there are figures, each with its title and its conditions."""
    found = dict(plots(result()))
    assert set(found) == {"cost", "speed", "batch-size", "latency", "lag", "soak", "dedup-memory", "connections"}
    for name, svg in found.items():
        assert "A & B <C>" in " ".join(texts(svg)), name


def test_bars_say_what_they_are_and_how_much() -> None:
    """A name at the start of each, the sum of its parts at the end, and a legend of the parts."""
    svg = bars("t", "a", {"one": {"x": 10.0, "y": 5.5}, "two": {"x": 1234.0}}, "µs", ",.1f")
    assert {"one", "two", "15.5", "1,234.0", "x", "y", "µs"} <= set(texts(svg))


def test_a_floor_is_grey_among_bars_and_curves() -> None:
    """It is no cost of ours, and takes no colour from what is."""
    for svg in (
        bars("t", "a", {"one": {"ours": 1.0}, "two": {FLOOR: 1.0}}, "µs"),
        lines("t", "a", {"floor: nginx": [(1.0, 1.0), (2.0, 2.0)], "ours": [(1.0, 3.0), (2.0, 4.0)]}, "x", "y"),
    ):
        assert GREY in svg
        assert SERIES[0] in svg
        assert SERIES[1] not in svg


def test_equal_ratios_are_equal_steps_on_a_logarithmic_axis() -> None:
    """Points lie where their values are."""
    svg = lines("t", "a", {"c": [(1.0, 0.0), (10.0, 5.0), (100.0, 10.0)]}, "x", "y", "x")
    curve = re.search(r'd="M([\d.]+),[\d.]+L([\d.]+),[\d.]+L([\d.]+),[\d.]+" stroke', svg)
    assert curve is not None
    x0, x1, x2 = map(float, curve.groups())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert {"1", "10", "100"} <= set(texts(svg))


def test_a_logarithmic_axis_ends_at_powers_of_ten() -> None:
    """And has round numbers between them."""
    svg = lines("t", "a", {"c": [(1.0, 2.0), (2.0, 40.0)]}, "x", "y", "y")
    assert {"1", "2", "5", "10", "20", "50", "100"} <= set(texts(svg))


def test_a_model_is_dashed_and_has_no_points() -> None:
    """It was calculated, not measured."""
    curve = [(1.0, 1.0), (2.0, 2.0)]
    measured, model = (lines("t", "a", {name: curve}, "x", "y") for name in ("found", "found (model)"))
    assert "stroke-dasharray" in model
    assert "stroke-dasharray" not in measured.replace('stroke-dasharray="1,0"', "")
    assert len(re.findall(r'fill="#3f76c4"', measured)) > len(re.findall(r'fill="#3f76c4"', model))


def test_the_page_gets_figures_between_its_marks_and_keeps_its_words() -> None:
    """Twice the same is the same."""
    page = PAGE.read_text()
    once = rewrite(page, result(), "some-run", ["cost"])
    assert rewrite(once, result(), "some-run", ["cost"]) == once
    assert "(img/performance/cost.svg)" in once
    assert "benchmarks/results/some-run.jsonl" in once
    assert "| 40,000 |" in once
    assert "**Where each µs goes.**" in once
    for part in parts(result(), []):
        assert once.count(f"<!-- {part}: ") == once.count(END.format(part)) == 1


def test_every_missed_target_is_explained() -> None:
    """No bare FAIL on the page; what nobody has explained is seen to be so."""
    page = PAGE.read_text()
    assert re.findall(r"FAIL|not explained", page) == []
    missed = re.findall(r"\| missed \| (.*) \|$", page, re.MULTILINE)
    assert len(missed) > 5
    assert all(len(reason) > 40 or "same minute" in reason for reason in missed)
    unknown = result()
    unknown.verdicts[0].name, unknown.verdicts[0].ok = "new", False
    assert UNEXPLAINED in parts(unknown, [])["targets"]


def test_a_page_without_marks_is_refused() -> None:
    """Figures that have no place must not vanish."""
    with pytest.raises(ValueError, match="no marks for machine"):
        rewrite("# Nothing", result(), "some-run", [])


def test_a_summary_has_the_medians_of_the_rounds() -> None:
    """And what was wrong in which of them, the floors that are missing included."""
    runs = [Run({"x": value}, {"nginx": Floor(value, 10 * value)}, trace={"x": [value]}) for value in (1.0, 9.0, 3.0)]
    runs[1].floors, runs[2].wrong = {}, ["lost"]
    several = Measured("a", "b", "c", 7.0, ["nginx"], runs)
    (line,) = summarised(Result("", {}, {}, "", [several], [])).scenarios
    assert (line.figure("x"), line.floor("nginx"), line.floors["nginx"].per_second) == (3.0, 2.0, 20.0)
    assert (line.figure("y"), line.floor("bare")) == (None, None)
    assert line.wrong == ["round 2: no floor: nginx", "round 3: lost"]
    assert line.trace == {"x": [3.0]}


def test_what_was_sampled_is_thinned_and_keeps_its_ends() -> None:
    """An hour of samples is no line."""
    trace = {"x": [float(second) for second in range(3601)]}
    (line,) = summarised(Result("", {}, {}, "", [Measured("a", "b", "c", 0, [], [Run({}, trace=trace)])], [])).scenarios
    assert (len(line.trace["x"]), line.trace["x"][0], line.trace["x"][-1]) == (SAMPLES, 0, 3600)
    assert line.trace["x"] == sorted(set(line.trace["x"]))


def test_a_summary_is_kept_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each scenario and one for the run; read again it is the same, verdicts included."""
    monkeypatch.setattr("benchmarks.report.summary.RESULTS", tmp_path)
    file = keep(result(), "some-run")
    assert len(file.read_text().splitlines()) == 1 + len(raw().scenarios)
    assert read(file) == result()
    assert read(file).verdicts


def test_every_round_is_kept_outside_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `build`, with the plots beside it; those of a former run are gone."""
    monkeypatch.setattr("benchmarks.report.result.RAW", tmp_path)
    folder = save(raw(), "some-run")
    (folder / "former.svg").touch()
    files = write(result(), folder)
    assert msgspec.json.decode((folder / "result.json").read_bytes(), type=Result) == raw()
    assert sorted(folder.glob("*.svg")) == sorted(files)
    assert len(files) == 8


def test_results_in_the_repository_are_short_and_without_plots() -> None:
    """A hundred lines of loads and as many of detectors; the plots are where the page shows them, once."""
    files = [file for file in RESULTS.rglob("*") if file.is_file()]
    lines = {file.name: len(file.read_text().splitlines()) for file in files}
    assert lines.pop("detection.jsonl") <= 100
    assert sum(lines.values()) <= 100
    assert {file.suffix for file in files} <= {".jsonl", ".txt"}


def test_the_page_shows_what_is_kept() -> None:
    """Figures and plots of docs/performance.md are those of the result it names; `report/page.py` writes them."""
    page = PAGE.read_text()
    (name,) = {line.rpartition("/")[2].split(".jsonl")[0] for line in page.splitlines() if ".jsonl -->" in line}
    summary = read(RESULTS / f"{name}.jsonl")
    found = dict(plots(summary))
    assert rewrite(page, summary, name, list(found)) == page
    # Compared by their words: places depend on the fonts of the machine that drew them.
    shown = {plot.stem: sorted(texts(plot.read_text())) for plot in PLOTS.glob("*.svg")}
    assert shown == {plot: sorted(texts(svg)) for plot, svg in found.items()}
