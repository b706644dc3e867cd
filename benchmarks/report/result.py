"""The result of a benchmark: every figure of every round."""

from pathlib import Path
from statistics import median

import msgspec

from benchmarks.machine import ROOT
from benchmarks.servers.floors import Floor

RAW = ROOT / "build" / "benchmarks"


class Run(msgspec.Struct):
    """A scenario measured once, with its floors.

    Attributes:
        figures: by name, see `figures.py`.
        floors: by name, measured just before.
        wrong: what contradicts the contract, in words.
        trace: what was sampled over time, equally long lists; `x` is what they are sampled over.
        foreign: how many CPUs others kept busy meanwhile.
    """

    figures: dict[str, float]
    floors: dict[str, Floor] = {}
    wrong: list[str] = []
    trace: dict[str, list[float]] = {}
    foreign: float = 0.0


class Measured(msgspec.Struct):
    """A scenario and its rounds; `x` is its place among those of its family."""

    name: str
    family: str
    title: str
    x: float
    needs: list[str]
    runs: list[Run]

    def figure(self, name: str) -> float | None:
        """The median of the rounds; None where it was not measured."""
        found = [run.figures[name] for run in self.runs if name in run.figures]
        return median(found) if found else None

    def floor(self, name: str, figure: str = "cpu_us") -> float | None:
        """The median of a floor; None where it was not measured."""
        found = [float(getattr(run.floors[name], figure)) for run in self.runs if name in run.floors]
        return median(found) if found else None


class Verdict(msgspec.Struct):
    """One target: the median of the rounds, the least and the most of them, and what it may be.

    Attributes:
        scenario: where it was measured.
        at_least: whether `limit` is the least, not the most.
        ok: whether it is met; None when it only informs.
        reason: why there is nothing to judge; empty when there is.
    """

    name: str
    scenario: str
    found: float
    least: float
    most: float
    limit: float
    at_least: bool
    ok: bool | None
    reason: str = ""


class Result(msgspec.Struct):
    """Everything a run has found."""

    date: str
    machine: dict[str, object]
    options: dict[str, object]
    generator: str
    scenarios: list[Measured]
    verdicts: list[Verdict]


def save(result: Result, name: str) -> Path:
    """Write a result where nothing is kept for good; one of the same name is replaced. Returns its folder."""
    folder = RAW / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return folder
