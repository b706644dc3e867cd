"""What the repository keeps of a benchmark: a line of JSON about the run, and one for each scenario.

Table, plots and page are made of it alone; every round as it was is in `build/benchmarks`, for whoever made the run.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.machine import ROOT
from benchmarks.report.result import Measured, Result, Verdict
from benchmarks.servers.floors import Floor

RESULTS = ROOT / "benchmarks" / "results"
DIGITS = 7
SAMPLES = 80
"""That are kept of what was sampled over time."""


class Line(msgspec.Struct, omit_defaults=True):
    """A scenario: the medians of its rounds.

    Attributes:
        name: of the scenario, as the next two.
        family: those that are shown together, by `x`.
        title: for people.
        x: its place in the family.
        figures: medians by name.
        floors: medians by name.
        trace: what was sampled over time in the last round, thinned; `x` is what it is sampled over.
        wrong: what broke the contract, and which floors are missing, each with its round.
        verdicts: on the targets that are judged here.
    """

    name: str
    family: str
    title: str
    x: float = 0.0
    figures: dict[str, float] = {}
    floors: dict[str, Floor] = {}
    trace: dict[str, list[float]] = {}
    wrong: list[str] = []
    verdicts: list[Verdict] = []

    def figure(self, name: str) -> float | None:
        """A figure; None where it was not measured."""
        return self.figures.get(name)

    def floor(self, name: str) -> float | None:
        """The CPU of a floor in µs; None where it was not measured."""
        return self.floors[name].cpu_us if name in self.floors else None


class About(msgspec.Struct):
    """The run.

    Attributes:
        date: when it ended, UTC.
        machine: with versions and commit.
        options: of the command line.
        generator: of the load.
        foreign: how many CPUs others kept busy at most, in any round.
    """

    date: str
    machine: dict[str, Any]
    options: dict[str, Any]
    generator: str
    foreign: float


class Summary(msgspec.Struct):
    """A run in short."""

    about: About
    scenarios: list[Line]

    @property
    def verdicts(self) -> list[Verdict]:
        """On every target that was judged, in the order of the scenarios."""
        return [verdict for line in self.scenarios for verdict in line.verdicts]

    @property
    def wrong(self) -> list[str]:
        """All that is wrong, each with its scenario."""
        return [f"{line.name}, {text}" for line in self.scenarios for text in line.wrong]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong and every target that was judged is met."""
        return not self.wrong and all(verdict.ok is not False for verdict in self.verdicts)


def summarised(result: Result) -> Summary:
    """A result in short."""
    foreign = max((run.foreign for scenario in result.scenarios for run in scenario.runs), default=0.0)
    about = About(result.date, result.machine, result.options, result.generator, _rounded(foreign))
    return Summary(about, [_line(scenario, result.verdicts) for scenario in result.scenarios])


def _line(measured: Measured, verdicts: Sequence[Verdict]) -> Line:
    figures = {name for run in measured.runs for name in run.figures}
    floors = {name for run in measured.runs for name in run.floors}
    return Line(
        measured.name,
        measured.family,
        measured.title,
        measured.x,
        {name: _rounded(measured.figure(name)) for name in sorted(figures)},
        {name: _floor(measured, name) for name in sorted(floors)},
        {name: _thinned(values) for name, values in (measured.runs[-1].trace if measured.runs else {}).items()},
        list(_wrong(measured)),
        [_short(verdict) for verdict in verdicts if verdict.scenario == measured.name],
    )


def _floor(measured: Measured, name: str) -> Floor:
    return Floor(_rounded(measured.floor(name)), _rounded(measured.floor(name, "per_second")))


def _wrong(measured: Measured) -> Iterator[str]:
    for number, run in enumerate(measured.runs, 1):
        missing = (f"no floor: {name}" for name in measured.needs if name not in run.floors)
        yield from (f"round {number}: {text}" for text in (*run.wrong, *missing))
    if not measured.runs:
        yield "not measured"


def _short(verdict: Verdict) -> Verdict:
    numbers = {name: _rounded(getattr(verdict, name)) for name in ("found", "least", "most")}
    return msgspec.structs.replace(verdict, **numbers)


def _thinned(values: Sequence[float]) -> list[float]:
    """Some samples at equal distances, the first and the last among them."""
    last = len(values) - 1
    places = range(len(values)) if last < SAMPLES else (round(n * last / (SAMPLES - 1)) for n in range(SAMPLES))
    return [_rounded(values[place]) for place in places]


def _rounded(value: float | None) -> float:
    return float(f"{value or 0.0:.{DIGITS}g}")


def keep(summary: Summary, name: str) -> Path:
    """Write a summary into the repository; one of the same name is replaced. Returns the file."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.jsonl"
    file.write_bytes(msgspec.json.Encoder().encode_lines([summary.about, *summary.scenarios]))
    return file


def read(file: Path) -> Summary:
    """A summary that was kept."""
    about, *lines = file.read_bytes().splitlines()
    scenarios = [msgspec.json.decode(line, type=Line) for line in lines]
    return Summary(msgspec.json.decode(about, type=About), scenarios)
