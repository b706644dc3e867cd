"""Writes the figures and plots of a kept summary into docs/performance.md: run with benchmarks/results/NAME.jsonl.

Only what stands between its marks is written; the words around it are people's.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.report.figures import write
from benchmarks.report.summary import RESULTS, Line, Summary, read
from benchmarks.report.targets import WHY
from benchmarks.report.terminal import COLUMNS, FLOORS, cells, others, verdict_rows

PAGE = RESULTS.parent.parent / "docs" / "performance.md"
PLOTS = PAGE.parent / "img" / "performance"
UNEXPLAINED = "**not explained yet**: say why in benchmarks/report/targets.py, or mend it"
BEGIN, END = "<!-- {}: written by benchmarks/report/page.py from {} -->", "<!-- end of {} -->"


def rewrite(page: str, summary: Summary, name: str, plots: Sequence[str]) -> str:
    """A page with its marked parts written anew.

    Args:
        page: as it is.
        summary: what to write.
        name: of the result's file, without `.jsonl`.
        plots: names of those that exist.

    Raises:
        ValueError: a mark is missing.
    """
    for part, text in parts(summary, plots).items():
        start = page.find(f"<!-- {part}: ")
        end = page.find(END.format(part))
        if start < 0 or end < start:
            raise ValueError(f"the page has no marks for {part}")
        begin = BEGIN.format(part, f"benchmarks/results/{name}.jsonl")
        page = f"{page[:start]}{begin}\n\n{text}\n\n{page[end:]}"
    return page


def parts(summary: Summary, plots: Sequence[str]) -> dict[str, str]:
    """The text of each marked part."""
    pictures = {plot: f"![{plot}](img/{PLOTS.name}/{plot}.svg)" for plot in plots}
    scaling = ("connections", "stored", "ignored", "stream", "keys", "processors")
    return {
        "machine": _machine(summary),
        "targets": _targets(summary),
        "speed": _pictures(pictures, "speed", "batch-size") + "\n\n" + _loads(summary),
        "cost": _pictures(pictures, "cost") + "\n\n" + _floors(summary),
        "latency": _pictures(pictures, "latency", "lag")
        + "\n\n"
        + _others(summary, ("open", "arriving", "idle", "start")),
        "memory": _pictures(pictures, "dedup-memory", "soak") + "\n\n" + _others(summary, ("dedup", "soak")),
        "scaling": _pictures(pictures, *scaling),
    }


def _pictures(pictures: dict[str, str], *names: str) -> str:
    return "\n\n".join(pictures[name] for name in names if name in pictures) or "Not measured."


def _machine(summary: Summary) -> str:
    about = summary.about
    machine, options = about.machine, about.options
    modules, tools = machine["modules"], machine["tools"]
    versions = ", ".join(f"{name} {version}" for name, version in modules.items())
    took = f"{options['rounds']} rounds of {options['seconds']:g} s"
    return "\n".join(
        (
            f"{machine['cpus']} x {machine['cpu']}, Linux {machine['kernel']}, Python {machine['python']},",
            f"{versions}.",
            f"{'; '.join(str(tool) for tool in tools.values())}.",
            f"Measured {about.date}, commit {machine['commit']}; {took}; load by {about.generator}.",
        )
    )


def _targets(summary: Summary) -> str:
    rows = ((*row[:-1], *_explained(row[0], row[-1])) for row in verdict_rows(summary))
    return _table(("target", "median", "range", "limit", "verdict", "why it is missed"), rows)


def _explained(target: str, verdict: str) -> tuple[str, str]:
    """Whether a target is met, and why not."""
    return ("missed", WHY.get(target, UNEXPLAINED)) if verdict == "FAIL" else (verdict.replace("PASS", "met"), "")


def _loads(summary: Summary) -> str:
    headings = ("scenario", *(column.heading for column in COLUMNS))
    rows = ((s.title, *cells(s)) for s in summary.scenarios if s.figure("per_second") is not None)
    return _table(headings, rows)


def _floors(summary: Summary) -> str:
    found = ((s.title, *(_cell(s, name) for name in FLOORS)) for s in summary.scenarios)
    return _table(("floor beside", *FLOORS.values()), (row for row in found if any(row[1:])))


def _cell(scenario: Line, floor: str) -> str:
    value = scenario.floor(floor)
    return "" if value is None else f"{value:.2f}"


def _others(summary: Summary, families: Sequence[str]) -> str:
    found = [scenario for scenario in summary.scenarios if scenario.family in families]
    rows = ((scenario.title, label, value) for scenario in found for label, value in others(scenario))
    return _table(("scenario", "figure", "median"), rows)


def _table(headings: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows)]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Write the page and the plots; returns the exit code."""
    if len(arguments) != 1:
        print(__doc__)
        return 2
    file = Path(arguments[0])
    summary = read(file)
    plots = [plot.stem for plot in write(summary, PLOTS)]
    PAGE.write_text(rewrite(PAGE.read_text(), summary, file.stem, plots))
    print(f"written: {PAGE}, {len(plots)} plots in {PLOTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
