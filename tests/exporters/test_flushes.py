"""What may not be lost: lines that are tried until they are safe in the file, each once."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporting import ENOUGH, Scripted, errors, settled, value
from payflux.errors import ExportFailed
from payflux.exporters.fanout import ExporterQueue
from payflux.exporters.file import FileExporter
from payflux.telemetry.metrics import (
    EXPORTED,
    Metrics,
    create_slab,
)


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """The consumer's numbers."""
    slab = create_slab(["supervisor", "consumer"])
    yield Metrics(slab, "consumer")
    os.close(slab.fd)


def test_what_was_written_and_never_flushed_is_written_again(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes one line, and the flush of that line fails: nobody knows where it is, so it is no progress."""
    file, write, sync = tmp_path / "file.jsonl", os.write, os.fsync
    failures = [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "lost")]

    def full(fd: int, data: memoryview) -> int:
        if len(failures) == 2 and bytes(data[:1]) != b"1":
            raise failures.pop(0)
        return write(fd, data[:2] if len(failures) == 2 else data)

    def lose(fd: int) -> None:
        if len(failures) == 1 and stat.S_ISREG(os.fstat(fd).st_mode):
            os.ftruncate(fd, 0)  # what a failed write-back does to pages that were not on the disk
            raise failures.pop()
        sync(fd)

    queue = ExporterQueue("file", FileExporter(str(file)), metrics, ENOUGH)
    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "fsync", lose)
    queue.confirm([b"1\n", b"2\n", b"3\n"]).result(10)
    assert not failures
    assert file.read_bytes() == b"1\n2\n3\n"
    queue.end(10)


def test_giving_up_ends_the_tries(metrics: Metrics) -> None:
    """A cancelled confirmation is tried no more, and what follows is written."""
    tried = threading.Event()

    class Never(Scripted):
        """Refuses the first lines for ever."""

        def write(self, data: bytes) -> None:
            """Refuse them."""
            if data == b"1\n":
                tried.set()
                raise ExportFailed("open", "no")
            super().write(data)

    exporter = Never()
    queue = ExporterQueue("file", exporter, metrics, ENOUGH)
    confirmed = queue.confirm([b"1\n"])
    assert tried.wait(10)
    assert confirmed.cancel()
    assert queue.confirm([b"2\n"]).result(10) == {}
    queue.end(10)
    assert exporter.data == b"2\n"
    assert queue.done == 2


@pytest.mark.parametrize("given_up", [False, True])
def test_a_failed_flush_leaves_each_line_once_and_counted(
    given_up: bool, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in the file counts as exported, whether it is safe in the end or given up before."""
    path, tries = tmp_path / "out", threading.Semaphore(0)

    def failing(fd: int) -> None:
        tries.release()
        raise OSError(5, f"Input/output error of {fd}")

    queue = ExporterQueue("file", FileExporter(str(path)), metrics, ENOUGH, now=lambda: 7.0)
    assert queue.confirm([b"1\n", b"2\n"]).result(10) == {}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        confirmed = queue.confirm([b"3\n", b"4\n", b"5\n"])
        assert tries.acquire(timeout=10)
        assert tries.acquire(timeout=10)
        if given_up:
            assert confirmed.cancel()
            settled(queue)
    assert given_up or confirmed.result(10) == {}
    queue.end(10)
    assert path.read_bytes() == b"1\n2\n3\n4\n5\n"
    assert value(metrics, EXPORTED, "file") == 5
    assert set(errors(metrics, "file")) == {"flush"}


def test_what_could_not_be_made_safe_is_made_safe_before_anything_follows(metrics: Metrics) -> None:
    """Of a batch that was taken half, the first half is flushed before the second is written."""
    said: list[str] = []

    class Flaky(Scripted):
        """Its first two flushes fail."""

        def write(self, data: bytes) -> None:
            """Keep it, or raise."""
            said.append(data.decode())
            super().write(data)

        def sync(self) -> None:
            """Fail twice."""
            said.append("sync")
            if said.count("sync") < 3:
                raise ExportFailed("flush", "no")

    queue = ExporterQueue("file", Flaky(ExportFailed("disk_full", "no space", written=2)), metrics, ENOUGH)
    assert queue.confirm([b"1\n", b"2\n"]).result(10) == {}
    queue.end(10)
    assert said == ["1\n2\n", "sync", "sync", "sync", "2\n", "sync"]
    assert value(metrics, EXPORTED, "file") == 2
