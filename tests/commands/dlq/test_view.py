"""`payflux dlq list` and `show`: dead letters are counted, and shown as they are."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operator_commands import Run, bury, canonical, environ, on_a_terminal, payflux
from payflux.cli import app
from payflux.commands.dlq.select import objection
from payflux.terminal.output import printable
from servers import Server


def test_list_counts_by_reason(run: Run, server: Server) -> None:
    """Entries and summary, as text and as JSON."""
    data = canonical(processor="adyen")
    bury(server, data, "max_deliveries", "5-1")
    bury(server, b"\xff{", "invalid_json", "6-1")
    bury(server, b"", "invalid_json", "7-1")
    code, out, _ = run("list")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[3:5] for row in rows[:3]] == [["5-1", "adyen"], ["6-1", "-"], ["7-1", "-"]]
    assert rows[3:] == [["# invalid_json", "2"], ["# max_deliveries", "1"], ["# total", "3"]]
    report = json.loads(run("list", "--json", "--limit", "1")[1])
    assert report["summary"] == {"total": 3, "shown": 1, "by_reason": {"max_deliveries": 1, "invalid_json": 2}}
    assert report["entries"][0]["event_id"] == json.loads(data)["event_id"]


def test_many_dead_letters_are_read_to_the_end(run: Run, server: Server) -> None:
    """Reading goes on beyond one page, and so does purging."""
    with server.client.pipeline() as pipeline:
        for number in range(1201):
            fields: dict[Any, Any] = {
                "data": b"x",
                "original_id": "1-1",
                "reason": "many" if number % 4 else "few",
                "timestamp": "",
            }
            pipeline.xadd("events_stream_dlq", fields)
        pipeline.execute()
    assert json.loads(run("list", "--json")[1])["summary"]["by_reason"] == {"few": 301, "many": 900}
    assert "900 purged" in run("purge", "--reason", "many", "--yes")[1]
    assert server.client.xlen("events_stream_dlq") == 301


@pytest.mark.parametrize(
    "data", [canonical(), b"", b"not json", b"\xff\x00\x1b[31m\n", '{"é":"\x1b]0;t\x07"}'.encode()]
)
def test_show_gives_the_original_bytes(
    data: bytes, run: Run, server: Server, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Raw byte by byte, as JSON in base64, and as text that cannot steer a terminal."""
    entry_id = bury(server, data, "invalid_json", "5-1")
    shown = json.loads(run("show", entry_id, "--json")[1])
    assert base64.b64decode(shown["data_base64"]) == data
    app(["dlq", "show", "5-1", "--raw"], result_action="return_value")
    assert capsysbinary.readouterr().out == data
    code, text, _ = run("show", entry_id)
    assert code == 0
    assert all(line.isprintable() for line in text.splitlines())
    assert "original_id: 5-1" in text
    assert f"bytes: {len(data)}" in text
    assert ("requeue: possible" in text) == (not objection(data))


def test_show_says_when_there_is_none(run: Run) -> None:
    """Exit code 1, with where to look."""
    code, out, err = run("show", "1-1")
    assert (code, out) == (1, "")
    assert "no dead letter 1-1" in err


@given(st.text())
def test_nothing_shown_steers_a_terminal(text: str) -> None:
    """What is shown holds no control character, and printable text is shown as it is."""
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


@pytest.mark.process
def test_a_terminal_gets_tables(server: Server) -> None:
    """The real command on a terminal: tables, and at most 100 rows; none of it in a pipe; with none, a word."""
    code, shown = on_a_terminal(environ(server.url), "dlq", "list")
    assert (code, shown.endswith("no dead letters\r\n")) == (0, True)
    with server.client.pipeline() as pipeline:
        for _ in range(150):
            pipeline.xadd("events_stream_dlq", {"data": b"x", "original_id": "1-1", "reason": "\x1b[31mred"})
        pipeline.execute()
    code, shown = on_a_terminal(environ(server.url), "dlq", "list")
    assert code == 0
    assert shown.count(" 1-1") == 100
    assert "50 more" in shown
    assert "\\x1b[31mred" in shown
    piped = payflux(environ(server.url), "dlq", "list")
    assert piped.stdout.count(b"\n") == 152
    assert b"\x1b" not in piped.stdout
    assert not piped.stderr
