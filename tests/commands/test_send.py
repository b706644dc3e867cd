"""`payflux send`: files of events to a node, their results and the exit code."""

import gzip
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zstandard

from client_node import KEY, Reply, ThreadNode, problem, thread_node
from nodes import KEY as NODE_KEY
from payflux.commands import send as module
from payflux.commands.send import Tally, batches, send, send_batch
from payflux.load.sender import Sender
from payflux.testing import make_event
from real_parts import MakeNode

COMMAND = "import cyclopts, payflux.commands.send as s; a = cyclopts.App(name='payflux'); a.command(s.send); a()"


def lines_of(path: Path, *events: object) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def results(shown: str) -> dict[str, int]:
    """The table on stderr."""
    rows = re.findall(r"^\W*(accepted|duplicate|rejected|given up|valid|invalid)\W+([\d,]+)\W*$", shown, re.MULTILINE)
    return {name: int(count.replace(",", "")) for name, count in rows}


def ids(events: Sequence[dict[str, object]]) -> list[object]:
    return [event["event_id"] for event in events]


def test_all_events_of_a_file_are_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In order, in batches of the size asked for; the second time they are duplicates; exit code 0 both times."""
    events = [make_event() for _ in range(25)]
    file = lines_of(tmp_path / "e.jsonl", *events)
    with thread_node() as node:
        assert send(file, url=node.url, key=KEY, batch=10) == 0
        assert node.batches == [10, 10, 5]
        assert list(node.stored) == ids(events)
        first = capsys.readouterr()
        assert send(file, url=node.url, key=KEY) == 0
        second = capsys.readouterr()
    assert first.out == second.out == ""
    assert results(first.err) == {"accepted": 25, "duplicate": 0, "rejected": 0, "given up": 0}
    assert results(second.err) == {"accepted": 0, "duplicate": 25, "rejected": 0, "given up": 0}


@pytest.mark.parametrize("pretty", [None, 2])
def test_an_array_is_read_too(tmp_path: Path, pretty: int | None) -> None:
    """Pretty-printed or not."""
    events = [make_event() for _ in range(7)]
    file = tmp_path / "e.json"
    file.write_text("\n" + json.dumps(events, indent=pretty))
    with thread_node() as node:
        assert send(str(file), url=node.url, key=KEY) == 0
        assert list(node.stored) == ids(events)


def test_one_event_over_several_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that holds one pretty-printed event is one event; lines stay lines."""
    event, file = make_event(), tmp_path / "e.json"
    file.write_text(json.dumps(event, indent=2) + "\n")
    with thread_node() as node:
        assert send(str(file), url=node.url, key=KEY) == 0
        assert list(node.stored) == ids([event])
    capsys.readouterr()
    file.write_text(json.dumps({"event_id": 1}, indent=2))
    assert send(str(file), dry_run=True) == 1
    assert capsys.readouterr().err.startswith(f"{file}: item 1: invalid_event")
    file.write_text(json.dumps(event) + "\n" + json.dumps(event))
    assert send(str(file), dry_run=True) == 0
    assert results(capsys.readouterr().err) == {"valid": 2}


def test_refused_events_are_named_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, line, code and words on stderr; what is good is stored; exit code 1."""
    file = tmp_path / "e.jsonl"
    good, bad = make_event(), make_event(event_id="not-a-uuid")
    file.write_text(f"{json.dumps(good)}\n\n{json.dumps(bad)}\r\n{{broken\n")
    with thread_node() as node:
        assert send(str(file), url=node.url, key=KEY) == 1
        assert list(node.stored) == ids([good])
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].startswith(f"{file}: line 3: invalid_event: event_id must be valid UUID, such as 550e8400-")
    assert shown[1].startswith(f"{file}: line 4: invalid_json: ")
    assert not [line for line in shown if ": line 1:" in line or ": line 2:" in line]


def test_a_dry_run_judges_without_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No key and no node are needed; the exit code is that of the verdict."""
    good = lines_of(tmp_path / "good.jsonl", make_event())
    bad = lines_of(tmp_path / "bad.jsonl", make_event(), make_event(channel="4111111111111111"))
    assert send(good, dry_run=True, url="http://127.0.0.1:9") == 0
    capsys.readouterr()
    assert send(bad, dry_run=True, url="http://127.0.0.1:9") == 1
    shown = capsys.readouterr().err
    assert f"{bad}: line 2: pan_detected" in shown
    assert results(shown) == {"valid": 1, "invalid": 1}
    assert "4111111111111111" not in shown


@pytest.mark.parametrize(
    "reply", [problem(429, "rate_limited", Retry_After="0"), problem(503, "redis_down"), (0, {}, b"")]
)
def test_what_is_not_settled_is_sent_again(tmp_path: Path, reply: Reply) -> None:
    """Over the rate, unconfirmed, or without an answer."""

    def fault(node: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        if len(node.batches) == 2:
            node.store(events)  # an answer may be lost after storing
        return reply if len(node.batches) <= 2 else None

    events = [make_event() for _ in range(5)]
    with thread_node(fault) as node:
        assert send(lines_of(tmp_path / "e.jsonl", *events), url=node.url, key=KEY) == 0
        assert node.batches == [5, 5, 5]
        assert list(node.stored) == ids(events)


async def test_it_gives_up_when_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events without a settled answer are named, and it is told that they may be stored."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    said: list[str] = []
    with thread_node(lambda _, __: problem(503, "redis_down")) as node:
        tally = Tally("e.jsonl", "line", said.append)
        async with Sender(node.url, [KEY], patience_seconds=0.1) as sender:
            assert not await send_batch(sender, [(4, json.dumps(make_event()).encode())], tally)
    assert tally.counts == {"given up": 1}
    assert said == ["e.jsonl: line 4: not confirmed (HTTP 503); it may be stored"]


def test_nobody_waits_for_the_rest_when_the_node_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the first batch that was given up it ends, and says where."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(module, "ASK_SECONDS", 0.1)
    file = lines_of(tmp_path / "e.jsonl", *(make_event() for _ in range(30)))
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert send(file, url=f"http://127.0.0.1:{bound.getsockname()[1]}", key=KEY, batch=10) == 1
    shown = capsys.readouterr().err
    assert shown.count("not confirmed (no answer)") == 10
    assert re.match(r"payflux: no answer from 127\.0\.0\.1:\d+ \(Connection refused\); trying again for up to", shown)
    assert shown.count("trying again") == 1
    why = r"no settled answer within 0 s: no answer from .* \(Connection refused\)"
    assert re.search(rf"gave up: {why}; nothing after line 10 was sent\n", shown)
    assert results(shown)["given up"] == 10


def test_a_refused_key_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no point in going on; exit code 1."""
    file = lines_of(tmp_path / "e.jsonl", make_event(), make_event())
    with thread_node() as node:
        assert send(file, url=node.url, key="wrong", batch=1) == 1
        assert node.batches == []
    assert "does not accept this key; nothing was stored" in capsys.readouterr().err


def test_an_answer_of_no_use_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A minute of silence would look like a hang: the first 5xx is told, and no more of them."""

    def fault(node: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        del events
        return problem(501, "unheard_of") if len(node.batches) <= 3 else None

    with thread_node(fault) as node:
        assert send(lines_of(tmp_path / "e.jsonl", make_event()), url=node.url, key=KEY) == 0
    shown = capsys.readouterr().err
    assert shown.startswith(
        f"payflux: {node.url.removeprefix('http://')} answers HTTP 501; trying again for up to 60 s"
    )
    assert shown.count("trying again") == 1


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        (None, {}, "no-such-file: no such file"),
        ("", {}, "expected at least one event"),
        ("[1,", {}, "expected a JSON array"),
        ("[]", {}, "expected at least one event"),
        ("{}", {"key": None}, "PAYFLUX_API_KEY"),
        ("{}", {"key": "a b"}, "--key"),
        ("{}", {"batch": 0}, "--batch 0"),
        ("{}", {"url": "https://x"}, "--url"),
    ],
)
def test_wrong_usage_is_named(  # noqa: PLR0917 - fixtures
    text: str | None,
    options: dict[str, object],
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line on stderr, exit code 2."""
    for name in ("PAYFLUX_API_KEYS", "PAYFLUX_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / ("no-such-file" if text is None else "e.jsonl")
    if text is not None:
        file.write_text(text)
    assert send(str(file), **({"key": "k"} | options)) == 2  # type: ignore[arg-type]
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_batches_fit_into_a_request() -> None:
    """By number and by bytes, in order, none empty."""
    events = [(number, b"x" * size) for number, size in enumerate([600_000, 500_000, 10, 10, 10, 1_048_576, 5])]
    made = list(batches(iter(events), 3))
    assert [[number for number, _ in batch] for batch in made] == [[0], [1, 2, 3], [4], [5], [6]]
    assert list(batches(iter(()), 3)) == []


BLOCKED = b"<html>Request blocked</html>"


def refuse_curl(reply: Reply) -> Callable[[ThreadNode, Sequence[bytes]], Reply | None]:
    """A proxy that takes a shell command for an attack, wherever it stands."""
    return lambda _, events: reply if any(b"curl -s" in event for event in events) else None


@pytest.mark.parametrize("reply", [(403, {}, BLOCKED), (301, {"Location": "/"}, b""), (502, {}, BLOCKED)])
def test_an_event_that_a_proxy_refuses_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    """It is named by file and line with the proxy's answer; the others are stored; exit code 1."""
    monkeypatch.setattr(module, "ASK_SECONDS", 1.5)
    events = [make_event(failure_category="issuer; curl -s x" if number == 6 else "issuer") for number in range(8)]
    file = lines_of(tmp_path / "e.jsonl", *events)
    with thread_node(refuse_curl(reply)) as node:
        assert send(file, url=node.url, key=KEY) == 1
        assert list(node.stored) == ids(events[:6] + events[7:])
    shown = capsys.readouterr().err
    assert f"{file}: line 7: http_{reply[0]}: refused on its way to the node (HTTP {reply[0]})\n" in shown
    assert results(shown) == {"accepted": 7, "duplicate": 0, "rejected": 1, "given up": 0}


def test_a_closed_way_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What refuses everything is no fault of an event: none of them is counted as refused."""
    file = lines_of(tmp_path / "e.jsonl", *(make_event() for _ in range(3)))
    with thread_node(lambda _, __: (403, {}, BLOCKED)) as node:
        assert send(file, url=node.url, key=KEY) == 1
    shown = capsys.readouterr().err
    assert "payflux: gave up: HTTP 403: not a PayFlux node's answer to an event; nothing was stored" in shown
    assert results(shown)["rejected"] == 0


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_packed_files_are_sent(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """As they lie about, without unpacking them first."""
    events = [make_event() for _ in range(30)]
    file = tmp_path / "e.packed"
    file.write_bytes(pack("".join(json.dumps(event) + "\r\n" for event in events).encode()))
    with thread_node() as node:
        assert send(str(file), url=node.url, key=KEY, batch=7) == 0
        assert list(node.stored) == ids(events)


def test_a_file_that_breaks_off_is_sent_up_to_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was read is sent, the break is named; exit code 1."""
    packed = gzip.compress("".join(json.dumps(make_event()) + "\n" for _ in range(3000)).encode())
    file = tmp_path / "e.jsonl.gz"
    file.write_bytes(packed[: len(packed) // 2])
    with thread_node() as node:
        assert send(str(file), url=node.url, key=KEY, batch=100) == 1
        assert 100 <= len(node.stored) < 3000
    shown = capsys.readouterr().err
    assert re.search(r"gave up: cannot read on: expected a whole compressed file .*; nothing after line \d+ was", shown)


def test_utf16_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do about it; nothing is sent."""
    file = tmp_path / "e.jsonl"
    file.write_text(json.dumps(make_event()) + "\n", encoding="utf-16")
    assert send(str(file), key=KEY) == 2
    assert "expected UTF-8, this is UTF-16" in capsys.readouterr().err


HUGE = """
import resource, subprocess, sys
def feed(pipe, good, size):
    pipe.write(good + b'\\n{"channel":"')
    for _ in range(size // 1_000_000):
        pipe.write(b"x" * 1_000_000)
    pipe.write(b'"}\\n' + good)
    pipe.close()
command = [sys.executable, "-c", sys.argv[1], "send", "-", "--dry-run"]
process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
feed(process.stdin, sys.argv[2].encode(), 400_000_000)
said = process.stderr.read().decode()
process.wait()
print(process.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(said)
"""


def test_a_line_of_any_length_takes_no_memory() -> None:
    """It is refused by its number, and what stands around it is sent; 400 MB of it pass through less than 150."""
    process = subprocess.run(
        [sys.executable, "-c", HUGE, COMMAND, json.dumps(make_event())], capture_output=True, text=True, timeout=100
    )
    code, kilobytes = map(int, process.stdout.splitlines()[0].split())
    assert code == 1
    assert "stdin: line 2: body_too_large: an event may have 1,048,576 bytes at most" in process.stdout
    assert results(process.stdout) == {"valid": 2, "invalid": 1}
    assert kilobytes < 150_000


@pytest.mark.process
def test_the_command_reads_stdin_and_sends_to_a_real_node(make_node: MakeNode) -> None:
    """The key comes from the environment as a node reads it; quiet on stdout."""
    node = make_node()
    events = [make_event() for _ in range(50)] + [make_event(processor="?")]
    process = subprocess.run(
        [sys.executable, "-c", COMMAND, "send", "-", "--url", f"http://127.0.0.1:{node.port}"],
        input="".join(json.dumps(event) + "\n" for event in events).encode(),
        env=dict(os.environ) | {"PAYFLUX_API_KEYS": f"{NODE_KEY},other"},
        capture_output=True,
        timeout=30,
    )
    assert (process.returncode, process.stdout) == (1, b"")
    assert b"stdin: line 51: invalid_event: processor" in process.stderr
    assert node.metrics()["ingest_accepted_total"] == 50


def test_on_a_terminal_it_shows_progress_and_a_table(tmp_path: Path) -> None:
    """A bar while it works, a table at the end."""
    file = lines_of(tmp_path / "e.jsonl", *(make_event() for _ in range(20)))
    master, slave = os.openpty()
    with thread_node() as node:
        process = subprocess.run(
            [sys.executable, "-c", COMMAND, "send", file, "--url", node.url, "--key", KEY],
            stderr=slave,
            env={"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "100"},
            timeout=30,
        )
    os.close(slave)
    shown = os.read(master, 1_000_000).decode()
    os.close(master)
    assert process.returncode == 0
    assert "sending" in shown
    assert "20 events" in shown
    assert "accepted" in shown


def test_what_other_programs_write_is_sent(tmp_path: Path) -> None:
    """Byte order marks, carriage returns, nulls, 1.0 for 1 and half a surrogate pair: each event stands for itself."""
    events = [make_event(retry_count=1.0, geo_bucket=None), make_event(event_timestamp="2026-01-09T12:00Z")]
    spoilt = json.dumps(make_event(channel="HERE")).replace("HERE", "\\ud800")
    texts = [*map(json.dumps, events), spoilt]
    array, lines = tmp_path / "array.json", tmp_path / "lines.jsonl"
    array.write_bytes(b"\xef\xbb\xbf" + f"[\r\n{','.join(texts)}\r\n]".encode())
    lines.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(texts).encode())
    for file in (array, lines):
        with thread_node() as node:
            assert send(str(file), url=node.url, key=KEY) == 1
            assert list(node.stored) == ids(events)
