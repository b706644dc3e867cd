"""Delivery: an exporter with a group of its own on a thread of its own, tried with patience until it has confirmed.

A destination that is down costs nobody anything but the wait: nothing more is read for it, no delivery of an entry is
counted, and what was not confirmed is not acked.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from math import inf
from queue import SimpleQueue
from typing import NamedTuple

from payflux.errors import ExportFailed
from payflux.exporters import Exported, GroupExporter
from payflux.log import log
from payflux.telemetry.metrics import (
    EXPORT_ERRORS,
    EXPORT_LAST_ERROR,
    EXPORT_LAST_SUCCESS,
    EXPORT_REASONS,
    EXPORTED,
    EXPORTER_FAILING,
    Metrics,
)

Refused = Mapping[int, str]
"""Why lines were refused for good, by their places."""

FIRST_SECONDS = 0.5
LONGEST_ASKED_SECONDS = 900.0
LOG_EVERY_SECONDS = 10.0
SUSPICIOUS = 100
"""So many lines refused in a row, and none taken: the destination is set up wrongly, and the lines are not to blame."""


class _Batch(NamedTuple):
    lines: Sequence[bytes]
    confirmed: Future[Refused]


class Patience:
    """How long to wait between tries: doubled each time, with jitter, and as long as the destination asks for.

    Args:
        longest: seconds, unless the destination asks for more.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self.failures = 0

    def seconds(self, asked: float) -> float:
        """After one more failure; for ever where the destination wants nothing any more."""
        span: float = min(self._longest, FIRST_SECONDS * 2**self.failures)
        self.failures = min(self.failures + 1, 30)
        asked = asked if asked == inf else min(asked, LONGEST_ASKED_SECONDS)
        return max(asked, span * random.uniform(0.5, 1.0))


class DeliveryQueue:
    """One exporter and its thread; at work on one batch at a time.

    Args:
        name: of the exporter.
        exporter: delivers.
        metrics: of its consumer.
        wants: which lines it is to be given; None: all.
        longest: seconds between two tries at most, unless it asks for more.
        now: Unix time.
    """

    def __init__(
        self,
        name: str,
        exporter: GroupExporter,
        metrics: Metrics,
        wants: Callable[[bytes], bool] | None,
        longest: float,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.done = 0
        self._exporter, self._metrics, self._wants, self._now = exporter, metrics, wants, now
        self._patience = Patience(longest)
        self._queue: SimpleQueue[_Batch | None] = SimpleQueue()
        self._wake = threading.Event()
        self._refused_row = 0
        self._logged = -inf
        self._number = number = metrics.destinations.index(name)
        self._notes = metrics.notes.destination(number)
        self._notes.begin()
        metrics.set(EXPORTER_FAILING, number, to=0)
        self._thread = threading.Thread(target=self._run, name=f"export-{name}", daemon=True)
        self._thread.start()

    @property
    def written(self) -> int:
        """Lines confirmed, or refused for good."""
        return self.done

    def put(self, data: bytes, lines: int) -> None:
        """Lines that nobody waits for are not for an exporter with a group."""
        raise NotImplementedError(f"{lines} lines, {len(data)} bytes")

    def confirm(self, lines: Sequence[bytes]) -> Future[Refused]:
        """Deliver lines, however long it takes, unless the future is cancelled."""
        confirmed: Future[Refused] = Future()
        confirmed.add_done_callback(lambda _: self._wake.set())
        self._queue.put(_Batch(lines, confirmed))
        return confirmed

    def recall(self, lines: int) -> Iterable[Exported]:
        """Nothing is acked before it is confirmed, so nothing is ever looked for."""
        del lines
        return ()

    def reopen(self) -> None:
        """SIGHUP: nothing to reopen."""

    def end(self, seconds: float) -> None:
        """Let go of the destination, within so many seconds."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            self._work(batch)
        with suppress(Exception):
            self._exporter.close()

    def _work(self, batch: _Batch) -> None:
        lines, confirmed = batch
        places: Sequence[int] = range(len(lines))
        if self._wants is not None:
            places = [place for place in places if self._wants(lines[place])]
        wanted = [lines[place] for place in places] if len(places) < len(lines) else lines
        refused = self._insist(wanted, confirmed) if wanted else {}
        self._metrics.set(EXPORTER_FAILING, self._number, to=0)
        if refused is None:
            return
        self.done += len(lines)
        self._notes.settle(self.done)
        with suppress(InvalidStateError):
            confirmed.set_result({places[place]: why for place, why in refused.items()})

    def _insist(self, lines: Sequence[bytes], confirmed: Future[Refused]) -> Refused | None:
        """Try until it succeeds; None when nobody waits for it any more."""
        while not confirmed.cancelled():
            self._wake.clear()
            found = self._try(lines)
            if not isinstance(found, ExportFailed):
                self._succeeded(len(lines) - len(found), len(found))
                return found
            self._failed(found)
            seconds = self._patience.seconds(found.wait)
            if not confirmed.cancelled():
                self._wake.wait(None if seconds == inf else seconds)
        return None

    def _try(self, lines: Sequence[bytes]) -> Refused | ExportFailed:
        try:
            refused = self._exporter.deliver(lines)
        except ExportFailed as error:
            return error
        except BaseException as error:  # noqa: BLE001 - its thread must go on, and a panic in Rust is no Exception
            return ExportFailed("write", f"{type(error).__name__}: {error}")
        if len(refused) < len(lines):
            self._refused_row = 0
        elif self._refused_row + len(refused) >= SUSPICIOUS:
            return ExportFailed("all_refused", f"the destination refuses everything: {next(iter(refused.values()))}")
        self._refused_row += len(refused)
        return refused

    def _succeeded(self, taken: int, refused: int) -> None:
        metrics, number = self._metrics, self._number
        if self._patience.failures:
            log("info", "export_resumed", destination=self.name)
        self._patience.failures = 0
        metrics.add(EXPORTED, number, n=taken)
        metrics.set(EXPORT_LAST_SUCCESS, number, to=self._now())
        if refused:
            self._note("refused", refused)

    def _failed(self, why: ExportFailed) -> None:
        code = why.code if why.code in EXPORT_REASONS else "write"
        self._note(code, 1)
        self._metrics.set(EXPORTER_FAILING, self._number, to=1)
        if time.monotonic() - self._logged > LOG_EVERY_SECONDS:
            self._logged = time.monotonic()
            log("error", "export_failed", destination=self.name, reason=code, detail=str(why)[:500])

    def _note(self, code: str, n: int) -> None:
        self._metrics.add(EXPORT_ERRORS, self._number, code, n=n)
        self._metrics.set(EXPORT_LAST_ERROR, self._number, to=self._now())
        self._notes.fail(list(EXPORT_REASONS).index(code))
