"""`/metrics`, the Prometheus text of a node: every child's numbers summed, with what Redis says beside them."""

import asyncio
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import isnan
from types import MappingProxyType

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from payflux import __version__
from payflux.errors import StreamUnavailable
from payflux.exporters.grouped import group_of
from payflux.operations.health import Readiness, Refusal
from payflux.operations.incident_gauges import Record, families
from payflux.redis.monitor import Durability, Progress, RedisMonitor
from payflux.risk.incidents.record import RUNBOOK
from payflux.stream.deliveries import Backlog
from payflux.telemetry.metrics import (
    CONSUMER_ACTIVE,
    DEAD_LETTERED,
    DESTINATION,
    EXPORT_DEAD,
    EXPORT_LOST,
    EXPORTER_LAG,
    METRICS,
    OF_THE_ACTIVE,
    OFFSETS,
    STREAM_LOST,
    Label,
    Metric,
    Metrics,
    sections_of,
)
from payflux.telemetry.slab import Names, Slab

NONE: Mapping[str, Metrics] = MappingProxyType({})
NO_LAGS: Mapping[str, int] = MappingProxyType({})

REDIS_GAUGES = {
    "stream_length": "Entries in the stream.",
    "pending_messages": "Entries read by the consumer group and not acked.",
    "consumer_lag_messages": "Entries the consumer group has not read yet.",
    "dlq_depth": "Entries in the dead-letter stream.",
}
"""Asked of Redis at each scrape; absent while it does not answer."""

HEALTH = {
    "unready": "1 while `/health` answers 503, with its code as reason; absent while it answers ok.",
    "consumer_stalled": "1 while events wait unread for 15 s and nobody commits any; of nodes that consume.",
    "dlq_refused": "1 while the dead-letter stream cannot be used, so that what is invalid stays pending.",
}
"""What `/health` finds, at each scrape."""

INFO = {
    "redis_up": "1 while Redis answers.",
    "redis_durability_info": "What Redis does with what it has acknowledged, in labels aof, fsync, policy and role.",
    "build_info": "Version of PayFlux and of Python, in labels.",
    "runbook_info": "Address of the runbook, in a label, for what alerts link to.",
}


class Exposition(Collector):
    """One answer for all processes of the node.

    Args:
        slab: of the node.
        exporters: the numbers of its exporters with groups of their own, by name.
        runbook: the address of the runbook.
    """

    def __init__(self, slab: Slab, exporters: Mapping[str, Metrics] = NONE, runbook: str = RUNBOOK) -> None:
        self._children, self._exporters, self._runbook = sections_of(slab), exporters, runbook
        self._lags: Mapping[str, int] = {}
        self._names = {
            label.table: Names(slab, label.table) for metric in METRICS for label in metric.labels if label.table
        }
        self._backlog: Backlog | None = None
        self._durability: Durability | None = None
        self._refusal: Refusal | None = None
        self._progress: Progress | None = None
        self._incidents: Sequence[Record] = ()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(  # noqa: PLR0917 - all that is shown
        self,
        backlog: Backlog | None,
        durability: Durability | None,
        refusal: Refusal | None = None,
        progress: Progress | None = None,
        lags: Mapping[str, int] = NO_LAGS,
        incidents: Sequence[Record] = (),
    ) -> bytes:
        """The text, with what Redis said, None when it did not answer; and with what is wrong with the node."""
        self._incidents = incidents
        self._lags = lags
        self._backlog, self._durability = backlog, durability
        self._refusal, self._progress = refusal, progress
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Family]:
        """prometheus_client: every family."""
        for metric in METRICS:
            yield self._histogram(metric) if metric.kind == "histogram" else self._family(metric)
        if self.scores:
            yield from families(self._incidents)
        yield from self._of_exporters()
        yield from self._health()
        yield from self._redis()

    def _of_exporters(self) -> Iterator[Family]:
        lag = GaugeMetricFamily(f"payflux_{EXPORTER_LAG.name}", EXPORTER_LAG.help, labels=["exporter"])
        for name, entries in self._lags.items():
            lag.add_metric([name], entries)
        yield lag
        for shown, counted in ((EXPORT_LOST, STREAM_LOST), (EXPORT_DEAD, DEAD_LETTERED)):
            family = CounterMetricFamily(f"payflux_{shown.name}", shown.help, labels=["destination", "reason"])
            for name, metrics in self._exporters.items():
                for reason in shown.labels[1].values:
                    family.add_metric([name, reason], metrics.get(counted, reason))
            yield family

    @property
    def scores(self) -> bool:
        """Whether this node scores just now, so that gauges of risk and incidents are its to show."""
        return self._sum(OFFSETS[CONSUMER_ACTIVE]) == 1

    def _family(self, metric: Metric) -> Family:
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(f"payflux_{metric.name}", metric.help, labels=[label.name for label in metric.labels])
        # A counter over names exists once it has counted; a gauge of 0 was set to it.
        sparse = metric.kind == "counter" and any(label.table and not label.given for label in metric.labels)
        if metric in OF_THE_ACTIVE and not self.scores:
            return family
        for labels in product(*(self._values(label) for label in metric.labels)):
            value = self._together(metric, OFFSETS[metric] + _position(metric, labels), self._counting(metric))
            if value is not None and (value or not sparse):
                family.add_metric([text for _, text in labels], value)
        return family

    def _values(self, label: Label) -> list[tuple[int, str]]:
        names = label.values or self._names[label.table].all()
        numbered = list(enumerate(names))
        if label.given:
            return numbered[:-1]
        if label.table:
            numbered[-1] = (label.capacity, numbered[-1][1])
        return numbered

    def _counting(self, metric: Metric) -> Sequence["memoryview[float]"]:
        """Who counts in a metric: what goes to destinations, the exporters with groups of their own count as well."""
        if DESTINATION not in metric.labels:
            return self._children
        return [*self._children, *(one.values for one in self._exporters.values())]

    @staticmethod
    def _together(metric: Metric, slot: int, counting: Sequence["memoryview[float]"]) -> float | None:
        """What a series is for the node; None for a gauge that none of those has set."""
        found = [value for child in counting if not isnan(value := child[slot])]
        return (max(found) if metric.largest else sum(found)) if found else None

    def _sum(self, slot: int) -> float | None:
        """The sum over the children; None for a gauge none of them has set."""
        found = self._set(slot)
        return sum(found) if found else None

    def _set(self, slot: int) -> list[float]:
        """What the children have there, as far as they have set it."""
        return [value for child in self._children if not isnan(value := child[slot])]

    def _histogram(self, metric: Metric) -> Family:
        start, total = OFFSETS[metric], 0.0
        buckets = []
        for at, bound in enumerate([*map(str, metric.buckets), "+Inf"]):
            total += self._sum(start + at) or 0.0
            buckets.append((bound, total))
        family = HistogramMetricFamily(f"payflux_{metric.name}", metric.help)
        family.add_metric([], buckets, self._sum(start + len(buckets)) or 0.0)
        return family

    def _health(self) -> Iterator[Family]:
        unready = GaugeMetricFamily("payflux_unready", HEALTH["unready"], labels=["reason"])
        if self._refusal is not None:
            unready.add_metric([self._refusal.code], 1)
        yield unready
        if self._progress is not None:
            found = {
                "consumer_stalled": self._progress.stalled or self._progress.unusable is not None,
                "dlq_refused": self._progress.unburied is not None,
            }
            for name, value in found.items():
                yield GaugeMetricFamily(f"payflux_{name}", HEALTH[name], value=float(value))

    def _redis(self) -> Iterator[Family]:
        up = GaugeMetricFamily("payflux_redis_up", INFO["redis_up"], value=float(self._backlog is not None))
        yield up
        if self._backlog is not None:
            for (name, text), value in zip(REDIS_GAUGES.items(), self._backlog, strict=True):
                yield GaugeMetricFamily(f"payflux_{name}", text, value=value)
        if self._durability is not None:
            info = GaugeMetricFamily(
                "payflux_redis_durability_info", INFO["redis_durability_info"], labels=Durability._fields
            )
            info.add_metric(list(self._durability), 1)
            yield info
        build = GaugeMetricFamily("payflux_build_info", INFO["build_info"], labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build
        runbook = GaugeMetricFamily("payflux_runbook_info", INFO["runbook_info"], labels=["url"])
        runbook.add_metric([self._runbook], 1)
        yield runbook


class Scrape:
    """`/metrics`: asks Redis, and sums the slab."""

    def __init__(
        self,
        slab: Slab,
        admin: RedisMonitor,
        readiness: Readiness,
        exporters: Mapping[str, Metrics] = NONE,
        *,
        runbook: str = RUNBOOK,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exposition, self._exporters = Exposition(slab, exporters, runbook), exporters
        self._lags: dict[str, int] = {}
        self._admin, self._readiness, self._now = admin, readiness, now
        self._durability: Durability | None = None
        self._asked_at = float("-inf")

    async def text(self) -> bytes:
        """The Prometheus text."""
        # Together, and no more once Redis is silent: one wait after the other is longer than whoever asks has patience.
        backlog, refusal = await asyncio.gather(self._ask(), self._readiness.refusal())
        progress = await self._readiness.progress() if backlog is not None else None
        incidents = await self._open() if backlog is not None and self._exposition.scores else ()
        return self._exposition.text(backlog, self._durability, refusal, progress, self._lags, incidents)

    async def _open(self) -> Sequence[Record]:
        try:
            return await self._admin.open_incidents()
        except StreamUnavailable:
            return ()

    async def _ask(self) -> Backlog | None:
        try:
            backlog = await self._admin.backlog()
            self._lags = {name: (await self._admin.backlog(group_of(name))).lag for name in self._exporters}
            if self._now() - self._asked_at > 60:
                self._durability, self._asked_at = await self._admin.durability(), self._now()
        except StreamUnavailable:
            self._lags, self._durability, self._asked_at = (
                {},
                None,
                float("-inf"),
            )  # what it was says nothing of what it will be
            return None
        return backlog


def _position(metric: Metric, labels: Iterable[tuple[int, str]]) -> int:
    position = 0
    for label, (number, _) in zip(metric.labels, labels, strict=True):
        position = position * label.cardinality + number
    return position
