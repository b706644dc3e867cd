"""Logs: one JSON line each on stderr, whatever stands in it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from payflux.errors import StreamUnavailable
from payflux.log import QUEUE_BYTES, TEXT_LIMIT, LineQueue, log

ALIVE = "print('alive', flush=True)"
PIPE_BYTES = 65536  # what a pipe of Linux holds; it takes lines of up to 4,096 bytes whole or not at all


@pytest.fixture
def stalled() -> Iterator[tuple[int, int]]:
    """A pipe that is full: reader and writer."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4095 + b"\n")
    os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)


def rest_of(reader: int, writer: int) -> list[bytes]:
    """What the pipe holds, and is still to come, in lines, without what filled it; for the last to write to it."""
    os.close(writer)
    with os.fdopen(os.dup(reader), "rb") as file:
        return [line for line in file.read().splitlines() if not line.startswith(b"xx")]


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The one line that was written."""
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_a_line_has_time_level_and_message_first(capsys: pytest.CaptureFixture[str]) -> None:
    """The fixed members come first, then the fields in the order given."""
    log("warning", "shutdown_initiated", reason="signal", pid=7, parts=["a"])
    found = logged(capsys)
    assert list(found) == ["ts", "level", "msg", "reason", "pid", "parts"]
    assert (found["level"], found["msg"], found["parts"]) == ("warning", "shutdown_initiated", ["a"])
    assert str(found["ts"]).endswith("Z")
    assert len(str(found["ts"])) == len("2026-01-09T12:00:00.000Z")


@pytest.mark.parametrize(
    "text", ['x\n{"level":"error"}', "\r", "\x1b[2J", "\u2028", "%s%n", "{0.__class__}", "\x00", "é\U0001f4b3", ""]
)
def test_no_text_breaks_out_of_its_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends, escapes and formats come back from the one line as they were."""
    log("error", "x", detail=text)
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert captured.endswith("\n")
    assert json.loads(captured)["detail"] == text


def test_long_texts_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """A megabyte does not make a line of a megabyte."""
    log("error", "x", detail="d" * 1_000_000, error=StreamUnavailable("redis_error", "e" * 1_000_000))
    found = logged(capsys)
    assert found["detail"] == "d" * TEXT_LIMIT
    assert found["error"] == "e" * TEXT_LIMIT


def test_anything_can_be_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """File names in no encoding, exceptions and odd numbers are written, not raised."""
    log("error", "x", path="caf\udce9", error=OSError(2, "gone", "\udcff"), nan=float("nan"), big=2**80, raw=b"\xff")
    found = logged(capsys)
    assert found["path"] == "caf\\udce9"
    assert "gone" in str(found["error"])
    assert found["nan"] is None


def test_a_field_replaces_no_fixed_member(capsys: pytest.CaptureFixture[str]) -> None:
    """A field named like the time leaves the time alone."""
    log("info", "x", ts="yesterday")
    assert str(logged(capsys)["ts"]).startswith("2")


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize("queued", ["", "with in_background(): "])
def test_a_log_nobody_takes_stops_nothing(stderr: str, queued: str) -> None:
    """With stderr closed or full, the program goes on."""
    code = f"from payflux.log import *\n{queued}log('info', 'x'); log('info', 'y'); {ALIVE}"
    ended = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {stderr}', sys.executable, code], stdout=subprocess.PIPE, text=True, timeout=30
    )
    assert ended.stdout == "alive\n"


def test_a_stalled_reader_blocks_nobody_and_learns_what_is_missing(stalled: tuple[int, int]) -> None:
    """A full queue drops the newest lines and counts them; the reader finds the others whole, in order, and the gap."""
    reader, writer = stalled
    counted: list[int] = []
    queue = LineQueue(writer)
    queue.count_lost(counted.append)
    lines = [f"{number:07} ".encode() + b"y" * 91 + b"\n" for number in range(2 * QUEUE_BYTES // 100)]
    for line in lines:
        queue.put(line)
    queue.flush(0.01)
    kept = QUEUE_BYTES // 100
    assert sum(counted) == len(lines) - kept
    with os.fdopen(os.dup(reader), "rb") as file:
        found: list[bytes] = []
        while not found or b"log_lines_dropped" not in found[-1]:
            line = file.readline()
            found += [] if line.startswith(b"xx") else [line]
        queue.put(b"later\n")
        found.append(file.readline())
    os.close(writer)
    assert found[:kept] == lines[:kept]
    assert json.loads(found[kept]).items() >= {"level": "warning", "count": len(lines) - kept}.items()
    assert found[kept + 1 :] == [b"later\n"]


def test_a_reader_that_is_gone_is_counted() -> None:
    """Lines nobody can read any more are counted, and the queue does not fill with them."""
    reader, writer = os.pipe()
    os.close(reader)
    counted: list[int] = []
    queue = LineQueue(writer)
    queue.count_lost(counted.append)
    for _ in range(3):
        queue.put(b"x\n")
    queue.flush(10)
    assert sum(counted) == 3
    os.close(writer)


def test_a_descriptor_that_does_not_block_gets_every_line_whole(stalled: tuple[int, int]) -> None:
    """Another program may have left stderr non-blocking: what does not fit waits and is not torn or lost."""
    reader, writer = stalled
    os.set_blocking(writer, False)
    queue = LineQueue(writer)
    queue.put(b"one\n")
    queue.put(b"two\n")
    queue.flush(0.2)
    os.read(reader, PIPE_BYTES)
    queue.flush(10)
    assert rest_of(reader, writer) == [b"one", b"two"]


def run_main(code: str, stderr: int) -> subprocess.Popen[str]:
    """Code in a process of its own, within `in_background()`."""
    program = f"import os, sys\nfrom payflux.log import *\nwith in_background():\n    {code}\nos._exit(0)"
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=stderr, text=True)


def test_the_end_waits_for_a_slow_reader(stalled: tuple[int, int]) -> None:
    """What is queued when a process ends by `os._exit` is written, if its reader comes back within two seconds."""
    reader, writer = stalled
    with run_main(f"log('info', 'last'); {ALIVE}", writer) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "alive\n"
        os.read(reader, PIPE_BYTES)
        assert process.wait(10) == 0
    assert [json.loads(line)["msg"] for line in rest_of(reader, writer)] == ["last"]


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)"])
def test_the_end_does_not_wait_for_ever(stalled: tuple[int, int], end: str) -> None:
    """With a reader that never comes back the process ends, by itself and with its own exit code."""
    _, writer = stalled
    with run_main(f"log('info', 'last')\n{end}", writer) as process:
        assert process.wait(10) == 0
    os.close(writer)


def test_last_words_wait_for_the_reader(stalled: tuple[int, int]) -> None:
    """Why a command ends is not lost to a reader that is slow, and stands behind what was logged."""
    reader, writer = stalled
    with run_main("log('info', 'x'); last_words('payflux: wrong\\n')", writer) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        os.read(reader, PIPE_BYTES)
        assert process.wait(10) == 0
    logged, words = rest_of(reader, writer)
    assert json.loads(logged)["msg"] == "x"
    assert words == b"payflux: wrong"


def test_what_libraries_log_goes_the_same_way() -> None:
    """A task that failed and was never asked, as asyncio tells it: a JSON line, without the text of the exception."""
    code = """
import asyncio, gc, logging
from payflux.log import in_background
async def fail(): raise ValueError("4111111111111111")
async def main():
    asyncio.create_task(fail())
    await asyncio.sleep(0)
    gc.collect()
with in_background():
    asyncio.run(main())
    logging.getLogger("x").warning("%s of %d", "one", 2)
    logging.getLogger("x").info("unheard")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["msg"], line["logger"]) for line in lines] == [
        ("error", "library_message", "asyncio"),
        ("warning", "library_message", "x"),
    ]
    assert (lines[0]["error"], lines[1]["detail"]) == ("ValueError", "one of 2")
    assert "4111" not in done.stderr


def test_a_forked_process_logs_by_itself(directory: Path) -> None:
    """After a fork the child, which has not the thread, writes at once, and nothing comes twice."""
    file = directory / "log"
    code = "log('info', 'parent'); pid = os.fork(); pid or (log('info', 'child'), os._exit(0)); os.waitpid(pid, 0)"
    with file.open("wb") as stderr, run_main(code, stderr.fileno()) as process:
        assert process.wait(10) == 0
    found = [json.loads(line)["msg"] for line in file.read_text().splitlines() if line.startswith("{")]
    assert sorted(found) == ["child", "parent"]


def test_importing_starts_no_thread() -> None:
    """The thread begins with the first line, not with an import."""
    code = "import threading, payflux.log, payflux.__main__; print(threading.active_count())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"


def test_a_signal_handler_may_log(directory: Path) -> None:
    """A handler that interrupts a line being queued queues one of its own."""
    file = directory / "log"
    code = (
        "import signal; signal.signal(signal.SIGALRM, lambda *_: log('info', 'alarm'));"
        " signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005);"
        " [log('info', 'x') for _ in range(2000)]; signal.setitimer(signal.ITIMER_REAL, 0)"
    )
    with file.open("wb") as stderr, run_main(code, stderr.fileno()) as process:
        assert process.wait(20) == 0
    found = [json.loads(line)["msg"] for line in file.read_text().splitlines()]
    assert "alarm" in found
