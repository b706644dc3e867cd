"""`payflux dlq`: dead letters are shown as they are, come back exactly once, and go only when told to."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes import event
from operator_commands import add, bury, canonical, environ, on_a_terminal, payflux, stream
from payflux.cli import app
from payflux.commands.dlq.select import objection
from payflux.event.decode import decode_event
from payflux.terminal.operate import printable
from real_parts import MakeNode
from servers import Server, until

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], server: Server) -> Run:
    """Runs `payflux dlq …` in this process: exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.delenv("REDIS_ADDR", raising=False)
        monkeypatch.setenv("REDIS_URL", server.url)
        code = app(["dlq", *arguments], result_action="return_value")
        shown = capsysbinary.readouterr()
        return code, shown.out.decode(), shown.err.decode()

    return run


def letters(server: Server) -> list[dict[bytes, bytes]]:
    return stream(server, "events_stream_dlq")


def entries(server: Server) -> list[tuple[int, bytes]]:
    return [(int(fields[b"seq"]), fields[b"data"]) for fields in stream(server, "events_stream")]


def state(server: Server) -> dict[str, Any]:
    """Everything Redis holds that a requeue may touch."""
    client = server.client
    seq = client.hget("{events_stream}:state", "seq") if client.type("{events_stream}:state") == b"hash" else None
    stream = client.xrange("events_stream") if client.type("events_stream") == b"stream" else None
    return {"stream": stream, "dead": client.xrange("events_stream_dlq"), "seq": int(seq or 0)}


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


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ((), [1, 2, 3, 4]),
        (("--reason", "a"), [1, 3]),
        (("--reason", "a", "--reason", "b"), [1, 2, 3, 4]),
        (("--reason", "c"), []),
        (("--id", "1767957852000-0"), [2]),
        (("--id", "3-1", "--id", "4-1"), [3, 4]),
        (("--from", "2026-01-09T11:24:12Z"), [2, 3, 4]),
        (("--from", "2026-01-09T12:24:12+01:00", "--to", "2026-01-09t11:24:13.000z"), [2, 3]),
        (("--to", "1767957852000-0", "--reason", "a"), [1]),
        (("--from", "1767957853000"), [3, 4]),
    ],
)
def test_filters(filters: tuple[str, ...], kept: list[int], run: Run, server: Server) -> None:
    """Reason, id or original id, and the time of burial, both ends included."""
    for number in (1, 2, 3, 4):
        bury(server, b"x", "a" if number % 2 else "b", f"{number}-1", f"{1767957850000 + number * 1000}-0")
    report = json.loads(run("list", "--json", *filters)[1])
    assert [int(one["original_id"][0]) for one in report["entries"]] == kept


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


def test_requeue_is_a_dry_run_unless_told(run: Run, server: Server) -> None:
    """Without --yes nothing changes, and it says what would be done."""
    bury(server, canonical(), "max_deliveries")
    bury(server, b"junk", "invalid_json")
    before = state(server)
    code, out, err = run("requeue")
    assert "1 would requeue, 1 refused" in out
    assert "--yes" in err
    assert code == 1
    assert run("requeue", "--reason", "max_deliveries")[0] == 0
    assert state(server) == before


def test_requeue_appends_the_same_bytes_with_the_next_number(run: Run, server: Server) -> None:
    """The good ones go back in order and vanish from the dead letters; a second run finds nothing."""
    for seq in (1, 2, 3):
        add(server, seq, canonical())
    good = [canonical(), canonical()]
    for data in good:
        bury(server, data, "max_deliveries")
    code, out, _ = run("requeue", "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"dry_run": False, "requeued": 2, "refused_because": {}})
    assert entries(server)[3:] == [(4, good[0]), (5, good[1])]
    assert letters(server) == []
    assert state(server)["seq"] == 5
    code, out, _ = run("requeue", "--yes")
    assert (code, out) == (0, "no dead letter matches\n")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "invalid_json"),
        (b"junk", "invalid_json"),
        (b"{}", "required"),
        (canonical()[:-1], "invalid_json"),
        (canonical() + b" ", "not_canonical"),
        (json.dumps(event()).encode(), "not_canonical"),
        (canonical(merchant_id_hash="MARK").replace(b"MARK", b"4111 1111 1111 1111"), "pan_detected"),
    ],
)
def test_requeue_refuses_what_is_no_canonical_event(data: bytes, why: str, run: Run, server: Server) -> None:
    """It stays where it is, and the reason is given; a card number never is."""
    entry_id = bury(server, data, "invalid_event")
    before = state(server)
    code, out, _ = run("requeue", "--yes")
    assert code == 1
    assert f"refused {entry_id}" in out
    assert why in out
    assert "4111" not in out
    assert state(server) == before


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Nd"]), max_size=100), st.integers(0, 2**20)
)
def test_only_canonical_events_are_not_objected_to(text: str, place: int) -> None:
    """Any stored event may go back; cut short anywhere, or with a blank anywhere outside its strings, it may not."""
    data = canonical(merchant_id_hash=text)
    assert objection(data) == ""
    assert objection(data[: place % len(data)])
    gaps = [at for at in range(len(data)) if data[at : at + 2] in {b',"', b'":'} and b"\\" not in data]
    assert not gaps or objection(data[: gaps[-1] + 1] + b" " + data[gaps[-1] + 1 :])


@given(st.text())
def test_nothing_shown_steers_a_terminal(text: str) -> None:
    """What is shown holds no control character, and printable text is shown as it is."""
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


@pytest.mark.parametrize("arguments", [(), ("--all", "--reason", "a")])
def test_purge_needs_a_filter_or_all(arguments: tuple[str, ...], run: Run, server: Server) -> None:
    """Nobody deletes everything by forgetting something."""
    bury(server, b"x", "a")
    code, _, err = run("purge", "--yes", *arguments)
    assert code == 2
    assert "--all" in err
    assert len(letters(server)) == 1


def test_purge_deletes_what_is_meant(run: Run, server: Server) -> None:
    """Dry without --yes; then exactly the selection."""
    for reason in "aab":
        bury(server, b"x", reason)
    assert "2 would purge" in run("purge", "--reason", "a")[1]
    assert len(letters(server)) == 3
    assert run("purge", "--reason", "a", "--yes")[1] == "2 purged\n"
    assert [fields[b"reason"] for fields in letters(server)] == [b"b"]
    assert run("purge", "--all", "--yes")[1] == "1 purged\n"
    assert letters(server) == []


@pytest.mark.parametrize("command", [("list",), ("show", "1-1"), ("requeue", "--yes"), ("purge", "--all", "--yes")])
def test_trouble_with_redis_is_one_line(command: tuple[str, ...], run: Run, server: Server) -> None:
    """Exit code 1 with what to do, and nothing on stdout; first a key of another type, then no server at all."""
    server.client.set("events_stream_dlq", "x")
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "payflux check" in err
    server.kill()
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "is it running" in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("list", "--from", "yesterday"), "--from yesterday: expected a time such as"),
        (("list", "--to", "2026-01-09T12:00:00"), "--to 2026-01-09T12:00:00"),
        (("purge", "--from", "9-0", "--to", "8-0"), "the beginning before the end"),
        (("requeue", "--id", "1-1", "--from", "99999999999999999999-0"), "--from 9999"),
        (("list", "--limit", "-1"), "--limit -1"),
        (("show", "1-1", "--raw", "--json"), "--raw and --json"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], problem: str, run: Run) -> None:
    """Exit code 2, with what was expected."""
    code, _, err = run(*arguments)
    assert code == 2
    assert problem in err


@pytest.mark.process
def test_a_requeued_event_is_exported_once(run: Run, server: Server, make_node: MakeNode) -> None:
    """A real node gives its line with the next number, and counts no loss and no duplicate."""
    node = make_node()
    first, again, last = event(), event(), event()
    assert node.post(first) == 202
    bury(server, decode_event(json.dumps(again).encode()).data, "max_deliveries")
    assert run("requeue", "--yes")[1] == "1 requeued\n"
    assert node.post(last) == 202
    until(lambda: node.line_count() == 3 and node.drained(), "three lines")
    assert [(line["event_id"], line["seq"]) for line in node.lines()] == [
        (one["event_id"], seq) for seq, one in enumerate((first, again, last), 1)
    ]
    metrics = node.metrics()
    assert sum(value for name, value in metrics.items() if name.startswith("stream_lost_total")) == 0
    assert metrics["dlq_depth"] == 0


@pytest.mark.process
def test_a_terminal_gets_tables(server: Server) -> None:
    """The real command on a terminal: tables, and at most 100 rows; none of it in a pipe; with none, a word."""
    code, shown = on_a_terminal(environ(server.url), "dlq", "list")
    assert (code, "no dead letters" in shown, "┃" in shown) == (0, True, False)
    with server.client.pipeline() as pipeline:
        for _ in range(150):
            pipeline.xadd("events_stream_dlq", {"data": b"x", "original_id": "1-1", "reason": "\x1b[31mred"})
        pipeline.execute()
    code, shown = on_a_terminal(environ(server.url), "dlq", "list")
    assert code == 0
    assert shown.count("│ 1-1") == 100
    assert "50 more" in shown
    assert "\\x1b[31mred" in shown
    piped = payflux(environ(server.url), "dlq", "list")
    assert piped.stdout.count(b"\n") == 152
    assert b"\x1b" not in piped.stdout
    assert not piped.stderr
