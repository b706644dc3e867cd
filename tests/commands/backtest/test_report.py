"""What a backtest tells."""

import io

import msgspec
from rich.console import Console

from payflux.commands.backtest.course import Score
from payflux.commands.backtest.judging import Truth, read_truths
from payflux.commands.backtest.report import objects, outcomes, show, write_scores
from payflux.risk.episodes import Episode

START = 1_767_225_600
LABEL = (
    b'{"scenario":"outage","processor":"stripe","start":"2026-01-01T00:01:00Z","end":"2026-01-01T00:11:00Z",'
    b'"driver":"high_failure_rate","also":["timeout_clustering"],"dimension":"","value":"","severity":1,"benign":false}'
)
FOUND = Episode("stripe", "timeout_clustering", "category", "timeout", "critical", START + 72, 0.987, START + 900)
FALSE = Episode("adyen", "segment_degradation", "geo", "G\x1bB", "high", START + 80, 0.61)


def truths() -> list[Truth]:
    """One incident."""
    return read_truths(LABEL)


def told(said: list[tuple[str, list[Episode]]], truth: list[Truth] | None) -> list[dict[str, object]]:
    """The objects of `--json`."""
    found = [one for outcome in outcomes(said, truth, START + 3600) for one in objects(outcome)]
    decoded: list[dict[str, object]] = msgspec.json.decode(msgspec.json.encode(found))
    return decoded


def test_a_warning_is_one_object() -> None:
    """With its members in this order; what is still on has no end."""
    [found, false] = told([("payflux", [FOUND, FALSE])], None)
    assert list(found.items()) == [
        ("rule", "payflux"),
        ("processor", "stripe"),
        ("driver", "timeout_clustering"),
        ("dimension", "category"),
        ("value", "timeout"),
        ("severity", "critical"),
        ("opened_at", "2026-01-01T00:01:12Z"),
        ("peak", 0.99),
        ("resolved_at", "2026-01-01T00:15:00Z"),
    ]
    assert false["resolved_at"] is None


def test_beside_the_truth_it_says_of_what() -> None:
    """The incident and how long it took; null for what is a false alarm."""
    again = Episode("stripe", "high_failure_rate", "", "", "high", START + 500, 0.7)
    members = [[one["scenario"], one["delay"], one["named"]] for one in told([("x", [FOUND, FALSE, again])], truths())]
    assert members == [["outage", 12.0, True], [None, None, None], ["outage", None, None]]


def test_rules_are_told_apart() -> None:
    """Each object says whose it is; a rule names no driver."""
    rule = [Episode("stripe", "", "", "", "", START + 80, 1.0)]
    assert [(one["rule"], one["driver"]) for one in told([("payflux", []), ("srv3:125", rule)], None)] == [
        ("srv3:125", None)
    ]


def test_tables_show_warnings_incidents_and_rules() -> None:
    """For people; nothing in a stream steers their terminal."""
    console = Console(file=io.StringIO(), width=160, highlight=False)
    missed = read_truths(LABEL.replace(b"stripe", b"klarna").replace(b"outage", b"mild"))
    show(console, outcomes([("payflux", [FOUND, FALSE]), ("srv3:125", [])], truths() + missed, START + 3600))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for expected in ("category=timeout", "2026-01-01T00:01:12Z", "outage", "12 s", "false alarm", "still on", "missed"):
        assert expected in text
    assert "geo=G\\x1bB" in text
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "of 2" in line]
    assert rows == [["payflux", "2", "1 of 2", "12 s", "12 s", "1"], ["srv3:125", "0", "0 of 2", "-", "-", "0"]]


def test_scores_are_a_table_for_programs() -> None:
    """One row a change, the head first."""
    out = io.StringIO()
    write_scores([Score(START, "stripe", 0.6512345, "high", "high_failure_rate")], out)
    assert out.getvalue() == (f"processor,second,score,band,driver\nstripe,{START},0.6512,high,high_failure_rate\n")
