"""What a backtest tells: a table for people, one JSON object a warning for programs, every score for spreadsheets."""

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TextIO

import msgspec
from rich.console import Console
from rich.table import Table

from payflux.commands.backtest.course import Score
from payflux.commands.backtest.judging import Found, Judgement, Truth, judged
from payflux.risk.episodes import Episode
from payflux.terminal.output import printable

OURS = "payflux"
SCORE_COLUMNS = ("processor", "second", "score", "band", "driver")
PIPE_WIDTH = 160


class Said(msgspec.Struct, omit_defaults=True):
    """One warning, as `--json` has it; times in RFC 3339.

    The members after `resolved_at` are there with `--labels`: the incident it warns of, null for a false alarm; the
    seconds it took, for the first warning of an incident; and whether it names the driver rightly.
    """

    rule: str
    processor: str
    driver: str | None
    dimension: str
    value: str
    severity: str
    opened_at: str
    peak: float
    resolved_at: str | None
    scenario: str | msgspec.UnsetType | None = msgspec.UNSET
    delay: float | msgspec.UnsetType | None = msgspec.UNSET
    named: bool | msgspec.UnsetType | None = msgspec.UNSET


class Outcome(NamedTuple):
    """What one rule said, and how right that was; None where nobody knows."""

    rule: str
    warnings: Sequence[Episode]
    judgement: Judgement | None


def outcomes(
    said: Sequence[tuple[str, Sequence[Episode]]], truths: Sequence[Truth] | None, until: float
) -> list[Outcome]:
    """Judge what several rules said of the same events; `truths` is None where nobody knows what happened."""
    return [
        Outcome(rule, warnings, None if truths is None else judged(truths, warnings, until)) for rule, warnings in said
    ]


def objects(outcome: Outcome) -> Iterator[Said]:
    """Every warning as an object."""
    for one in outcome.warnings:
        resolved = None if one.resolved_at is None else _time(one.resolved_at)
        where = one.driver or None, one.dimension, one.value, one.severity
        said = Said(outcome.rule, one.processor, *where, _time(one.opened_at), round(one.peak, 2), resolved)
        if outcome.judgement is not None:
            found = _warned_of(one, outcome.judgement)
            said.scenario = found.truth.scenario if found else None
            said.delay = round(found.delay, 3) if found and found.warning is one else None
            said.named = found.named if found and found.warning is one else None
        yield said


def _warned_of(warning: Episode, judgement: Judgement) -> Found | None:
    """The incident that a warning is of: that which it found, else any that was on or just over."""
    first = next((one for one in judgement.found if one.warning is warning), None)
    return first or next(
        (
            one
            for one in judgement.found
            if one.truth.processor == warning.processor and one.truth.began <= warning.opened_at <= one.truth.ended
        ),
        None,
    )


def write_scores(scores: Sequence[Score], out: TextIO) -> None:
    """Write every change of a score as CSV: it holds from that second on.

    Raises:
        OSError: it cannot be written.
    """
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(SCORE_COLUMNS)
    rows.writerows((one.processor, one.second, f"{one.score:.4f}", one.band, one.driver) for one in scores)


def show(console: Console, told: Sequence[Outcome]) -> None:
    """Print tables: the warnings, what became of each incident, and the rules side by side."""
    ours = told[0]
    console.print(_warnings(ours))
    if ours.judgement is not None and ours.judgement.found:
        console.print(_incidents(ours.judgement))
    if len(told) > 1 or ours.judgement is not None:
        console.print(_rules(told))


def _warnings(outcome: Outcome) -> Table:
    labelled = ("of", "after") if outcome.judgement is not None else ()
    columns = ("processor", "driver", "where", "severity", "opened", "peak", "resolved", *labelled)
    table = Table(*columns, title=f"{len(outcome.warnings)} warnings", title_justify="left")
    for one, said in zip(outcome.warnings, objects(outcome), strict=True):
        where = f"{one.dimension}={one.value}" if one.dimension else "-"
        cells = [one.processor, one.driver, where, one.severity, said.opened_at, f"{one.peak:.2f}"]
        cells.append(said.resolved_at or "still on")
        if outcome.judgement is not None:
            of = said.scenario or ("false alarm" if one in outcome.judgement.false else "-")
            cells += [str(of), f"{said.delay:.0f} s" if isinstance(said.delay, float) else ""]
        table.add_row(*map(printable, cells))
    return table


def _incidents(judgement: Judgement) -> Table:
    table = Table(
        "incident", "processor", "began", "found after", "named", "warnings", "clear after", title_justify="left"
    )
    table.title = "Incidents"
    for one in judgement.found:
        cells = (one.truth.scenario, one.truth.processor, _time(one.truth.began))
        if one.warning is None:
            table.add_row(*map(printable, cells), "missed", "", "0", "")
        else:
            cleared = "" if one.cleared is None else f"{one.cleared:.0f} s"
            named = "yes" if one.named else f"no: {one.warning.driver or 'nothing'}"
            table.add_row(*map(printable, cells), f"{one.delay:.0f} s", named, str(one.episodes), cleared)
    return table


def _rules(told: Sequence[Outcome]) -> Table:
    table = Table(
        "rule", "warnings", "found", "half within", "nine of ten within", "false alarms", title_justify="left"
    )
    for outcome in told:
        cells = [outcome.rule, str(len(outcome.warnings))]
        if (judgement := outcome.judgement) is not None:
            cells.append(f"{len(judgement.delays)} of {len(judgement.found)}")
            cells += [
                f"{one:.0f} s" if one is not None else "-" for one in (judgement.middle_delay, judgement.late_delay)
            ]
            cells.append(str(len(judgement.false)))
        table.add_row(*cells)
    return table


def _time(second: float) -> str:
    return f"{datetime.fromtimestamp(int(second), UTC):%Y-%m-%dT%H:%M:%SZ}"
