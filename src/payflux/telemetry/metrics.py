"""Every metric of PayFlux, declared once, and where its numbers lie in the shared slab."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import nan, prod
from typing import Literal

from payflux.risk.assessment import BANDS
from payflux.risk.drivers import DRIVERS
from payflux.telemetry import handled, highest_number
from payflux.telemetry.handled import Handled
from payflux.telemetry.highest_number import HighestNumber
from payflux.telemetry.notes import DESTINATIONS, ChildNotes
from payflux.telemetry.reasons import ALERT_RESULTS as ALERT_RESULTS
from payflux.telemetry.reasons import DENIED_REASONS as DENIED_REASONS
from payflux.telemetry.reasons import DLQ_REASONS as DLQ_REASONS
from payflux.telemetry.reasons import EXPORT_REASONS as EXPORT_REASONS
from payflux.telemetry.reasons import HTTP_REASONS as HTTP_REASONS
from payflux.telemetry.reasons import LOST_REASONS as LOST_REASONS
from payflux.telemetry.reasons import REJECT_REASONS as REJECT_REASONS
from payflux.telemetry.reasons import WEBHOOK_RESULTS as WEBHOOK_RESULTS
from payflux.telemetry.slab import Names, Slab

PROCESSORS = 100
CATEGORIES = 50
EVENT_TYPES = 50
OUTCOMES = ("success", "failure", "neutral")
WARNING_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
DURATION_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Label:
    """A label: its fixed values, or the table of names (section of the slab) they come from.

    Attributes:
        name: of the label.
        values: its fixed values.
        table: section of the slab with its names.
        capacity: how many names that holds; all further ones share `other`.
        given: the names are given when the node starts, not learned from events: there is no `other`, and every series
            exists from the start.
    """

    name: str
    values: tuple[str, ...] = ()
    table: str = ""
    capacity: int = 0
    given: bool = False

    @property
    def cardinality(self) -> int:
        """How many values it can take, `other` included."""
        return len(self.values) or self.capacity + 1


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric family; `name` without the prefix `payflux_`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    largest: bool = False
    """What the processes of a node have set is not added up: the largest is shown."""
    buckets: tuple[float, ...] = DURATION_BUCKETS
    """The upper bounds of a histogram's buckets, `+Inf` aside."""

    @property
    def slots(self) -> int:
        """How many numbers it takes in a child's section."""
        if self.kind == "histogram":
            return len(self.buckets) + 2  # one for +Inf, one for the sum
        return prod(label.cardinality for label in self.labels)


def _fixed(name: str, values: Iterable[str]) -> Label:
    return Label(name, tuple(values))


PROCESSOR = Label("processor", table="names:processor", capacity=PROCESSORS)
CATEGORY = Label("category", table="names:category", capacity=CATEGORIES)
EVENT_TYPE = Label("event_type", table="names:event_type", capacity=EVENT_TYPES)
UNRECOGNISED = Label("category", table="names:unrecognised", capacity=CATEGORIES)
CODE = Label("code", table="names:webhook_code", capacity=CATEGORIES)
EXPORTER = Label("exporter")
DESTINATION = Label("destination", table="names:destination", capacity=DESTINATIONS, given=True)

KEY = Label("key", table="names:key", capacity=16)
RECEIVER = Label("receiver", table="names:receiver", capacity=16, given=True)

INGEST_ACCEPTED = Metric("ingest_accepted_total", "counter", "Events appended to the stream.")
INGEST_REJECTED = Metric(
    "ingest_rejected_total", "counter", "Events and requests refused.", (_fixed("reason", REJECT_REASONS),)
)
INGEST_DUPLICATE = Metric("ingest_duplicate_total", "counter", "Events whose event_id was stored already.")
KEY_EVENTS = Metric(
    "ingest_key_events_total",
    "counter",
    "Events taken from each API key within its rate, by the place of the key among those that are set, from 1.",
    (KEY,),
)
KEY_DUPLICATES = Metric(
    "ingest_key_duplicates_total", "counter", "Those of them whose event_id was stored already.", (KEY,)
)
INGEST_DURATION = Metric(
    "ingest_duration_seconds",
    "histogram",
    "From a complete request, single event or batch, to the answer about what was stored.",
)
BY_PROCESSOR = Metric("events_by_processor_total", "counter", "Events accepted, by payment processor.", (PROCESSOR,))
AUTH_DENIED = Metric(
    "auth_denied_total", "counter", "Requests without a valid key.", (_fixed("reason", DENIED_REASONS),)
)
WEBHOOK_EVENTS = Metric(
    "webhook_events_total",
    "counter",
    "Events in webhooks of payment processors, and webhooks without any, by what became of them.",
    (PROCESSOR, _fixed("result", WEBHOOK_RESULTS)),
)
WEBHOOK_UNMAPPED = Metric(
    "webhook_unmapped_total",
    "counter",
    "Failures in webhooks whose code nobody knows; they count against the processor.",
    (PROCESSOR, CODE),
)
WEBHOOK_LAST = Metric(
    "webhook_last_received_timestamp_seconds",
    "gauge",
    "When a verified webhook of a processor last came, Unix time.",
    (PROCESSOR,),
    largest=True,
)
HTTP_CONNECTIONS = Metric("http_connections", "gauge", "Open HTTP connections.")
HTTP_REFUSED = Metric(
    "http_refused_total",
    "counter",
    "Requests that reached no handler; the log has the first of each reason a minute, with its sender.",
    (_fixed("reason", HTTP_REASONS),),
)

PROCESSED = Metric("consumer_processed_total", "counter", "Events acked by the consumer.")
REDELIVERED = Metric("consumer_redelivered_total", "counter", "Pending entries taken up again after a fault.")
DEAD_LETTERED = Metric(
    "consumer_dlq_total", "counter", "Entries moved to the dead-letter stream.", (_fixed("reason", DLQ_REASONS),)
)
GROUP_RECREATED = Metric("consumer_group_recreated_total", "counter", "Times the consumer group had vanished.")
CONSUMER_ACTIVE = Metric("consumer_active", "gauge", "1 while this node's consumer holds the stream's lease.")
CONSUMER_HALTED = Metric(
    "consumer_halted", "gauge", "1 while the consumer refuses to dead-letter nearly everything it reads."
)
STREAM_LOST = Metric(
    "stream_lost_total", "counter", "Accepted events that were never exported.", (_fixed("reason", LOST_REASONS),)
)
BY_OUTCOME = Metric(
    "events_by_outcome_total", "counter", "Events by outcome.", (PROCESSOR, _fixed("outcome", OUTCOMES))
)
UNCLASSIFIED = Metric(
    "events_unclassified_total",
    "counter",
    "Events whose type says nothing of an outcome: see PAYFLUX_OUTCOMES.",
    (EVENT_TYPE,),
)
FAILURES = Metric("failures_total", "counter", "Failed payments by failure category.", (PROCESSOR, CATEGORY))
UNCATEGORISED = Metric(
    "failures_uncategorised_total",
    "counter",
    "Failures whose failure_category is in words that nobody knows; they count against the processor.",
    (UNRECOGNISED,),
)
RETRIES = Metric("retries_total", "counter", "Events whose retry_count is above 0.", (PROCESSOR,))
RISK_EVENTS = Metric(
    "processor_risk_events_total", "counter", "Scored events by risk band.", (PROCESSOR, _fixed("band", BANDS))
)
RISK_SCORE = Metric(
    "processor_risk_score_last", "gauge", "Latest risk score, 0 to 1; decays to 0 without traffic.", (PROCESSOR,)
)
INCIDENTS = Metric("incidents_total", "counter", "Incidents that opened.", (PROCESSOR, _fixed("driver", DRIVERS)))
WARNING_LATENCY = Metric(
    "warning_latency_seconds",
    "histogram",
    "From the first event that is evidence of an incident to the moment it was opened and kept.",
    buckets=WARNING_BUCKETS,
)

EXPORTED = Metric("events_exported_total", "counter", "Lines a destination took.", (DESTINATION,))
EXPORT_ERRORS = Metric(
    "export_errors_total",
    "counter",
    "Lines a destination did not take; the event is lost to it. With export_then_ack: failed tries, and none is lost.",
    (DESTINATION, _fixed("reason", EXPORT_REASONS)),
)
EXPORT_LAST_SUCCESS = Metric(
    "exports_last_success_timestamp_seconds", "gauge", "When a destination last took a line, Unix time.", (DESTINATION,)
)
EXPORT_LAST_ERROR = Metric(
    "exports_last_error_timestamp_seconds", "gauge", "When a destination last failed, Unix time.", (DESTINATION,)
)
EXPORTER_FAILING = Metric(
    "exporter_failing",
    "gauge",
    "1 while an exporter with a group of its own is tried again and again; its events wait in the stream.",
    (DESTINATION,),
    largest=True,
)
EXPORT_QUEUE = Metric("export_queue_bytes", "gauge", "Bytes waiting for a destination.", (DESTINATION,))
EXPORT_REOPENED = Metric("export_reopened_total", "counter", "Times the export file was reopened by SIGHUP.")

ALERTS_TOTAL = Metric(
    "alerts_total",
    "counter",
    "What receivers of incidents were told, by what became of it.",
    (RECEIVER, _fixed("result", ALERT_RESULTS)),
)
ALERT_WAITING = Metric(
    "alert_waiting_seconds",
    "gauge",
    "Since when there is something a receiver could not be told, seconds; of the node that tells.",
    (RECEIVER,),
    largest=True,
)

CHILD_DEATHS = Metric("child_deaths_total", "counter", "Child processes of the node that died and were replaced.")

LOG_LINES_DROPPED = Metric("log_lines_dropped_total", "counter", "Log lines that stderr's reader did not take.")

NAMED = (PROCESSOR, CATEGORY, EVENT_TYPE, UNRECOGNISED, CODE, DESTINATION, KEY, RECEIVER)
"""Labels whose values are names, each with a table of its own."""

METRICS = (
    *(INGEST_ACCEPTED, INGEST_REJECTED, INGEST_DUPLICATE, KEY_EVENTS, KEY_DUPLICATES),
    *(INGEST_DURATION, BY_PROCESSOR, AUTH_DENIED),
    *(WEBHOOK_EVENTS, WEBHOOK_UNMAPPED, WEBHOOK_LAST),
    *(HTTP_CONNECTIONS, HTTP_REFUSED),
    *(PROCESSED, REDELIVERED, DEAD_LETTERED, GROUP_RECREATED, CONSUMER_ACTIVE, CONSUMER_HALTED),
    *(STREAM_LOST, BY_OUTCOME, UNCLASSIFIED, FAILURES, UNCATEGORISED, RETRIES, RISK_EVENTS, RISK_SCORE),
    *(INCIDENTS, WARNING_LATENCY),
    *(EXPORTED, EXPORT_ERRORS, EXPORT_LAST_SUCCESS, EXPORT_LAST_ERROR, EXPORTER_FAILING, EXPORT_QUEUE),
    *(EXPORT_REOPENED, ALERTS_TOTAL, ALERT_WAITING),
    *(CHILD_DEATHS, LOG_LINES_DROPPED),
)
"""Every metric kept in the slab, in the order of their slots."""

EXPORTER_LAG = Metric(
    "exporter_lag_messages", "gauge", "Entries an exporter with a group of its own has not read yet.", (EXPORTER,)
)
EXPORT_LOST = Metric(
    "export_lost_total",
    "counter",
    "Events an exporter with a group of its own never read, by reason: `trimmed` or `reset`.",
    (Label("destination"), _fixed("reason", LOST_REASONS)),
)
EXPORT_DEAD = Metric(
    "export_dlq_total",
    "counter",
    "Entries moved to the dead letters of an exporter with a group of its own.",
    (Label("destination"), _fixed("reason", DLQ_REASONS)),
)
OF_EXPORTERS = (EXPORTER_LAG, EXPORT_LOST, EXPORT_DEAD)
"""What is told of exporters with groups of their own, whose consumers count in slabs of their own."""

OF_THE_ACTIVE = (RISK_SCORE, CONSUMER_HALTED)
"""Gauges of a consumer that hold only while it is active: on standby it does not see what would change them."""

_ENDS = list(accumulate(metric.slots for metric in METRICS))
OFFSETS = {metric: end - metric.slots for metric, end in zip(METRICS, _ENDS, strict=True)}
SLOTS = _ENDS[-1] + ChildNotes.SIZE
CHILD = "child:"


def create_slab(children: Sequence[str], *, appenders: int = 1, **further: int) -> Slab:
    """The shared memory of a new node.

    Args:
        children: names of its processes, each of which gets a section.
        appenders: how many write paths to Redis a process may have.
        further: sizes in bytes of further sections, by name.
    """
    sections = {CHILD + name: SLOTS * 8 for name in children}
    sections |= {label.table: Names.size(label.capacity) for label in NAMED}
    sections[highest_number.SECTION] = HighestNumber.size(len(children) * appenders)
    sections[handled.SECTION] = Handled.size()
    slab = Slab.create(sections | further)
    for section in sections_of(slab):
        _blank_gauges(section)
    return slab


def give_destinations(slab: Slab, names: Sequence[str]) -> None:
    """Say which destinations a new node has, so that their series exist before anything goes there.

    Raises:
        ValueError: there are more than `DESTINATIONS`.
    """
    if len(names) > DESTINATIONS:
        raise ValueError(f"more than {DESTINATIONS} destinations")
    given = Names(slab, DESTINATION.table)
    for name in names:
        given.index(name)


def give_receivers(slab: Slab, names: Sequence[str]) -> None:
    """Say which receivers of incidents a new node has, at most 16, so that their series exist from the start."""
    given = Names(slab, RECEIVER.table)
    for name in names:
        given.index(name)


def sections_of(slab: Slab) -> list["memoryview[float]"]:
    """The numbers of every process of the node."""
    return [slab.doubles(name) for name in slab.names() if name.startswith(CHILD)]


def place_of(slab: Slab, child: str, appender: int = 0) -> int:
    """The place of a write path of a process among all those of the node, from 0; `appender` is its number there."""
    children = [name for name in slab.names() if name.startswith(CHILD)]
    return appender * len(children) + children.index(CHILD + child)


def _blank_gauges(values: "memoryview[float]") -> None:
    """A gauge nobody has set is not a number, so that it is not exposed as 0."""
    for metric, offset in OFFSETS.items():
        if metric.kind == "gauge":
            for slot in range(offset, offset + metric.slots):
                values[slot] = nan


class Metrics:
    """One child's numbers. Hot paths keep `values` and the slots they need, and add to them directly."""

    def __init__(self, slab: Slab, child: str) -> None:
        self.slab = slab
        self.values = slab.doubles(CHILD + child)
        self.processors = Names(slab, PROCESSOR.table)
        self.categories = Names(slab, CATEGORY.table)
        self.event_types = Names(slab, EVENT_TYPE.table)
        self.unrecognised = Names(slab, UNRECOGNISED.table)
        self.codes = Names(slab, CODE.table)
        self.destinations = Names(slab, DESTINATION.table)
        self.keys = Names(slab, KEY.table)
        self.receivers = Names(slab, RECEIVER.table)
        self.notes = ChildNotes(self.values, _ENDS[-1])

    def slot(self, metric: Metric, *labels: str | int) -> int:
        """The slot of a series: a fixed label is given by its value, one from a table by its number."""
        at = 0
        for label, value in zip(metric.labels, labels, strict=True):
            at = at * label.cardinality + (value if isinstance(value, int) else label.values.index(value))
        return OFFSETS[metric] + at

    def add(self, metric: Metric, *labels: str | int, n: float = 1) -> None:
        """Count n more."""
        self.values[self.slot(metric, *labels)] += n

    def observe(self, metric: Metric, value: float) -> None:
        """Count a value in a histogram."""
        at = OFFSETS[metric]
        self.values[at + bisect_left(metric.buckets, value)] += 1
        self.values[at + len(metric.buckets) + 1] += value

    def set(self, metric: Metric, *labels: str | int, to: float) -> None:
        """Set a gauge."""
        self.values[self.slot(metric, *labels)] = to

    def get(self, metric: Metric, *labels: str | int) -> float:
        """What a series holds; not a number when it is a gauge nobody has set."""
        return self.values[self.slot(metric, *labels)]

    def blank(self, metric: Metric) -> None:
        """Unset every series of a gauge: it is not exposed until it is set again."""
        for slot in range(OFFSETS[metric], OFFSETS[metric] + metric.slots):
            self.values[slot] = nan
