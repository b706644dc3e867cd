"""An exporter with a group of its own, used once by a command: no group, no ledger, and an end to its patience."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from payflux.errors import ExportFailed
from payflux.exporters import entry_of
from payflux.exporters.delivery import Patience
from payflux.exporters.grouped import (
    EXPORTERS,
    batch_of,
    common,
    further_settings,
    group_destination,
)
from payflux.exporters.grouped import settings as exporter_settings
from payflux.log import Say
from payflux.node.exporting import opening_of, wants_of
from payflux.settings import Setting, Values, words

PATIENCE_SECONDS = 300.0
"""So long it is tried while nothing is confirmed."""

HOPELESS = ("denied", "gone", "all_refused")
"""Reasons that somebody has to look at first."""


def declared(name: str, environ: Mapping[str, str]) -> tuple[Setting[Any], ...]:
    """The settings of an exporter, and of all that PayFlux brings; those that the environment tells of among them."""
    # Beside those that are set already, whose variables are no mistakes; alone where they cannot be together.
    named = dict.fromkeys(words(f"{environ.get(EXPORTERS.name, '')},{name}"))
    together = further_settings({**environ, EXPORTERS.name: ",".join(named)})
    return (*exporter_settings(), *(together or further_settings({**environ, EXPORTERS.name: name})))


def is_exporter(text: str) -> bool:
    """Whether an exporter is named so; one of one's own (`module:Name`) is imported."""
    try:
        group_destination(text)
    except ValueError:
        return False
    return True


class OneOff:
    """Delivers lines in batches, as the exporter of a node would.

    Args:
        name: of the exporter.
        values: its settings.
        say: how a failed try and a refused record are told.
        now: a monotonic clock.
        processors: of which alone there are any lines; of all where none is named.

    Attributes:
        confirmed: lines that stand at the destination.
        filtered: those that the exporter's filter left out.
        refused: those it refused for good.
        waiting: lines that are not there yet, the oldest first.

    Raises:
        ExportFailed: it cannot be made.
    """

    def __init__(
        self,
        name: str,
        values: Values,
        say: Say,
        now: Callable[[], float] = time.monotonic,
        *,
        processors: Collection[str] = (),
    ) -> None:
        try:
            self._exporter = group_destination(name).make(opening_of(values, name, "payflux-replay", processors))
        except Exception as error:  # it may be anybody's
            raise _unforeseen(error) from error
        self._name, self._say, self._now = name, say, now
        self._batch, self._wants = batch_of(values, name), wants_of(values, name)
        self._longest = float(values[common(name).backoff_sec])
        self.confirmed = self.filtered = self.refused = 0
        self.waiting: list[bytes] = []
        self._size = 0  # bytes that wait

    async def put(self, lines: Sequence[bytes]) -> None:
        """Take lines, and deliver as often as they make a batch.

        Raises:
            ExportFailed: they cannot be delivered; they stay in `waiting`.
        """
        for line in lines:
            if self.waiting and self._size + len(line) > self._batch.bytes:
                await self.flush()
            self.waiting.append(line)
            self._size += len(line)
            if len(self.waiting) >= self._batch.events:
                await self.flush()

    async def flush(self) -> None:
        """Deliver what waits, however little; see `put`."""
        wanted = self.waiting if self._wants is None else [line for line in self.waiting if self._wants(line)]
        refused = await self._insist(wanted) if wanted else {}
        for place, why in refused.items():
            self._say("warning", "replay_refused", entry=entry_of(wanted[place]).decode(), reason=why)
        self.refused += len(refused)
        self.confirmed += len(wanted) - len(refused)
        self.filtered += len(self.waiting) - len(wanted)
        self.waiting, self._size = [], 0

    @property
    def next_entry(self) -> bytes:
        """The entry of the first line that waits; empty when none does."""
        return entry_of(self.waiting[0]) if self.waiting else b""

    def close(self) -> None:
        """Let go of the destination."""
        with suppress(Exception):
            self._exporter.close()

    async def _insist(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        patience, deadline = Patience(self._longest), self._now() + PATIENCE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(self._deliver, lines)
            except ExportFailed as error:
                seconds = patience.seconds(error.wait)
                if error.code in HOPELESS or self._now() + seconds > deadline:
                    raise
                self._say("warning", "export_failed", destination=self._name, reason=error.code, detail=str(error))
                await asyncio.sleep(seconds)

    def _deliver(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        try:
            return dict(self._exporter.deliver(lines))
        except ExportFailed:
            raise
        except BaseException as error:  # as in a node; a panic in Rust is no Exception
            raise _unforeseen(error) from error


def _unforeseen(error: BaseException) -> ExportFailed:
    return ExportFailed("write", f"{type(error).__name__}: {error}")
