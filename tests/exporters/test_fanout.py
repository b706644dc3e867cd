"""Fan-out: bounded queues that count exactly, and destinations that harm nobody but themselves."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporting import ENOUGH, Scripted, errors, settled, value
from payflux.errors import ExportFailed
from payflux.exporters import Exporter
from payflux.exporters.fanout import ExporterQueue, FanOut, fan_out, former_settled
from payflux.exporters.file import FileExporter
from payflux.exporters.stdout import StdoutExporter
from payflux.telemetry.metrics import (
    EXPORT_LAST_ERROR,
    EXPORT_LAST_SUCCESS,
    EXPORT_QUEUE,
    EXPORT_REASONS,
    EXPORT_REOPENED,
    EXPORTED,
    Metrics,
    create_slab,
)
from servers import until

LINE = b"x" * 999 + b"\n"


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """The consumer's numbers."""
    slab = create_slab(["supervisor", "consumer"])
    yield Metrics(slab, "consumer")
    os.close(slab.fd)


class Stalled:
    """A pipe nobody reads until `drain`."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.exporter = StdoutExporter(fd=self.write)

    def drain(self, size: int) -> bytes:
        """Read so many bytes."""
        data = bytearray()
        while len(data) < size:
            data += os.read(self.read, size - len(data))
        return bytes(data)


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    """A destination that stalls."""
    pipe = Stalled()
    yield pipe
    os.close(pipe.read)
    os.close(pipe.write)


@pytest.mark.parametrize("batches", [1, 7, 500])
def test_everything_put_is_exported_in_order(batches: int, metrics: Metrics, tmp_path: Path) -> None:
    """Lines are counted when they are written, and `end` waits for the last."""
    path = tmp_path / "out"
    queue = ExporterQueue("file", FileExporter(str(path)), metrics, ENOUGH, now=lambda: 1234.5)
    for number in range(batches):
        queue.put(b"%d a\n%d b\n" % (number, number), 2)
    queue.end(20)
    assert path.read_bytes() == b"".join(b"%d a\n%d b\n" % (number, number) for number in range(batches))
    assert (queue.taken, queue.done, queue.idle) == (2 * batches, 2 * batches, True)
    assert value(metrics, EXPORTED, "file") == 2 * batches
    assert value(metrics, EXPORT_LAST_SUCCESS, "file") == 1234.5
    assert value(metrics, EXPORT_QUEUE, "file") == 0
    assert errors(metrics, "file") == {}
    assert former_settled(metrics, ["file"]) == 2 * batches


def test_a_full_queue_refuses_and_counts(metrics: Metrics, stalled: Stalled) -> None:
    """While the destination stalls, what does not fit is counted line by line; what was taken arrives later."""
    queue = ExporterQueue("stdout", stalled.exporter, metrics, 300_000)
    letters = [bytes([letter]) * 999 + b"\n" for letter in b"abcdefghij"]
    for letter in letters:
        queue.put(letter * 100, 100)  # 100 kB each, none of which is done before somebody reads
    assert errors(metrics, "stdout") == {"queue_full": 700}
    assert (queue.taken, queue.done, queue.idle) == (1000, 700, False)
    assert value(metrics, EXPORT_QUEUE, "stdout") == 300_000
    assert stalled.drain(300_000) == b"".join(letter * 100 for letter in letters[:3])
    settled(queue)
    assert (queue.done, value(metrics, EXPORTED, "stdout"), value(metrics, EXPORT_QUEUE, "stdout")) == (1000, 300, 0)
    queue.put(LINE, 1)
    assert stalled.drain(len(LINE)) == LINE
    queue.end(10)
    assert (queue.taken, queue.done, errors(metrics, "stdout")) == (1001, 1001, {"queue_full": 700})


def test_a_batch_larger_than_the_queue_passes_an_empty_one(metrics: Metrics, stalled: Stalled) -> None:
    """Nothing is refused for ever because of its size."""
    queue = ExporterQueue("stdout", stalled.exporter, metrics, 10)
    queue.put(LINE * 200, 200)
    queue.put(b"\n", 1)
    assert errors(metrics, "stdout") == {"queue_full": 1}
    assert stalled.drain(200_000) == LINE * 200
    settled(queue)
    queue.end(10)
    assert value(metrics, EXPORTED, "stdout") == 200


def test_the_end_counts_what_is_left(metrics: Metrics, stalled: Stalled) -> None:
    """A destination that stalls until the end has lost what waited for it, and that is said, to the line."""
    queue = ExporterQueue("stdout", stalled.exporter, metrics, ENOUGH)
    for _ in range(5):
        queue.put(LINE * 100, 100)
    queue.end(0.05)
    assert errors(metrics, "stdout") == {"shutdown": 500}
    assert (queue.taken, queue.done, queue.idle) == (500, 500, True)
    assert former_settled(metrics, ["stdout"]) == 500
    stalled.drain(500_000)
    queue._thread.join(10)
    assert not queue._thread.is_alive()


def test_a_reopen_waits_for_what_was_queued_before_it(metrics: Metrics, tmp_path: Path) -> None:
    """Lines put before a SIGHUP go to the old file, later ones to the new, however slow the old one is."""
    path, rotated = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    begun, may_go_on = threading.Event(), threading.Event()

    class Slow(FileExporter):
        """Waits within its first write."""

        def write(self, data: bytes) -> None:
            """Write, and wait."""
            super().write(data)
            begun.set()
            assert may_go_on.wait(10)

    queue = ExporterQueue("file", Slow(str(path)), metrics, ENOUGH)
    queue.put(LINE * 200, 200)
    assert begun.wait(10)
    queue.put(LINE * 100, 100)
    path.rename(rotated)
    queue.reopen()
    queue.put(b"new\n", 1)
    assert not path.exists()
    may_go_on.set()
    settled(queue)
    queue.end(10)
    assert rotated.read_bytes() == LINE * 300
    assert path.read_bytes() == b"new\n"
    assert value(metrics, EXPORT_REOPENED) == 1
    assert errors(metrics, "file") == {}


def test_lines_that_a_destination_took_before_it_failed_are_exported(metrics: Metrics) -> None:
    """Of a batch that failed half-way the whole lines count as exported, the others by the reason."""
    exporter = Scripted(ExportFailed("disk_full", "no space", written=len(b"1\n2\n3")), None)
    queue = ExporterQueue("file", exporter, metrics, ENOUGH, now=lambda: 77.0)
    queue.put(b"1\n2\n3\n4\n", 4)
    queue.put(b"5\n", 1)
    queue.end(10)
    assert (value(metrics, EXPORTED, "file"), errors(metrics, "file")) == (3, {"disk_full": 2})
    assert value(metrics, EXPORT_LAST_ERROR, "file") == 77
    assert list(EXPORT_REASONS)[int(metrics.notes.destination(metrics.destinations.index("file")).error)] == "disk_full"
    assert queue.done == 5


@pytest.mark.parametrize("error", [RuntimeError("a defect"), OSError(5, "I/O error"), MemoryError()])
def test_a_defect_of_an_exporter_costs_its_batch(error: Exception, metrics: Metrics) -> None:
    """Whatever an exporter raises, its lines are counted and the next ones are written."""
    exporter = Scripted(error)
    queue = ExporterQueue("file", exporter, metrics, ENOUGH)
    queue.put(b"1\n2\n", 2)
    queue.put(b"3\n", 1)
    queue.end(10)
    assert exporter.data == b"3\n"
    assert (sum(errors(metrics, "file").values()), queue.done) == (2, 3)


def test_a_stalled_destination_harms_no_other_one(metrics: Metrics, stalled: Stalled, tmp_path: Path) -> None:
    """The file gets everything while stdout stalls; `settled` is what both are done with."""
    path = tmp_path / "out"
    exporters: dict[str, Exporter] = {"stdout": stalled.exporter, "file": FileExporter(str(path))}
    both = fan_out(exporters, metrics, ENOUGH)
    for _ in range(10):
        both.publish([LINE] * 100)
    until(lambda: value(metrics, EXPORTED, "file") == 1000, "the file")
    assert path.read_bytes() == LINE * 1000
    assert (both.published, both.settled) == (1000, 0)
    assert stalled.drain(1_000_000) == LINE * 1000
    until(lambda: both.settled == 1000, "stdout")
    both.end(10)
    assert former_settled(metrics, ["stdout", "file"]) == 1000


def test_all_destinations_share_the_time_of_the_end(metrics: Metrics, tmp_path: Path) -> None:
    """Several stalled destinations do not each take the whole time; all that is left is counted."""
    pipes = [Stalled(), Stalled()]
    queues = [
        ExporterQueue(name, p.exporter, metrics, ENOUGH) for name, p in zip(("stdout", "file"), pipes, strict=True)
    ]
    both = FanOut(queues)
    both.publish([LINE] * 100)
    both.end(0.05)
    assert (errors(metrics, "stdout"), errors(metrics, "file")) == ({"shutdown": 100}, {"shutdown": 100})
    assert both.settled == both.published == 100
    for pipe, queue in zip(pipes, queues, strict=True):
        pipe.drain(100_000)
        queue._thread.join(10)
        os.close(pipe.read)
        os.close(pipe.write)


def test_a_sighup_reopens_files_and_nothing_else(metrics: Metrics, stalled: Stalled, tmp_path: Path) -> None:
    """Stdout has nothing to reopen, so it counts nothing."""
    path = tmp_path / "out"
    exporters: dict[str, Exporter] = {"stdout": stalled.exporter, "file": FileExporter(str(path))}
    both = fan_out(exporters, metrics, ENOUGH)
    both.publish([b"1\n"])
    both.reopen()
    both.end(10)
    assert value(metrics, EXPORT_REOPENED) == 1


def test_a_file_that_cannot_be_reopened_is_counted_and_tried_again(metrics: Metrics, tmp_path: Path) -> None:
    """A failed reopen is an error without lines; the next write opens the path when it can."""
    path, away = tmp_path / "logs" / "out", tmp_path / "moved"
    path.parent.mkdir()
    queue = ExporterQueue("file", FileExporter(str(path)), metrics, ENOUGH, now=lambda: 5.0)
    steps: list[Callable[[], object]] = [
        lambda: queue.put(b"1\n", 1),
        lambda: path.parent.rename(away),
        queue.reopen,
        lambda: until(lambda: value(metrics, EXPORT_LAST_ERROR, "file") == 5, "the failed reopen"),
        lambda: queue.put(b"2\n", 1),
        path.parent.mkdir,
        lambda: queue.put(b"3\n", 1),
    ]
    for step in steps:
        step()
        settled(queue)
    queue.end(10)
    assert (away / "out").read_bytes() == b"1\n"
    assert path.read_bytes() == b"3\n"
    assert errors(metrics, "file") == {"open": 1}
    assert value(metrics, EXPORTED, "file") == 2


def test_lines_that_must_be_safe_are_tried_until_they_are(metrics: Metrics) -> None:
    """What was written goes not again, failed tries are counted, and no line is given up."""
    exporter = Scripted(ExportFailed("disk_full", "no space", written=len(b"1\n2\n")), ExportFailed("open", "gone"))
    queue = ExporterQueue("file", exporter, metrics, ENOUGH)
    confirmed = queue.confirm([b"1\n", b"2\n", b"3\n"])
    assert confirmed.result(10) == {}
    assert exporter.data == b"3\n"
    queue.end(10)
    assert (value(metrics, EXPORTED, "file"), errors(metrics, "file")) == (3, {"disk_full": 1, "open": 1})
    assert queue.done == 3


def test_a_hang_up_ends_the_wait_between_two_tries(metrics: Metrics, tmp_path: Path) -> None:
    """SIGHUP reopens the file at once, also while its lines are being tried."""
    path = tmp_path / "there" / "out"
    queue = ExporterQueue("file", FileExporter(str(path)), metrics, ENOUGH)
    confirmed = queue.confirm([b"1\n"])
    until(lambda: errors(metrics, "file"), "the first try")
    path.parent.mkdir()
    queue.reopen()
    assert confirmed.result(10) == {}
    queue.end(10)
    assert path.read_bytes() == b"1\n"


def test_without_exporters_every_line_is_settled(metrics: Metrics) -> None:
    """A node that only scores owes nothing to anybody: not now, and not after a crash."""
    nobody = fan_out({}, metrics, ENOUGH)
    nobody.publish([LINE] * 10)
    assert nobody.published == 10
    assert nobody.settled >= 10**14
    assert former_settled(metrics, []) >= 10**14
    nobody.reopen()
    nobody.end(0)
