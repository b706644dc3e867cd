"""`payflux backtest`: what PayFlux would have warned of in events of the past."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from payflux.commands.backtest.course import Course, Score
from payflux.commands.backtest.history import History, bytes_of, in_order
from payflux.commands.backtest.judging import Truth, read_truths
from payflux.commands.backtest.picture import Shown, drawn
from payflux.commands.backtest.report import OURS, PIPE_WIDTH, Outcome, objects, outcomes, show, write_scores
from payflux.commands.backtest.rules import Compared
from payflux.commands.backtest.scenario import Staged
from payflux.errors import SettingsError
from payflux.event.outcome import OUTCOMES
from payflux.load.corpus.population import PROCESSORS
from payflux.load.corpus.scenarios import SCENARIOS
from payflux.load.corpus.schedule import PLANS
from payflux.risk.judge import Limits
from payflux.risk.scoring import RISK_SCORE_THRESHOLDS, RISK_SCORE_WINDOW_SEC
from payflux.settings import Values, environment, load
from payflux.terminal.ending import EXIT_INTERRUPTED, complain, refuse
from payflux.terminal.output import emit, printable

Tell = Callable[[float], None]


class Source(NamedTuple):
    """Where the events come from: files, or a scenario."""

    files: Sequence[str]
    scenarios: list[str]
    processor: str
    seed: int
    warm_up: float | None
    duration: float | None

    def problems(self) -> Iterator[str]:
        """One line for each thing wrong with what was asked for."""
        if bool(self.files) == bool(self.scenarios):
            yield "FILE, --scenario NAME: expected files or scenarios, `-` is stdin"
        if len(self.files) > 1 and "-" in self.files:
            yield "-: expected stdin alone, or files"
        for name in self.scenarios:
            if name not in SCENARIOS and (name not in PLANS or len(self.scenarios) > 1):
                yield f"--scenario {name}: expected one of {', '.join(SCENARIOS)}, or one of {', '.join(PLANS)} alone"
        if self.processor not in PROCESSORS:
            yield f"--processor {self.processor}: expected one of {', '.join(PROCESSORS)}"
        if self.warm_up is not None and not 0 <= self.warm_up < inf:
            yield f"--warm-up {self.warm_up}: expected seconds, 0 or more"
        if self.duration is not None and not 0 < self.duration < inf:
            yield f"--duration {self.duration}: expected seconds, more than 0"

    def staged(self) -> Staged | None:
        """The scenario; None where files are to be read."""
        if not self.scenarios:
            return None
        return Staged(self.scenarios, self.processor, self.seed, self.warm_up, self.duration)


class Wanted(NamedTuple):
    """What is to be shown: beside which truth, from which band on, how, and where to beside stdout."""

    labels: Path | None
    band: str
    as_json: bool
    scores: Path | None
    plot: Path | None

    @property
    def needs_scores(self) -> bool:
        """Whether every change of a score is to be kept."""
        return self.scores is not None or self.plot is not None


def backtest(
    *files: Annotated[str, Parameter(help="Exported lines or events, `-` is stdin.", allow_leading_hyphen=True)],
    scenario: Annotated[
        list[str] | None,
        Parameter(help="Instead of files: the traffic of a scenario of `payflux simulate`; repeatable.", negative=""),
    ] = None,
    labels: Annotated[Path | None, Parameter(help="The truth, as `payflux simulate --labels` writes it.")] = None,
    json: Annotated[bool, Parameter(help="One JSON object a warning.", negative="")] = False,
    scores: Annotated[Path | None, Parameter(help="CSV file for every change of a score.")] = None,
    plot: Annotated[Path | None, Parameter(help="SVG file for a picture; needs the extra `plot`.")] = None,
    compare: Annotated[
        str | None, Parameter(help="Other rules on the same events, such as `static:0.27:300s,srv3:125`.")
    ] = None,
    band: Annotated[
        Literal["elevated", "high", "critical"], Parameter(help="The lowest band that is a warning.")
    ] = "high",
    processor: Annotated[str, Parameter(help="With `--scenario`: whose traffic, as in `payflux simulate`.")] = "p5",
    seed: Annotated[int, Parameter(help="With `--scenario`: of the traffic.")] = 1,
    warm_up: Annotated[
        float | None,
        Parameter(help="With `--scenario`: seconds of normal traffic before it; by default enough to learn from."),
    ] = None,
    duration: Annotated[
        float | None, Parameter(help="With `--scenario`: seconds in all; by default until it is over, or 3 days.")
    ] = None,
) -> int:
    """Show what PayFlux would have warned of in events of the past.

    Reads exported lines or events as producers send them, plain, gzip or zstd, as JSON lines or one array. Time is that
    of `stream_message_id`, else `event_timestamp`. Files are taken by the time of their first event; within each they
    must be in order. The scorer is the node's, and starts without knowledge: it learns from the first two hours what is
    normal, and within a day how much traffic is due.

    Nothing is sent anywhere. Lines that are no events are named on stderr.

    For example:

        payflux backtest events.jsonl events.jsonl.1.gz
        zstdcat june/*.zst | payflux backtest - --json
        payflux backtest day.jsonl --labels truth.jsonl --compare static:0.27:300s,srv3:125
        payflux backtest --scenario partial_geo --plot partial.svg

    PAYFLUX_RISK_SCORE_THRESHOLDS, PAYFLUX_RISK_SCORE_WINDOW_SEC and PAYFLUX_OUTCOMES are heeded as by the node: so
    thresholds are tried on one's own history.

    Exit codes: 0 done, 1 a file cannot be read or written, or holds no event, 2 wrong usage or configuration, 130
    interrupted.
    """
    source = Source(files, scenario or [], processor, seed, warm_up, duration)
    problems = [*source.problems()]
    rules: list[Compared] = []
    try:
        rules = [Compared(one) for one in (compare or "").split(",") if one.strip()]
    except ValueError as error:
        problems.append(f"--compare {compare}: expected {error}")
    try:
        values = _settings()
    except SettingsError as error:
        return refuse(SettingsError([*problems, *error.problems]))
    if problems:
        return refuse(SettingsError(problems))
    try:
        return _run(source, Wanted(labels, band, json, scores, plot), values, rules)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except (OSError, ValueError, ModuleNotFoundError) as error:
        return complain(_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror or error}"
    if isinstance(error, ModuleNotFoundError):
        return f"--plot: expected the extra `plot` of payflux to be installed ({error})"
    return printable(str(error))


def _settings() -> Values:
    """The settings of a node that say how it scores; an operator's shell needs no others."""
    declared = (OUTCOMES, RISK_SCORE_THRESHOLDS, RISK_SCORE_WINDOW_SEC)
    given = environment()
    return load(declared, {one.name: given[one.name] for one in declared if one.name in given})


def _run(source: Source, wanted: Wanted, values: Values, rules: Sequence[Compared]) -> int:
    """Run it and show what came of it; returns the exit code.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: a file is not what it should be; the text names it.
        ModuleNotFoundError: the library that draws is not installed.
    """
    truths = None if wanted.labels is None else _truths(wanted.labels)
    kept: list[Score] = []
    limits = Limits(values[RISK_SCORE_THRESHOLDS], values[RISK_SCORE_WINDOW_SEC])
    course = Course(limits, values[OUTCOMES], wanted.band, rules, kept.append if wanted.needs_scores else None)
    staged = source.staged()
    if staged is not None:
        truths = staged.truths()
        with _progress("simulating", staged.seconds) as tell:
            course.run(staged.history(tell))
    elif not _run_files(course, source.files):
        return complain("expected at least one event")
    said = [(OURS, course.warnings), *((one.name, one.found) for one in rules)]
    told = outcomes(said, truths, course.seconds[1])
    _write(wanted, told, Shown(kept, course.warnings, truths or (), course.seconds, limits.thresholds))
    return 0


def _truths(path: Path) -> list[Truth]:
    try:
        return read_truths(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _run_files(course: Course, files: Sequence[str]) -> int:
    """Run through files and say on stderr what was wrong with them; returns how many events there were."""
    ordered = in_order(files)
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        tell(done)

    with _progress("reading", bytes_of(ordered)) as tell:
        history = History(ordered, advance)
        course.run(history)
    sys.stderr.write("".join(f"{printable(problem)}\n" for problem in history.problems))
    if history.bad > len(history.problems):
        sys.stderr.write(f"… and {history.bad - len(history.problems):,} more\n")
    if history.late:
        sys.stderr.write(f"{history.late:,} events are more than five minutes late: they count when they come\n")
    facts = f"{history.events:,} events, {history.bad:,} bad lines, {history.others:,} other lines"
    sys.stderr.write(f"{facts}\n")
    return history.events


@contextmanager
def _progress(what: str, total: float | None) -> Iterator[Tell]:
    """A bar on the terminal; tell it how far it is, in the unit of `total`."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda at: progress.update(task, completed=at)


def _write(wanted: Wanted, told: Sequence[Outcome], shown: Shown) -> None:
    if wanted.scores is not None:
        with wanted.scores.open("w", encoding="utf-8", newline="") as out:
            write_scores(shown.scores, out)
    if wanted.plot is not None:
        wanted.plot.write_text(drawn(shown), encoding="utf-8")
    if wanted.as_json:
        emit(b"".join(msgspec.json.encode(one) + b"\n" for outcome in told for one in objects(outcome)))
    else:
        show(Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH), told)
