"""An exporter with a group of its own, used once by a command: no group, no ledger, and an end to its patience."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
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
from payflux.settings import Setting, Values

PATIENCE_SECONDS = 300.0
"""So long it is tried while nothing is confirmed."""

HOPELESS = ("denied", "gone", "all_refused")
"""Reasons that somebody has to look at first."""


def declared(name: str, environ: Mapping[str, str]) -> tuple[Setting[Any], ...]:
    """The settings of an exporter, and of all that PayFlux brings; those that the environment tells of among them."""
    return (*exporter_settings(), *further_settings({**environ, EXPORTERS.name: name}))


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

    Attributes:
        confirmed: lines that stand at the destination, or that its filter leaves out.
        refused: those it refused for good.
        waiting: lines that are not there yet, the oldest first.
    """

    def __init__(self, name: str, values: Values, say: Say, now: Callable[[], float] = time.monotonic) -> None:
        self._exporter = group_destination(name).make(opening_of(values, name, "payflux-replay"))
        self._name, self._say, self._now = name, say, now
        self._batch, self._wants = batch_of(values, name), wants_of(values, name)
        self._longest = float(values[common(name).backoff_sec])
        self.confirmed = self.refused = 0
        self.waiting: list[bytes] = []

    async def put(self, lines: Sequence[bytes]) -> None:
        """Take lines, and deliver as often as they make a batch.

        Raises:
            ExportFailed: they cannot be delivered; they stay in `waiting`.
        """
        for line in lines:
            self.waiting.append(line)
            if len(self.waiting) >= self._batch.events:
                await self.flush()
        if sum(map(len, self.waiting)) >= self._batch.bytes:
            await self.flush()

    async def flush(self) -> None:
        """Deliver what waits, however little; see `put`."""
        wanted = self.waiting if self._wants is None else [line for line in self.waiting if self._wants(line)]
        refused = await self._insist(wanted) if wanted else {}
        for place, why in refused.items():
            self._say("warning", "replay_refused", entry=entry_of(wanted[place]).decode(), reason=why)
        self.refused += len(refused)
        self.confirmed += len(self.waiting) - len(refused)
        self.waiting = []

    @property
    def next_entry(self) -> bytes:
        """The entry of the first line that waits; empty when none does."""
        return entry_of(self.waiting[0]) if self.waiting else b""

    def close(self) -> None:
        """Let go of the destination."""
        self._exporter.close()

    async def _insist(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        patience, deadline = Patience(self._longest), self._now() + PATIENCE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(self._exporter.deliver, lines)
            except ExportFailed as error:
                seconds = patience.seconds(error.wait)
                if error.code in HOPELESS or self._now() + seconds > deadline:
                    raise
                self._say("warning", "export_failed", destination=self._name, reason=error.code, detail=str(error))
                await asyncio.sleep(seconds)
