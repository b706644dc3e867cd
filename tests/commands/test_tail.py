"""`payflux tail`: the lines a node would write, live, whatever becomes of Redis."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nodes import event
from operator_commands import Running, add, canonical, environ, payflux, say, traffic, wait_for
from payflux.cli import app
from real_parts import MakeNode
from servers import Server, until

Follow = Callable[..., Running]
OWN = ("consumer_name", "processed_at")


def without_own(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines without what names the writer and its time."""
    return [{name: value for name, value in line.items() if name not in OWN} for line in lines]


@pytest.fixture
def follow(server: Server, directory: Path) -> Iterator[Follow]:
    """Starts tails that have read what there is and wait for more; ends them with the test."""
    with ExitStack() as stack:

        def follow(*arguments: str) -> Running:
            home = Path(tempfile.mkdtemp(dir=directory))
            before = waiting(server)
            running = Running(home, environ(server.url), "tail", *arguments)
            stack.callback(running.end)
            until(lambda: waiting(server) > before or running.process.poll() is not None, "tail to wait")
            return running

        yield follow


def waiting(server: Server) -> int:
    """How many tails wait for an entry."""
    clients = server.client.client_list()
    return sum(client["name"] == "payflux-tail" and "b" in client["flags"] for client in clients)


@pytest.mark.process
def test_lines_are_those_of_the_node(server: Server, make_node: MakeNode, follow: Follow) -> None:
    """Scores and bands included, from the start and live; the group has seen nothing of it."""
    node = make_node()
    first = [event(retry_count=number % 4, geo_bucket=f"G{number}") for number in range(20)]
    assert node.post_batch(first)[0] == 200
    until(lambda: node.line_count() == 20 and node.drained(), "the node's lines")
    everything = follow("--from-start")
    assert len(wait_for(everything, 20)) == 20
    assert node.post_batch([event(processor="adyen") for _ in range(20)])[0] == 200
    until(lambda: node.line_count() == 40 and node.drained(), "the node's lines")
    assert without_own(wait_for(everything, 40)) == without_own(node.lines())
    assert {line["consumer_name"] for line in everything.lines()} == {"payflux-tail"}
    assert everything.interrupt() == 0
    assert everything.errors() == ""
    (group,) = server.client.xinfo_groups("events_stream")
    assert (group["name"], group["consumers"], group["pending"]) == (b"payment_consumers", 1, 0)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (("--processor", "adyen"), lambda line: line["processor"] == "adyen"),
        (("--processor", "adyen", "--processor", "stripe"), lambda _: True),
        (("--outcome", "failure"), lambda line: line["event_type"] == "payment_failed"),
        (("--category", "processor_timeout"), lambda line: line["failure_category"] == "processor_timeout"),
        (("--band", "high", "--band", "elevated"), lambda line: line["processor_risk_band"] in {"high", "elevated"}),
        (("--processor", "stripe", "--outcome", "failure"), lambda _: False),
        (("--geo", "BR", "--geo", "GB"), lambda line: line["geo_bucket"] in {"BR", "GB"}),
        (("--method", "wallet"), lambda line: line["payment_method_bucket"] == "wallet"),
        (("--issuer", "FR", "--method", "wallet"), lambda line: line["seq"] == 32),
    ],
)
def test_filters(filters: tuple[str, ...], wanted: Any, server: Server, follow: Follow) -> None:
    """Of all lines exactly the wanted ones are shown; filters of one kind add up, of several kinds restrict."""
    traffic(server, 30)
    add(server, 31, canonical(processor="adyen", geo_bucket="BR", payment_method_bucket="wallet"))
    add(server, 32, canonical(processor="adyen", payment_method_bucket="wallet", issuer_country="FR"))
    add(server, 33, canonical(processor="adyen", geo_bucket="GB", issuer_country="FR"))
    everything, filtered = follow("--from-start"), follow("--from-start", *filters)
    expected = [line for line in wait_for(everything, 33) if wanted(line)]
    assert len(everything.lines()) == 33
    assert without_own(wait_for(filtered, len(expected))) == without_own(expected)


def test_declared_outcomes_are_those_filtered_by(server: Server, directory: Path) -> None:
    """A type declared a failure is shown among failures, live and among the last; one declared nothing of is not."""
    for seq, event_type in enumerate(["order.lost", "order.done", "payment_failed"], 1):
        add(server, seq, canonical(event_type=event_type, retry_result=""))
    environment = environ(server.url) | {"PAYFLUX_OUTCOMES": "order.lost=failure,payment_failed=neutral"}
    running = Running(directory, environment, "tail", "--outcome", "failure", "--last", "2")
    try:
        until(lambda: waiting(server), "tail to wait")
        add(server, 4, canonical(event_type="order.lost", retry_result=""))
        assert [line["seq"] for line in wait_for(running, 2)] == [1, 4]
    finally:
        running.end()


def test_last_counts_what_matches_and_is_scored_as_ever(server: Server, follow: Follow) -> None:
    """The last N that match, with the risk that the node said; none more."""
    traffic(server, 2100)
    say(server, "adyen", 0.7, "high")
    everything = follow("--from-start", "--processor", "adyen")
    last = follow("--last", "400", "--processor", "adyen")
    expected = wait_for(everything, 700)[-400:]
    assert without_own(wait_for(last, 400)) == without_own(expected)
    assert (expected[0]["processor_risk_score"], expected[0]["processor_risk_band"]) == (0.7, "high")
    assert (everything.interrupt(), last.interrupt()) == (0, 0)
    assert len(last.lines()) == 400


@pytest.mark.parametrize(
    ("options", "shown"),
    [((), range(4, 14)), (("--last", "2"), (12, 13)), (("--from-start",), range(1, 14)), (("--geo", "BR"), (13,))],
)
def test_without_following_it_ends(
    options: tuple[str, ...],
    shown: Iterable[int],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """With what there is, the last ten events unless more or others are asked for; also when the newest is deleted."""
    monkeypatch.delenv("REDIS_ADDR", raising=False)
    monkeypatch.setenv("REDIS_URL", server.url)
    for seq in range(1, 15):
        newest = add(server, seq, canonical(geo_bucket="BR" if seq == 13 else "US"))
    server.client.xdel("events_stream", newest)
    assert app(["tail", "--no-follow", *options], result_action="return_value") == 0
    assert [json.loads(line)["seq"] for line in capfdbinary.readouterr().out.splitlines()] == list(shown)


def test_without_options_only_new_events_are_shown(server: Server, follow: Follow) -> None:
    """And what is no event is named on stderr, and stops nothing."""
    traffic(server, 5)
    running = follow()
    add(server, 6, b"not json")
    add(server, 7, canonical())
    (line,) = wait_for(running, 1)
    assert line["seq"] == 7
    assert running.interrupt() == 0
    assert json.loads(running.errors())["reason"] == "invalid_json"


@pytest.mark.parametrize("loses", [False, True])
def test_a_restart_of_redis_is_waited_out(loses: bool, server: Server, directory: Path, follow: Follow) -> None:
    """Kept or lost the data: what comes afterwards is shown, once, even under lower ids than before."""
    if loses:
        server.client.config_set("appendonly", "no")
        (directory / "appendonlydir").rename(directory / "gone")
    else:
        server.client.config_set("appendfsync", "always")
    running = follow()
    add(server, 1, canonical(), ms=5000)
    wait_for(running, 1)
    server.kill()
    until(lambda: "redis_unavailable" in running.errors(), "tail to notice")
    server.start()
    assert server.client.exists("events_stream") == (not loses)
    until(lambda: "redis_connected" in running.errors(), "tail to connect again")
    add(server, 2, canonical(), ms=1000 if loses else 6000)
    assert [line["seq"] for line in wait_for(running, 2)] == [1, 2]
    assert running.interrupt() == 0


def test_a_terminal_gets_rows_that_cannot_steer_it(server: Server) -> None:
    """Coloured by band, no JSON; escape sequences of other writers are shown, not obeyed."""
    traffic(server, 18)
    say(server, "adyen", 0.5, "elevated")
    add(server, 19, canonical(processor="adyen", failure_category="EVIL").replace(b"EVIL", b"\\u001b[7m"))
    master, slave = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "payflux", "tail", "--from-start"],
        env=environ(server.url) | {"TERM": "xterm-256color", "COLUMNS": "150"},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    while shown.count(b"\n") < 20:
        shown += os.read(master, 65536)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 0
    os.close(master)
    text = shown.decode()
    assert "time" in text.splitlines()[0]
    assert '{"' not in text
    assert "\x1b[33m0.5" in text  # elevated is yellow
    assert "\\x1b" in text
    assert "\x1b[7m" not in text


def test_a_reader_that_goes_ends_it(server: Server) -> None:
    """`payflux tail | head -1` ends by itself, with 0 and without a traceback."""
    traffic(server, 3)
    process = subprocess.Popen(
        [sys.executable, "-m", "payflux", "tail", "--from-start"],
        env=environ(server.url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b'{"event_type"')
    process.stdout.close()
    seq = 3
    while process.poll() is None:
        seq += 1
        assert seq < 1000
        add(server, seq, canonical())
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_reader_that_goes_in_silence_ends_it(server: Server) -> None:
    """`payflux tail --last 5 | head -1` ends by itself although no further event comes."""
    traffic(server, 5)
    process = subprocess.Popen(
        [sys.executable, "-m", "payflux", "tail", "--last", "5"],
        env=environ(server.url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"event_type"')
    process.stdout.close()
    try:
        assert process.wait(20) == 0
    finally:
        process.kill()


def test_a_dead_redis_is_one_line(server: Server) -> None:
    """At the start a Redis that is down, refuses us, or holds something else ends it with 1."""
    server.client.set("events_stream", "x")
    wrong = payflux(environ(server.url), "tail", "--from-start")
    assert (wrong.returncode, wrong.stderr.count(b"\n")) == (1, 1)
    assert b"redis_wrong_type" in wrong.stderr
    server.kill()
    down = payflux(environ(server.url), "tail")
    assert (down.returncode, down.stdout, down.stderr.count(b"\n")) == (1, b"", 1)
    assert b"is it running" in down.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "problem"),
    [
        (("--from-start", "--last", "3"), {}, "--from-start and --last"),
        (("--last", "-3"), {}, "--last -3"),
        (("--band", "high"), {"PAYFLUX_RISK_SCORE_ENABLED": "false"}, "PAYFLUX_RISK_SCORE_ENABLED=true"),
        ((), {"PAYFLUX_RISK_SCORE_WINDOW_SEC": "x"}, "PAYFLUX_RISK_SCORE_WINDOW_SEC"),
        ((), {"PAYFLUX_RISK_SCORE_WINDO_SEC": "60"}, "did you mean PAYFLUX_RISK_SCORE_WINDOW_SEC"),
        ((), {"REDIS_URL": "http://x"}, "REDIS_URL"),
    ],
)
def test_wrong_usage_is_named(
    arguments: tuple[str, ...],
    variables: dict[str, str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, with what was expected."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert app(["tail", *arguments], result_action="return_value") == 2
    assert problem in capsys.readouterr().err
