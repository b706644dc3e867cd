"""`/export/health`: how each destination does."""

import time
from collections.abc import Mapping, Sequence
from math import isnan
from types import MappingProxyType
from typing import Any

import msgspec

from payflux.telemetry.metrics import EXPORT_LAST_ERROR, EXPORT_LAST_SUCCESS, EXPORT_REASONS, Metrics

NONE: Mapping[str, Metrics] = MappingProxyType({})


class ExportHealth:
    """The status of the export.

    Args:
        mode: the word of PAYFLUX_EXPORT_MODE.
        destinations: the names it stands for.
        consumer: the numbers of the consumer; None when the node has none, and so exports no lines.
        exporters: the numbers of the exporters with groups of their own, by name.
    """

    def __init__(
        self, mode: str, destinations: Sequence[str], consumer: Metrics | None, exporters: Mapping[str, Metrics] = NONE
    ) -> None:
        self._mode, self._destinations, self._consumer, self._exporters = mode, destinations, consumer, exporters

    async def text(self) -> bytes:
        """The status of each destination, as JSON."""
        consumer = self._consumer
        destinations = {name: _status(name, consumer) for name in self._destinations} if consumer is not None else {}
        destinations |= {name: _status(name, metrics) for name, metrics in self._exporters.items()}
        body = {"enabled": bool(destinations), "export_mode": self._mode, "destinations": destinations}
        return msgspec.json.encode(body)


def _status(name: str, consumer: Metrics) -> dict[str, Any]:
    number = consumer.destinations.index(name)
    success = _stamp(consumer.get(EXPORT_LAST_SUCCESS, number))
    error = _stamp(consumer.get(EXPORT_LAST_ERROR, number))
    reason = list(EXPORT_REASONS)[int(consumer.notes.destination(number).error)]
    return {
        "enabled": True,
        "last_success_ts": success,
        "last_success_rfc3339": _rfc3339(success),
        "last_error_ts": error,
        "last_error_rfc3339": _rfc3339(error),
        "last_error_reason": None if error is None else reason,
    }


def _stamp(value: float) -> int | None:
    return None if isnan(value) else int(value)


def _rfc3339(stamp: int | None) -> str | None:
    return None if stamp is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp))
