"""`payflux bench` against real nodes."""

import json
import os
import socket
import subprocess
import sys

import pytest

from nodes import KEY, Node
from operator_commands import environ, on_a_terminal
from payflux.commands.bench import PROCESSOR, bench
from real_parts import MakeNode
from servers import until

pytestmark = [pytest.mark.process, pytest.mark.thorough]


def run(node: Node, *options: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    """The command, in a pipe."""
    command = [sys.executable, "-m", "payflux", "bench", f"http://127.0.0.1:{node.port}", "--key", key]
    for option, value in (("--connections", "8"), ("--seconds", "0.5")):
        command += [option, value] if option not in options else []
    command += options
    return subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("options", [(), ("--batch", "50"), ("--rate", "400"), ("--scored",)])
def test_what_it_says_is_what_the_node_did(make_node: MakeNode, options: tuple[str, ...]) -> None:
    """Accepted by its count, by the node's metric and by the lines: the same number; quiet on stderr; exit code 0."""
    node = make_node()
    done = run(node, "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    load = result["load"]
    accepted = load["accepted"]
    assert accepted == node.metrics()["ingest_accepted_total"] > 100
    until(lambda: node.line_count() == accepted, "every line")
    lines = node.lines()
    assert len({line["event_id"] for line in lines}) == accepted
    assert {line["processor"] for line in lines} == {PROCESSOR}
    kind = "payment_succeeded" if "--scored" in options else "test"
    assert {line["event_type"] for line in lines} == {kind}
    assert load["duplicates"] == load["rejected"] == load["broken"] == load["unanswered"] == 0
    assert list(load["statuses"]) == ["200" if "--batch" in options else "202"]
    assert 0 < load["p50_ms"] <= load["p99_ms"] <= load["p999_ms"] <= load["max_ms"]
    assert result["events_per_second"] == pytest.approx(accepted / load["seconds"])
    assert result["drain_seconds"] is not None


@pytest.mark.parametrize("options", [(), ("--scored",)])
def test_only_what_is_asked_to_be_is_scored(make_node: MakeNode, options: tuple[str, ...]) -> None:
    """Tests say nothing about a processor, however many they are."""
    node = make_node()
    done = run(node, "--json", *options)
    accepted = json.loads(done.stdout)["load"]["accepted"]
    until(lambda: node.line_count() == accepted > 100, "every line")
    assert ({line["event_type"] for line in node.lines()} == {"test"}) != bool(options)


def test_the_table_is_for_people(make_node: MakeNode) -> None:
    """Speed, percentiles and statuses."""
    done = run(make_node())
    assert done.returncode == 0
    for words in ("events a second", "latency p50", "latency p99,", "latency p99.9", "answered 202", "lag at the end"):
        assert words in done.stdout


def test_the_limit_of_a_key_is_explained(make_node: MakeNode) -> None:
    """With the default limit a load runs into it: the setting is named, exit code 1."""
    node = make_node({"PAYFLUX_RATELIMIT_RPS": "10", "PAYFLUX_RATELIMIT_BURST": "20"})
    done = run(node)
    assert done.returncode == 1
    assert "PAYFLUX_RATELIMIT_RPS" in done.stderr
    assert "answered 429" in done.stdout
    assert "no event was accepted" not in done.stderr


def test_nothing_accepted_is_a_failure(make_node: MakeNode) -> None:
    """A refused key ends it at once; so does nothing to see."""
    done = run(make_node(), "--seconds", "30", key="wrong-key-0123456789")
    assert done.returncode == 1
    assert "does not accept this key" in done.stderr
    assert "no event was accepted" in done.stderr


def test_a_rate_that_is_not_reached_is_a_failure(make_node: MakeNode) -> None:
    """The figures of a schedule that was not kept are not those of the rate asked for."""
    done = run(make_node(), "--rate", "200000", "--connections", "1")
    assert done.returncode == 1
    assert "not 200,000" in done.stderr


def test_on_a_terminal_it_shows_its_progress(make_node: MakeNode) -> None:
    """A live line with counts, then the table."""
    node = make_node()
    options = ("--key", KEY, "--connections", "2", "--seconds", "1")
    code, shown = on_a_terminal(environ("unix:///none"), "bench", f"http://127.0.0.1:{node.port}", *options)
    assert code == 0
    assert "of 1 s ·" in shown
    assert "events a second" in shown


def test_no_node_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, no traceback."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert bench(f"http://127.0.0.1:{bound.getsockname()[1]}", key="k") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be reached" in line


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"key": None}, "PAYFLUX_API_KEY"),
        ({"key": "a b"}, "--key"),
        ({"connections": 0}, "--connections 0"),
        ({"seconds": 0.0}, "--seconds 0.0"),
        ({"batch": 1001}, "--batch 1001"),
        ({"rate": -1.0}, "--rate -1.0"),
    ],
)
def test_wrong_usage_is_named(
    options: dict[str, object], problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line on stderr, exit code 2."""
    for name in ("PAYFLUX_API_KEYS", "PAYFLUX_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert bench(**({"key": "k"} | options)) == 2  # type: ignore[arg-type]
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
