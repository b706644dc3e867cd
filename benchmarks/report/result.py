"""What is kept of a benchmark: every figure of every round, as JSON."""

from pathlib import Path
from statistics import median

import msgspec

from benchmarks.machine import ROOT
from benchmarks.servers.floors import Floor

RESULTS = ROOT / "benchmarks" / "results"


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
    """Everything there is to keep of a run."""

    date: str
    machine: dict[str, object]
    options: dict[str, object]
    generator: str
    scenarios: list[Measured]
    verdicts: list[Verdict]

    @property
    def wrong(self) -> list[str]:
        """What broke the contract, and which floors are missing, each with its scenario and round."""
        return [
            f"{scenario.name}, round {number}: {text}"
            for scenario in self.scenarios
            for number, run in enumerate(scenario.runs, 1)
            for text in (*run.wrong, *(f"no floor: {name}" for name in scenario.needs if name not in run.floors))
        ] + [f"{scenario.name}: not measured" for scenario in self.scenarios if not scenario.runs]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong and every target that was judged is met."""
        return not self.wrong and all(verdict.ok is not False for verdict in self.verdicts)


def save(result: Result, name: str) -> Path:
    """Keep a result; one of the same name is replaced."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return file


def read(file: Path) -> Result:
    """A result that was kept."""
    return msgspec.json.decode(file.read_bytes(), type=Result)
