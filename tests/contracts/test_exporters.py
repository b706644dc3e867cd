"""Exporters: what each one has to do, and what file and stdout do when the destination misbehaves."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from payflux.errors import ExportFailed
from payflux.exporters import EXPORTERS, exporter_class
from payflux.exporters.file import FileExporter
from payflux.exporters.stdout import StdoutExporter
from payflux.telemetry.metrics import DESTINATIONS, EXPORT_REASONS

LINES = [b'{"event_id":"%d","text":"%s"}\n' % (number, b"x" * (number % 97)) for number in range(2000)]
EXPORT = """
import sys
from payflux.exporters import exporter_class
exporter = exporter_class(sys.argv[1])(sys.argv[2])
lines = sys.stdin.buffer.readlines()
exporter.write(b"".join(lines[:1000]))
for line in lines[1000:1500]:
    exporter.write(line)
exporter.reopen()
exporter.write(b"".join(lines[1500:]))
exporter.close()
"""
LIMITED = """
import os, resource, sys
from payflux.errors import ExportFailed
from payflux.exporters.file import FileExporter
from payflux.exporters.stdout import StdoutExporter

def allow(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def write(data):
    try:
        exporter.write(data)
    except ExportFailed as error:
        print(error.code, error.written, flush=True, file=sys.stderr)

path = sys.argv[1]
if sys.argv[2] == "file":
    exporter = FileExporter(path)
else:
    exporter = StdoutExporter(fd=os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
"""


def limited(path: Path, exporter: str, steps: str) -> tuple[bytes, list[str]]:
    """What stands in a file after an exporter met a limit of its size, and what it raised."""
    code = [sys.executable, "-c", LIMITED + steps, str(path), exporter]
    ended = subprocess.run(code, capture_output=True, text=True, timeout=30, check=True)
    return path.read_bytes(), ended.stderr.splitlines()


# every exporter


@pytest.mark.parametrize("name", EXPORTERS)
def test_whole_lines_arrive_in_order(name: str, tmp_path: Path) -> None:
    """Batches and single lines, before and after a reopen, are all at the destination when it is closed."""
    target = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-c", EXPORT, name, str(target)], input=b"".join(LINES), capture_output=True, timeout=30
    )
    assert ended.returncode == 0, ended.stderr
    arrived = target.read_bytes() if target.exists() else ended.stdout
    assert arrived == b"".join(LINES)
    assert ended.stderr == b""
    assert ended.stdout in (b"", arrived)


def test_the_registry_and_the_metrics_know_the_same_destinations() -> None:
    """Each exporter has its series, its class exists, and an unknown name is an error."""
    assert tuple(EXPORTERS) == DESTINATIONS
    for name in EXPORTERS:
        assert callable(exporter_class(name))
    with pytest.raises(KeyError):
        exporter_class("kafka-on-the-moon")


# file


def test_a_file_is_made_at_the_first_write_and_private(tmp_path: Path) -> None:
    """A consumer that stands by touches nothing; what is made can be read by owner and group alone."""
    path = tmp_path / "events.jsonl"
    exporter = FileExporter(str(path))
    exporter.close()
    assert not path.exists()
    exporter.write(LINES[0])
    assert path.stat().st_mode & 0o027 == 0
    exporter.close()
    exporter.close()
    exporter.write(LINES[1])  # after a close it opens again
    exporter.close()
    assert path.read_bytes() == LINES[0] + LINES[1]


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        (b"", b""),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}\n{"b":2}\n', b'{"a":1}\n{"b":2}\n'),
        (b'{"a":1}\n{"b"', b'{"a":1}\n'),
        (b'{"a"', b""),
        (b'{"a":1}\n' * 200_000 + b'{"torn', b'{"a":1}\n' * 200_000),
    ],
    ids=["empty", "one line", "two lines", "torn", "only torn", "torn, large"],
)
def test_a_torn_tail_is_cut_off(before: bytes, kept: bytes, tmp_path: Path) -> None:
    """What a crash left behind the last whole line goes, and every whole line stays."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(before)
    exporter = FileExporter(str(path))
    exporter.write(LINES[0])
    exporter.close()
    assert path.read_bytes() == kept + LINES[0]


def test_a_file_moved_away_is_written_until_the_reopen(tmp_path: Path) -> None:
    """As logrotate does it: rename, SIGHUP, and from then on a new file."""
    path, rotated = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    exporter = FileExporter(str(path))
    exporter.write(LINES[0])
    path.rename(rotated)
    exporter.write(LINES[1])
    assert not path.exists()
    exporter.reopen()
    exporter.write(LINES[2])
    exporter.close()
    assert (rotated.read_bytes(), path.read_bytes()) == (LINES[0] + LINES[1], LINES[2])


def test_a_full_disk_has_a_reason_of_its_own() -> None:
    """`disk_full`, with nothing written, each time it is tried."""
    exporter = FileExporter("/dev/full")
    for _ in range(2):
        with pytest.raises(ExportFailed) as caught:
            exporter.write(LINES[0])
        assert (caught.value.code, caught.value.written) == ("disk_full", 0)
    exporter.close()


@pytest.mark.parametrize("limit", [0, 9, 10, 15, 99, 100])
def test_a_batch_that_does_not_fit_is_taken_back_to_its_last_line(limit: int, tmp_path: Path) -> None:
    """Of ten lines of ten bytes those that fit whole stay and are counted; afterwards the rest goes on behind them."""
    steps = f"allow({limit})\nwrite(b'123456789\\n' * 10)\nallow(1000)\nwrite(b'abc\\n')"
    written, raised = limited(tmp_path / "events.jsonl", "file", steps)
    whole = limit // 10 * 10
    assert written == b"123456789\n" * (whole // 10) + b"abc\n"
    assert raised == ([] if limit == 100 else [f"write {whole}"])


@pytest.mark.parametrize("kind", ["directory", "missing directory"])
def test_a_path_that_cannot_be_opened_is_tried_again(kind: str, tmp_path: Path) -> None:
    """`open` each time, until the path can be opened; nothing of it stays open."""
    path = tmp_path / "sub" / "events.jsonl"
    if kind == "directory":
        path.mkdir(parents=True)
    exporter = FileExporter(str(path))
    for _ in range(2):
        with pytest.raises(ExportFailed) as caught:
            exporter.write(LINES[0])
        assert (caught.value.code, caught.value.written) == ("open", 0)
        assert exporter.reopen() is False  # nothing is open
    if kind == "directory":
        path.rmdir()
    else:
        path.parent.mkdir()
    exporter.write(LINES[0])
    exporter.close()
    assert path.read_bytes() == LINES[0]


def test_a_file_not_written_yet_is_left_alone(tmp_path: Path) -> None:
    """A hang-up makes a standby node neither open nor mend the file another node is writing."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"whole\nhalf a li")
    exporter = FileExporter(str(path))
    assert exporter.reopen() is False
    assert path.read_bytes() == b"whole\nhalf a li"


# stdout


class Reader:
    """Reads a pipe to its end, a few bytes at a time, in a thread."""

    def __init__(self, fd: int, size: int = 4096) -> None:
        self.data = bytearray()
        self._fd, self._size = fd, size
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while piece := os.read(self._fd, self._size):
            self.data += piece

    def end(self) -> bytes:
        """Everything, once the writing end is closed."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        return bytes(self.data)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; those not closed by the test are closed at its end."""
    ends = os.pipe()
    inodes = [os.fstat(end).st_ino for end in ends]
    yield ends
    for end, inode in zip(ends, inodes, strict=True):
        try:
            if os.fstat(end).st_ino == inode:
                os.close(end)
        except OSError:
            continue


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slow_pipe_gets_everything(blocking: bool) -> None:
    """Many partial writes lose and double nothing, where somebody made the shared pipe non-blocking too."""
    with pipe() as (read, write):
        os.set_blocking(write, blocking)
        reader = Reader(read, 1000)
        exporter = StdoutExporter(fd=write)
        exporter.write(b"".join(LINES))
        exporter.write(LINES[0])
        exporter.close()
        assert os.get_blocking(write) == blocking  # the flag is others' too
        os.close(write)  # and so is the descriptor, which is still open here
        assert reader.end() == b"".join(LINES) + LINES[0]


def test_a_reader_that_left_is_an_error_each_time() -> None:
    """`closed` with nothing written, and no signal ends the process."""
    with pipe() as (read, write):
        os.close(read)
        exporter = StdoutExporter(fd=write)
        for _ in range(3):
            with pytest.raises(ExportFailed) as caught:
                exporter.write(LINES[0])
            assert (caught.value.code, caught.value.written) == ("closed", 0)


def test_a_reader_that_leaves_half_way_has_got_what_is_counted() -> None:
    """`written` is what the pipe took before its reader left."""
    data = b"".join(LINES) * 2
    with pipe() as (read, write):
        exporter = StdoutExporter(fd=write)

        def leave() -> None:
            os.read(read, 10)
            os.close(read)

        leaving = threading.Thread(target=leave)
        leaving.start()
        with pytest.raises(ExportFailed) as caught:
            exporter.write(data)
        leaving.join(10)
        assert caught.value.code == "closed"
        assert 10 <= caught.value.written < len(data)


@pytest.mark.parametrize("size", [1, 105, 119])
def test_a_line_torn_by_an_error_is_ended_before_the_next(size: int, tmp_path: Path) -> None:
    """What was written stays, as it cannot be taken back; the next line stands on a line of its own."""
    steps = f"allow({size})\nwrite(b'123456789\\n' * 20)\nallow(1000)\nwrite(b'abc\\n')\nwrite(b'def\\n')"
    written, raised = limited(tmp_path / "out", "stdout", steps)
    assert written == (b"123456789\n" * 20)[:size] + b"\nabc\ndef\n"
    assert raised == [f"write {size}"]


def test_a_torn_line_is_ended_however_often_that_fails(tmp_path: Path) -> None:
    """Errors in between do not make it forget that the last line is torn."""
    steps = "allow(105)\n" + "write(b'123456789\\n' * 20)\n" * 4 + "allow(1000)\nwrite(b'abc\\n')"
    written, raised = limited(tmp_path / "out", "stdout", steps)
    assert written == (b"123456789\n" * 20)[:105] + b"\nabc\n"
    assert raised == ["write 105", "write 0", "write 0", "write 0"]


def test_whole_lines_before_an_error_need_no_end(tmp_path: Path) -> None:
    """Where the error came at the end of a line no empty line is made."""
    steps = "allow(100)\nwrite(b'123456789\\n' * 20)\nallow(1000)\nwrite(b'abc\\n')"
    written, raised = limited(tmp_path / "out", "stdout", steps)
    assert written == b"123456789\n" * 10 + b"abc\n"
    assert raised == ["write 100"]


def test_the_torn_line_of_a_former_writer_is_ended() -> None:
    """A successor that is told so begins with a line end, once."""
    with pipe() as (read, write):
        reader = Reader(read)
        exporter = StdoutExporter(fd=write)
        exporter.end_torn_line()
        exporter.write(LINES[0])
        exporter.write(LINES[1])
        os.close(write)
        assert reader.end() == b"\n" + LINES[0] + LINES[1]


def test_a_full_device_and_a_closed_descriptor_have_their_reasons() -> None:
    """Reasons are of the bounded set, whatever stdout is."""
    full = os.open("/dev/full", os.O_WRONLY)
    found = []
    for fd in (full, 1_000_000):
        with pytest.raises(ExportFailed) as caught:
            StdoutExporter(fd=fd).write(LINES[0])
        found.append(caught.value.code)
    os.close(full)
    assert found == ["disk_full", "closed"]
    assert set(found) <= set(EXPORT_REASONS)
