"""What a node does when something became of an incident and is kept: it counts it, and writes a line."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from payflux.exporters.fanout import ExporterQueue
from payflux.log import log
from payflux.risk.drivers import DRIVERS
from payflux.stream.deliveries import IncidentNews, Told
from payflux.telemetry.metrics import INCIDENTS, WARNING_LATENCY, Metrics


class _Facts(msgspec.Struct):
    driver: str = ""
    summary: str = ""
    since: datetime | None = None


_facts = msgspec.json.Decoder(_Facts).decode


class Announcer:
    """Announces what is kept, from the consumer's process.

    Args:
        metrics: of the consumer.
        lines: takes the lines; None when nobody asked for them.
        now: Unix time in seconds.
    """

    def __init__(self, metrics: Metrics, lines: ExporterQueue | None, now: Callable[[], float] = time.time) -> None:
        self._metrics, self._lines, self._now = metrics, lines, now

    def announce(self, told: Told) -> None:
        """Take a step that was kept; newer numbers alone are no news."""
        for one in told.changes:
            if one.kind == "opened":
                self._count(one)
            if one.kind != "updated":
                self._tell(one)
                if self._lines is not None:
                    self._lines.put(one.record + b"\n", 1)

    @staticmethod
    def _tell(one: IncidentNews) -> None:
        """A line of the log: whoever looks there for what happened finds it, with the id to ask for."""
        level: Literal["info", "warning"] = "info" if one.kind == "resolved" else "warning"
        log(level, f"incident_{one.kind}", incident=one.id, summary=_facts(one.record).summary)

    def _count(self, one: IncidentNews) -> None:
        facts = _facts(one.record)
        if facts.driver in DRIVERS:
            self._metrics.add(INCIDENTS, self._metrics.processors.index(one.processor or "all"), facts.driver)
        if facts.since is not None:
            self._metrics.observe(WARNING_LATENCY, max(0.0, self._now() - facts.since.timestamp()))
