"""`payflux backtest` as a command."""

import csv
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumers import entries
from events import EVENT
from operator_commands import environ, on_a_terminal, payflux
from payflux.event.decode import decode_event
from payflux.risk.assessment import RiskAssessment
from real_parts import MakeNode
from servers import Server, until
from stream_keys import KEYS, STREAM

FILES = ("day.jsonl", "truth.jsonl")


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nearly three hours of half an event a second with an outage, and the truth about it."""
    directory = tmp_path_factory.mktemp("day")
    events, labels = (str(directory / name) for name in FILES)
    wanted = ("--incident", "outage", "--warm-up", "9000", "--duration", "9600", "--processor", "p0_5", "--seed", "5")
    done = payflux(environ(""), "simulate", "--output", events, "--labels", labels, *wanted)
    assert done.returncode == 0, done.stderr
    return directory


def test_it_finds_what_happened(day: Path) -> None:
    """The warning of the outage, how soon it came, and what another rule says; figures go to stderr."""
    done = payflux(
        environ(""), "backtest", str(day / FILES[0]), "--labels", str(day / FILES[1]), "--compare", "srv3:50"
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert text.startswith("1 warnings")
    assert "│ p0_5 " in text
    assert "│ srv3:50 " in text
    assert b" events, 0 bad lines, 0 other lines" in done.stderr


def test_json_scores_and_picture(day: Path, tmp_path: Path) -> None:
    """One object a warning on stdout, one row a change, one picture; from stdin as from a file."""
    table, svg = tmp_path / "scores.csv", tmp_path / "scores.svg"
    arguments = ["-", "--json", "--labels", str(day / FILES[1]), "--scores", str(table), "--plot", str(svg)]
    with (day / FILES[0]).open("rb") as events:
        command = [sys.executable, "-m", "payflux", "backtest", *arguments]
        done = subprocess.run(command, env=environ(""), stdin=events, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    [warning] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (warning["processor"], warning["scenario"], warning["named"]) == ("p0_5", "outage", True)
    assert 0 < warning["delay"] < 60
    rows = [row.split(",") for row in table.read_text().splitlines()]
    assert rows[0] == ["processor", "second", "score", "band", "driver"]
    assert {row[3] for row in rows[1:]} >= {"low", "critical"}
    assert svg.read_text().startswith("<svg")


def test_the_settings_of_the_node_are_heeded(day: Path) -> None:
    """A higher threshold is reached later; a wrong value is named."""
    command = ("backtest", str(day / FILES[0]), "--json")
    usual, strict = (
        json.loads(payflux(environ("", PAYFLUX_RISK_SCORE_THRESHOLDS=thresholds), *command).stdout)
        for thresholds in ("0.3,0.6,0.8", "0.3,0.9999,1")
    )
    assert usual["opened_at"] < strict["opened_at"]
    done = payflux(environ("", PAYFLUX_RISK_SCORE_THRESHOLDS="high"), "backtest", str(day / FILES[0]))
    assert done.returncode == 2
    assert b"PAYFLUX_RISK_SCORE_THRESHOLDS" in done.stderr


def test_a_scenario_needs_no_file() -> None:
    """Its truth is known."""
    wanted = ("--processor", "p0_5", "--warm-up", "9000", "--seed", "5")
    done = payflux(environ(""), "backtest", "--scenario", "outage", *wanted, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scenario"] == "outage"


def test_a_terminal_sees_how_far_it_is(day: Path) -> None:
    """A bar while it reads, then the tables."""
    code, shown = on_a_terminal(environ(""), "backtest", str(day / FILES[0]))
    assert code == 0
    assert "reading" in shown
    assert "1 warnings" in shown


def test_bad_lines_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """A file with a bad line is no failure; one with nothing else is."""
    some, none = tmp_path / "some.jsonl", tmp_path / "none.jsonl"
    some.write_text(f"{json.dumps(EVENT)}\n{{\n")
    none.write_text("{\n")
    done = payflux(environ(""), "backtest", str(some))
    assert done.returncode == 0
    assert f"{some}: line 2: invalid_json".encode() in done.stderr
    done = payflux(environ(""), "backtest", str(none))
    assert done.returncode == 1
    assert b"expected at least one event" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        ((), 2, "expected files or scenarios"),
        (("a", "--scenario", "outage"), 2, "expected files or scenarios"),
        (("a", "-"), 2, "expected stdin alone"),
        (("--scenario", "flood"), 2, "--scenario flood: expected one of outage"),
        (("--scenario", "outage", "--processor", "acme"), 2, "--processor acme: expected"),
        (("--scenario", "outage", "--warm-up", "-1"), 2, "--warm-up -1.0: expected"),
        (("--scenario", "outage", "--duration", "nan"), 2, "--duration nan: expected"),
        (("a", "--compare", "static:0.2"), 2, "--compare static:0.2: expected static:RATIO"),
        (("missing.jsonl",), 1, "missing.jsonl: No such file"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], code: int, problem: str) -> None:
    """One line for each problem, and no traceback."""
    done = payflux(environ(""), "backtest", *arguments)
    assert done.returncode == code
    assert problem in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_broken_files_are_named(tmp_path: Path) -> None:
    """One that is cut off, and labels that are none."""
    cut, labels = tmp_path / "cut.gz", tmp_path / "labels.jsonl"
    cut.write_bytes(b"\x1f\x8b\x08\x00\x00")
    labels.write_text("{}")
    done = payflux(environ(""), "backtest", str(cut))
    assert (done.returncode, b"cut.gz: expected a whole compressed file" in done.stderr) == (1, True)
    done = payflux(environ(""), "backtest", str(cut), "--labels", str(labels))
    assert (done.returncode, b"labels.jsonl: line 1: " in done.stderr) == (1, True)


def filled(server: Server, events: bytes) -> int:
    """Put events into the stream as if they had come in their own time; how many there are."""
    client: Any = server.client
    pipeline = client.pipeline(transaction=False)
    number = 0
    for number, line in enumerate(events.splitlines(), 1):
        stored = decode_event(line)
        at = datetime.fromisoformat(json.loads(line)["event_timestamp"]).timestamp()
        pipeline.xadd(STREAM, {"data": stored.data, "seq": number}, id=f"{round(1000 * at)}-{number}")
    pipeline.execute()
    return number


@pytest.mark.process
def test_it_warns_of_what_the_node_warned_of(day: Path, server: Server, make_node: MakeNode, directory: Path) -> None:
    """From a node's own export: the very scores, bands and drivers, at the very seconds, that it said live."""
    exported, scores = directory / "exported.jsonl", directory / "scores.csv"
    count = filled(server, (day / FILES[0]).read_bytes())
    make_node({"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(exported)})
    until(lambda: exported.exists() and exported.read_bytes().count(b"\n") == count, "all events to be exported", 60)
    done = payflux(environ(""), "backtest", str(exported), "--scores", str(scores))
    assert done.returncode == 0, done.stderr
    with scores.open() as file:
        expected = [tuple(row.values()) for row in csv.DictReader(file)]
    assert {row[3] for row in expected} >= {"low", "critical"}

    def said() -> list[tuple[str, str, str, str, str]]:
        log = [fields[b"assessment"] for _, fields in entries(server, KEYS.assessments)]
        told = [msgspec.json.decode(one, type=RiskAssessment) for one in log]
        return [
            (one.processor, str(one.second + 1), f"{one.score:.4f}", one.band, one.names[0])
            for one in sorted(told, key=lambda one: one.second)
        ][: len(expected)]

    until(lambda: said() == expected, "the node to have said the same")
