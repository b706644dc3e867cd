"""`payflux replay`: the same events once more, marked, scored as they were, and nothing else changed."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from needs import module
from nodes import event
from operator_commands import START_MS, add, canonical, environ, on_a_terminal, payflux, stream, traffic
from payflux.cli import app
from payflux.terminal import one_off
from real_parts import MakeNode
from servers import Server, until
from their_server import receiving

BREAKS = """
from payflux.exporters import Batch, GroupDestination

class Exporter:
    def deliver(self, lines): raise KeyError("odd")
    def close(self): raise KeyError("odd")

Breaks = GroupDestination(lambda opening: Exporter(), "breaks", Batch(2, 2048, 0))
Unmade = GroupDestination(lambda opening: 1 // 0, "unmade", Batch(2, 2048, 0))
"""
Run = Callable[..., tuple[int, list[dict[str, Any]], str]]
START = datetime.fromtimestamp(START_MS / 1000, UTC)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], server: Server) -> Run:
    """Runs `payflux replay …` in this process: exit code, lines and stderr."""

    def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        monkeypatch.delenv("REDIS_ADDR", raising=False)
        monkeypatch.setenv("REDIS_URL", server.url)
        code = app(["replay", *arguments], result_action="return_value")
        shown = capsysbinary.readouterr()
        return code, [json.loads(line) for line in shown.out.splitlines()], shown.err.decode()

    return run


def seqs(lines: list[dict[str, Any]]) -> list[int]:
    return [line["seq"] for line in lines]


@pytest.mark.process
def test_lines_are_those_of_the_node_and_marked(run: Run, server: Server, make_node: MakeNode) -> None:
    """From the middle on too: the window before --from was scored first. The group has seen nothing of it."""
    node = make_node()
    for _ in range(3):
        batch = [event(retry_count=number % 4, geo_bucket=f"G{number}") for number in range(10)]
        assert node.post_batch(batch)[0] == 200
    until(lambda: node.line_count() == 30 and node.drained(), "the node's lines")
    groups = server.client.xinfo_groups("events_stream")
    middle = node.lines()[17]["stream_message_id"]
    for arguments, expected in ((), node.lines()), (("--from", middle), node.lines()[17:]):
        code, lines, _ = run("--to-stdout", *arguments)
        assert code == 0
        assert len(lines) == len(expected)
        for line, original in zip(lines, expected, strict=True):
            assert line.pop("replayed") is True
            assert line.pop("consumer_name") == "payflux-replay"
            del line["processed_at"], original["processed_at"], original["consumer_name"]
            assert line == original
    assert server.client.xinfo_groups("events_stream") == groups


def time_of(seq: int, **further: float) -> str:
    return (START + timedelta(seconds=seq, **further)).isoformat()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((), range(1, 31)),
        (("--from", f"{START_MS + 10_000}-0"), range(10, 31)),
        (("--from", f"{START_MS + 10_000}-1"), range(11, 31)),
        (("--from", time_of(10), "--to", time_of(12)), range(10, 13)),
        (("--from", time_of(10, milliseconds=1), "--to", time_of(13, milliseconds=-1)), range(11, 13)),
        (("--to", f"{START_MS + 5_000}"), range(1, 6)),
        (("--until", f"{START_MS + 5_000}"), range(1, 6)),
        (("--from", "2030-01-01T00:00:00Z"), ()),
        (("--limit", "7"), range(1, 8)),
        (("--processor", "adyen"), range(3, 31, 3)),
        (("--processor", "adyen", "--limit", "2", "--from", time_of(10)), (12, 15)),
        (("--processor", "adyen", "--processor", "stripe"), range(1, 31)),
        (("--processor", "nobody"), ()),
    ],
)
def test_range_filter_and_limit(arguments: tuple[str, ...], wanted: Any, run: Run, server: Server) -> None:
    """Both ends are included; what a page holds beyond the limit is left."""
    traffic(server, 30)
    code, lines, err = run("--to-stdout", *arguments)
    assert (code, seqs(lines)) == (0, list(wanted))
    summary = json.loads(err.splitlines()[-1])
    assert (summary["msg"], summary["replayed"]) == ("replay_ended", len(lines))


def test_to_another_stream(run: Run, server: Server) -> None:
    """Data byte by byte, number and mark; over several pages, without what is no event, and nothing on stdout."""
    traffic(server, 1500)
    server.client.xadd("events_stream", {"data": "junk", "seq": 1501})
    originals = stream(server, "events_stream")[:1500]
    code, lines, err = run("--to-stream", "again")
    assert (code, lines) == (0, [])
    assert stream(server, "again") == [
        {b"data": one[b"data"], b"seq": one[b"seq"], b"replayed": b"1"} for one in originals
    ]
    summary = json.loads(err)
    assert (summary["read"], summary["replayed"], summary["invalid"]) == (1501, 1500, 1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "--to-stdout, --to-stream NAME, --to EXPORTER: expected one of them"),
        (("--to-stdout", "--to-stream", "x"), "expected one of them"),
        (("--to-stdout", "--to", "parquet"), "expected one of them"),
        (("--to", "noon"), "--to noon: expected an exporter (webhook, parquet, kafka or module:Name), or a time"),
        (("--to", "no.such:Thing"), "--to no.such:Thing: expected an exporter"),
        (("--to", "webhook"), "PAYFLUX_EXPORT_WEBHOOK_URL: expected a URL such as https://host/path, as --to names"),
        (("--to-stdout", "--until", "noon"), "--until noon: expected a time such as"),
        (("--to-stdout", "--from", "2-0", "--until", "1-0"), "--from 2-0 --until 1-0: expected the beginning"),
        (("--to-stream", "events_stream"), "--to-stream events_stream"),
        (("--to-stream", "events_stream_dlq"), "PayFlux's own"),
        (("--to-stream", "{events_stream}:state"), "PayFlux's own"),
        (("--to-stream", " "), "--to-stream"),
        (("--to-stdout", "--limit", "0"), "--limit 0"),
        (("--to-stdout", "--from", "noon"), "--from noon: expected a time such as"),
        (("--to-stdout", "--from", "2-0", "--to", "1-0"), "the beginning before the end"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], problem: str, run: Run, server: Server) -> None:
    """Exit code 2, and nothing was written anywhere."""
    code, lines, err = run(*arguments)
    assert (code, lines) == (2, [])
    assert problem in err
    assert server.client.dbsize() == 0


def given(monkeypatch: pytest.MonkeyPatch, name: str, **settings: str) -> None:
    """The settings of an exporter stand in the environment."""
    for end, text in settings.items():
        monkeypatch.setenv(f"PAYFLUX_EXPORT_{name}_{end}", text)


def test_to_files_once_however_often(
    run: Run, server: Server, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of them first, then all: what is there already is not written again, and the gap is filled."""
    for name in ("arro3", "obstore", "duckdb"):
        module(name)
    import duckdb  # noqa: PLC0415 - not everywhere

    traffic(server, 30)
    given(monkeypatch, "PARQUET", URL=str(directory / "files"), BATCH_EVENTS="7")
    middle = ("--from", f"{START_MS + 10_000}-0", "--until", f"{START_MS + 19_000}-0")
    for arguments, count in ((middle, 10), ((), 30)):
        code, lines, err = run(*arguments, "--to", "parquet")
        assert (code, lines) == (0, [])
        assert json.loads(err.splitlines()[-1])["replayed"] == count
    with duckdb.connect() as connection:
        sql = f"SELECT count(*), count(DISTINCT seq), max(seq) FROM '{directory}/files/dt=*/hour=*/*.parquet'"  # noqa: S608
        assert connection.execute(sql).fetchall() == [(30, 30, 30)]


def test_a_part_goes_to_no_folder_of_all(
    run: Run, server: Server, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one processor first, and then all, into the same files: one line that says why not, and how to go on."""
    for name in ("arro3", "obstore"):
        module(name)
    traffic(server, 30)
    given(monkeypatch, "PARQUET", URL=str(directory / "files"))
    assert run("--processor", "adyen", "--to", "parquet")[0] == 0
    code, lines, err = run("--to", "parquet")
    report, last = err.splitlines()
    assert (code, lines) == (1, [])
    assert "give each filter a folder of its own" in last
    assert last.endswith('the filter there is {"processors":["adyen"]}, here none (denied)')
    assert json.loads(report)["continue_with"] == f"--from {START_MS + 1000}-0"
    given(monkeypatch, "PARQUET", PROCESSORS="adyen")
    assert run("--to", "parquet")[0] == 0


def test_an_exporter_that_breaks_is_one_line(
    run: Run, server: Server, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it raised and how to continue; variables of another one of one's own are no mistakes."""
    (directory / "replay_for_tests.py").write_text(BREAKS)
    monkeypatch.syspath_prepend(directory)
    monkeypatch.setattr(one_off, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setenv("PAYFLUX_EXPORTERS", "replay_for_tests:Unmade")
    given(monkeypatch, "UNMADE", BATCH_SEC="3")
    traffic(server, 3)
    code, _, err = run("--to", "replay_for_tests:Breaks")
    report, last = err.splitlines()
    assert (code, last) == (1, "payflux: the destination failed: KeyError: 'odd' (write)")
    assert json.loads(report)["continue_with"] == f"--from {START_MS + 1000}-0"
    code, _, err = run("--to", "replay_for_tests:Unmade")
    assert (code, err) == (
        1,
        "payflux: the destination failed: ZeroDivisionError: integer division or modulo by zero (write)\n",
    )


def test_to_a_webhook_as_its_exporter_would(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its batches, through its filter, marked; tried again when it is busy, and what it refuses is told."""
    traffic(server, 10)
    with receiving() as theirs:
        theirs.answers.extend([(503, {}, b""), (200, {}, b""), (422, {}, b""), (422, {}, b"odd")])
        own = {"URL": theirs.url, "PRIVATE": "true", "GZIP": "false", "BATCH_EVENTS": "4", "BACKOFF_SEC": "1"}
        given(monkeypatch, "WEBHOOK", **own, PROCESSORS="stripe")
        code, _, err = run("--to", "webhook")
    told = [json.loads(line) for line in err.splitlines()]
    assert code == 1
    assert [one["msg"] for one in told] == ["export_failed", "replay_refused", "replay_ended"]
    assert told[1]["reason"] == "HTTP 422: odd"
    assert (told[-1]["replayed"], told[-1]["filtered"], told[-1]["refused"]) == (6, 3, 1)
    taken = [json.loads(line) for one in theirs.got[1:] for line in one.body.splitlines()]
    assert all(line["replayed"] and line["processor"] == "stripe" for line in taken)
    assert {line["seq"] for line in taken} == {1, 2, 4, 5, 7, 8, 10}


def test_a_destination_that_fails_is_said_with_how_to_continue(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1; from the first event that is not there."""
    traffic(server, 10)
    with receiving() as theirs:
        theirs.answers.extend([(200, {}, b""), (401, {}, b"who?")])
        given(monkeypatch, "WEBHOOK", URL=theirs.url, PRIVATE="true", GZIP="false", BATCH_EVENTS="4")
        code, _, err = run("--to", "webhook")
        report, last = err.splitlines()
        assert (code, last) == (1, "payflux: the destination failed: HTTP 401: who? (denied)")
        told = json.loads(report)
        assert (told["replayed"], told["continue_with"]) == (4, f"--from {START_MS + 5000}-0")
        assert run("--to", "webhook", *told["continue_with"].split())[0] == 0
    taken = [json.loads(line)["seq"] for one in theirs.got for line in one.body.splitlines()]
    assert taken == [1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 9, 10]


def test_a_start_that_was_trimmed_is_said(run: Run, server: Server) -> None:
    """Where older entries than the first are gone, a replay from before them warns."""
    traffic(server, 10)
    server.client.xtrim("events_stream", maxlen=4, approximate=False)
    code, lines, err = run("--to-stdout", "--from", time_of(2))
    assert (code, seqs(lines)) == (0, [7, 8, 9, 10])
    assert json.loads(err.splitlines()[0])["msg"] == "older_entries_trimmed"
    assert "trimmed" not in run("--to-stdout", "--from", time_of(8))[2]


def test_a_target_of_another_type_is_one_line(run: Run, server: Server) -> None:
    """Exit code 1, with what may have been copied; and the same for a server that is down."""
    traffic(server, 3)
    server.client.set("again", "x")
    code, _, err = run("--to-stream", "again")
    assert code == 1
    report, last = err.splitlines()
    assert json.loads(report)["perhaps_written_too"] == 3
    assert "redis_wrong_type" in last
    server.kill()
    code, _, err = run("--to-stdout")
    assert (code, err.count("\n")) == (1, 1)


@pytest.mark.process
def test_a_replay_cut_short_says_how_to_continue(run: Run, server: Server, directory: Path) -> None:
    """A file that may grow no further stops it; continued from where it says, nothing is missing."""
    traffic(server, 9000)
    out = directory / "again.jsonl"
    command = f"ulimit -f 9000; exec {sys.executable} -m payflux replay --to-stdout > {out}"
    stopped = subprocess.run(["sh", "-c", command], env=environ(server.url), capture_output=True, timeout=60)
    report, last = stopped.stderr.decode().splitlines()
    assert stopped.returncode == 1
    assert "cannot write: File too large" in last
    told = json.loads(report)
    written = [json.loads(line)["seq"] for line in out.read_bytes().split(b"\n")[:-1]]
    assert 0 < told["replayed"] < 9000
    assert written[: told["replayed"]] == list(range(1, told["replayed"] + 1))
    assert len(written) <= told["replayed"] + told["perhaps_written_too"]
    code, lines, _ = run("--to-stdout", *told["continue_with"].split())
    assert code == 0
    assert seqs(lines) == list(range(told["replayed"] + 1, 9001))


@pytest.mark.process
def test_a_terminal_gets_progress_and_a_pipe_none(server: Server) -> None:
    """The real command: a bar and a sentence on a terminal, one JSON line on stderr in a pipe."""
    traffic(server, 20)
    code, shown = on_a_terminal(environ(server.url), "replay", "--to-stream", "again")
    assert code == 0
    assert "20/20" in shown
    assert "replay ended: read 20, replayed 20" in shown
    piped = payflux(environ(server.url), "replay", "--to-stdout")
    assert piped.returncode == 0
    assert piped.stdout.count(b'"replayed":true}\n') == 20
    assert json.loads(piped.stderr)["msg"] == "replay_ended"


def test_from_so_long_ago(run: Run, server: Server) -> None:
    """`--from -15m` is taken for what it is, not for an option; so is `--to`."""
    for seq, age in ((1, 1_200_000), (2, 600_000), (3, 0)):
        add(server, seq, canonical(), time.time_ns() // 1_000_000 - age - START_MS)
    assert seqs(run("--to-stdout", "--from", "-15m")[1]) == [2, 3]
    assert seqs(run("--to-stdout", "--from", "-15m", "--to", "-5m")[1]) == [2]
