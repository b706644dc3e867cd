"""Fan-out: every exporter behind a bounded queue and a thread of its own, so that a stalled one harms nothing else."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from queue import SimpleQueue
from typing import Literal, NamedTuple, Protocol

from payflux.errors import ExportFailed
from payflux.exporters import Exported, Exporter, Recalling
from payflux.log import log
from payflux.settings import Setting, integer
from payflux.telemetry.metrics import (
    EXPORT_ERRORS,
    EXPORT_LAST_ERROR,
    EXPORT_LAST_SUCCESS,
    EXPORT_QUEUE,
    EXPORT_REASONS,
    EXPORT_REOPENED,
    EXPORTED,
    Metrics,
)

EXPORT_QUEUE_BYTES = Setting(
    "PAYFLUX_EXPORT_QUEUE_BYTES",
    integer(65_536),
    "67108864",
    "How many bytes may wait for a destination that stalls; what comes after is counted and not exported.",
)
LOG_EVERY_SECONDS = 10.0
RETRY_SECONDS = (0.1, 2.0)
EVERY_LINE = 1 << 49
"""More lines than there will ever be; what is done where there is no destination. A ledger takes 15 digits."""


Refused = Mapping[int, str]
"""Why lines were refused for good, by their places."""


class Queue(Protocol):
    """What stands before one exporter."""

    @property
    def done(self) -> int:
        """Lines exported or counted as not exported."""

    @property
    def written(self) -> int:
        """Those of them, in order, that came to the exporter."""

    def put(self, data: bytes, lines: int) -> None:
        """Take lines that nobody waits for. Never blocks."""

    def confirm(self, lines: Sequence[bytes]) -> Future[Refused]:
        """Take lines that must be safe; done when they are, or are refused for good."""

    def recall(self, lines: int) -> Iterable[Exported]:
        """The newest lines at the destination, so many at most, where it can be read."""

    def reopen(self) -> None:
        """SIGHUP."""

    def end(self, seconds: float) -> None:
        """The node ends, within so many seconds."""


class _Batch(NamedTuple):
    data: bytes
    lines: int
    confirmed: Future[Refused] | None = None


_Order = _Batch | Literal["reopen", "end"]


class ExporterQueue:
    """One exporter, its queue and its thread.

    `done` is written by the thread alone; `taken` by the caller alone, or by the thread when lines are to be confirmed.
    """

    def __init__(
        self, name: str, exporter: Exporter, metrics: Metrics, queue_bytes: int, now: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self.taken = 0
        self._exporter, self._metrics, self._now = exporter, metrics, now
        self._queue: SimpleQueue[_Order] = SimpleQueue()
        self._queue_bytes = queue_bytes
        self._put_bytes = 0
        self._done_bytes = 0
        self._refused = 0
        self._done = 0
        self._logged = float("-inf")
        self._hung_up = threading.Event()
        self._number = number = metrics.destinations.index(name)
        self._queue_slot = metrics.slot(EXPORT_QUEUE, number)
        self._exported_slot = metrics.slot(EXPORTED, number)
        self._success_slot = metrics.slot(EXPORT_LAST_SUCCESS, number)
        self._notes = metrics.notes.destination(number)
        self._notes.begin()
        metrics.values[self._queue_slot] = 0
        self._thread = threading.Thread(target=self._run, name=f"export-{name}", daemon=True)
        self._thread.start()

    @property
    def done(self) -> int:
        """Lines exported or counted as not exported."""
        return self._done + self._refused

    @property
    def written(self) -> int:
        """Lines the thread is done with, in order; those refused before they came to it are not among them."""
        return self._done

    def recall(self, lines: int) -> Iterable[Exported]:
        """The newest lines at the destination, so many at most, where it can be read; before the first is put."""
        return self._exporter.recall(lines) if isinstance(self._exporter, Recalling) else ()

    @property
    def idle(self) -> bool:
        """Whether everything taken is done."""
        return self.done >= self.taken

    def put(self, data: bytes, lines: int) -> None:
        """Queue lines, or count them as not exported when the queue is full. Never blocks."""
        self.taken += lines
        waiting = self._put_bytes - self._done_bytes
        if waiting and waiting + len(data) > self._queue_bytes:
            self._refuse(lines, ExportFailed("queue_full", "the destination stalls"))
            return
        self._put_bytes += len(data)
        self._metrics.values[self._queue_slot] = waiting + len(data)
        self._queue.put(_Batch(data, lines))

    def confirm(self, lines: Sequence[bytes]) -> Future[Refused]:
        """Queue lines that must be safe: written and durable, however long it takes, unless the future is cancelled."""
        data = b"".join(lines)
        self._put_bytes += len(data)
        confirmed: Future[Refused] = Future()
        self._queue.put(_Batch(data, len(lines), confirmed))
        return confirmed

    def reopen(self) -> None:
        """Reopen behind what is queued."""
        self._hung_up.set()
        self._queue.put("reopen")

    def end(self, seconds: float) -> None:
        """Write what is queued, for so long at most; the rest is counted as not exported."""
        self._queue.put("end")
        self._thread.join(seconds)
        left = self.taken - self.done
        if left > 0:
            self._refuse(left, ExportFailed("shutdown", "the destination stalled until the end"))

    def _refuse(self, lines: int, why: ExportFailed) -> None:
        self._refused += lines
        self._notes.refuse(self._refused)
        self._failed(why, lines)

    def _run(self) -> None:
        while True:
            order = self._queue.get()
            if order == "end":
                self._exporter.close()
                return
            if order == "reopen":
                self._reopen()
            elif isinstance(order, _Batch):
                self._write(order) if order.confirmed is None else self._make_safe(order, order.confirmed)

    def _write(self, batch: _Batch) -> None:
        self._notes.write(begins=True)  # stays so when we are killed half-way: the successor ends the torn line
        written = batch.lines
        if error := self._try(batch.data):
            written = batch.data.count(b"\n", 0, error.written)
            self._failed(error, batch.lines - written)
        self._wrote(written)
        self._notes.write(begins=False)
        self._finish(batch)

    def _make_safe(self, batch: _Batch, confirmed: Future[Refused]) -> None:
        """Try until it succeeds. A line counts as soon as it stands at the destination, and is written once.

        What was written and may not be safe is only made safe, over and over; what comes behind it waits for that.
        """
        rest, written, delay = batch.data, 0, RETRY_SECONDS[0]
        while rest and not confirmed.cancelled():
            error = None
            if not written:
                error = self._try(rest)
                written = error.written if error else len(rest)
                self._count(rest.count(b"\n", 0, written))
            if written and (unsafe := self._try(b"", durably=True)):
                error = unsafe
            elif written:
                rest, written = rest[written:], 0
                self._metrics.values[self._success_slot] = self._now()
            if error is not None:
                self._failed(error, 1)
                self._hung_up.wait(delay)
                delay = min(RETRY_SECONDS[1], delay * 2)
                self._reopen()
        with suppress(InvalidStateError):
            confirmed.set_result({})
        self.taken += batch.lines  # not before: what is not confirmed is not acked, and so not lost
        self._finish(batch)

    def _wrote(self, lines: int) -> None:
        if lines:
            self._count(lines)
            self._metrics.values[self._success_slot] = self._now()

    def _count(self, lines: int) -> None:
        self._metrics.values[self._exported_slot] += lines

    def _finish(self, batch: _Batch) -> None:
        self._done += batch.lines
        self._notes.settle(self._done)
        self._done_bytes += len(batch.data)
        self._metrics.values[self._queue_slot] = self._put_bytes - self._done_bytes

    def _try(self, data: bytes, *, durably: bool = False) -> ExportFailed | None:
        try:
            if data:
                self._exporter.write(data)
            if durably:
                self._exporter.sync()
        except ExportFailed as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises, its thread must go on
            return ExportFailed("write", f"{type(error).__name__}: {error}")
        return None

    def _reopen(self) -> None:
        if not self._hung_up.is_set():
            return  # done already, between two tries
        self._hung_up.clear()
        try:
            if self._exporter.reopen():
                self._metrics.add(EXPORT_REOPENED)
                log("info", "export_reopened", destination=self.name)
        except ExportFailed as error:
            self._failed(error, 0)

    def _failed(self, error: ExportFailed, lines: int) -> None:
        now = self._now()
        self._metrics.add(EXPORT_ERRORS, self._number, error.code, n=lines)
        self._metrics.set(EXPORT_LAST_ERROR, self._number, to=now)
        self._notes.fail(list(EXPORT_REASONS).index(error.code))
        if now - self._logged >= LOG_EVERY_SECONDS:
            self._logged = now
            log("error", "export_failed", destination=self.name, reason=error.code, detail=str(error), lines=lines)


def former_settled(metrics: Metrics, names: Sequence[str]) -> int:
    """How many lines of its ledger a former process of this child was done with.

    To be asked before the queues and the consumer are made anew, which start these numbers again.
    """
    notes = (metrics.notes.destination(metrics.destinations.index(name)) for name in names)
    done = min((one.settled + one.refused for one in notes), default=EVERY_LINE)
    return int(done - metrics.notes.base)


class FanOut:
    """All destinations of this node; none when it only scores.

    Args:
        queues: of the destinations.
        beside: what takes other lines than those published; reopened and ended with them.
    """

    def __init__(self, queues: Sequence[Queue], beside: Sequence[Queue] = ()) -> None:
        self._queues, self._beside = queues, beside
        self.published = 0

    def publish(self, lines: Sequence[bytes]) -> None:
        """Hand whole lines to every exporter. Never blocks."""
        data = b"".join(lines)
        self.published += len(lines)
        for queue in self._queues:
            queue.put(data, len(lines))

    def confirm(self, lines: Sequence[bytes]) -> Future[Refused]:
        """Hand whole lines to the only exporter, which has to make them safe; done when they are, or are refused.

        Cancelling gives up: the lines may be exported all the same.
        """
        (queue,) = self._queues
        self.published += len(lines)
        return queue.confirm(lines)

    @property
    def settled(self) -> int:
        """Of the lines published, how many every exporter is done with; without exporters, all there will ever be."""
        return min((queue.done for queue in self._queues), default=EVERY_LINE)

    @property
    def written(self) -> int:
        """How many lines at the least, the first ones published, every exporter is done with."""
        return min((queue.written for queue in self._queues), default=EVERY_LINE)

    def recall(self, lines: int) -> list[Exported]:
        """The newest lines that stand at any destination that can be read, so many of each at most."""
        return [one for queue in self._queues for one in queue.recall(lines)]

    def reopen(self) -> None:
        """SIGHUP: reopen what can be reopened."""
        for queue in (*self._queues, *self._beside):
            queue.reopen()

    def end(self, seconds: float) -> None:
        """Write what is queued, for so long at most."""
        until = time.monotonic() + seconds
        for queue in (*self._queues, *self._beside):
            queue.end(max(0.0, until - time.monotonic()))


def fan_out(
    exporters: Mapping[str, Exporter], metrics: Metrics, queue_bytes: int, beside: Sequence[Queue] = ()
) -> FanOut:
    """A queue for every exporter, by destination; `beside` are those that take other lines, and end with them."""
    queues = [ExporterQueue(name, exporter, metrics, queue_bytes) for name, exporter in exporters.items()]
    return FanOut(queues, beside)
