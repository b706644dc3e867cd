"""Export to stdout: everything gets through a slow pipe, and what does not is told to the byte."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporting import LINES, limited
from payflux.errors import ExportFailed
from payflux.exporters.stdout import StdoutExporter
from payflux.telemetry.metrics import EXPORT_REASONS


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
        exporter = StdoutExporter(fd=write, torn=True)
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
