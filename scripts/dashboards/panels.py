"""What the Grafana dashboard shows: its rows, their panels, and the query behind each.

Every query names a metric of `payflux.telemetry.metrics` or `payflux.operations.exposition`; a test holds it to that.
There is no panel of drivers or of geographies, as no metric counts them: they are in the exported lines.
"""

from dataclasses import dataclass
from typing import Literal

from payflux.risk.assessment import BANDS
from payflux.risk.scoring import RISK_SCORE_THRESHOLDS

COLOURS = ("green", "yellow", "orange", "red")
CUTS = RISK_SCORE_THRESHOLDS.parse(RISK_SCORE_THRESHOLDS.default or "")
JOB = 'job=~"$job"'
ONE = f'{JOB},processor=~"$processor"'
RATE = "$__rate_interval"
OUTCOMES = "payflux_events_by_outcome_total"
FAILED, ENDED = f'{ONE},outcome="failure"', f'{ONE},outcome!="neutral"'

Steps = tuple[tuple[float | None, str], ...]
BAND_STEPS: Steps = tuple(zip((None, *CUTS), COLOURS, strict=True))
GOOD_AT_1: Steps = ((None, "red"), (1, "green"))
BAD_ABOVE_0: Steps = ((None, "green"), (1, "red"))


@dataclass(frozen=True)
class Query:
    """One query of a panel, and how its series are called: Grafana's `{{label}}`."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        about: what to read from it, in a sentence or two.
        queries: what is asked.
        unit: of the values, in Grafana's words.
        width: columns of the grid.
        kind: a number, lines over time, or a table of labels.
        stacked: the series are parts of one whole.
        steps: from which value on which colour.
        highest: where the scale ends, where that is known.
    """

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 12
    kind: Literal["stat", "graph", "table"] = "graph"
    stacked: bool = False
    steps: Steps = ()
    highest: float | None = None


def _rate(metric: str, by: str, labels: str = JOB) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[{RATE}]))" if by else f"sum(rate({metric}{{{labels}}}[{RATE}]))"


def _stat(title: str, about: str, expr: str, steps: Steps, unit: str = "short") -> Panel:
    return Panel(title, about, (Query(expr, title),), unit, width=4, kind="stat", steps=steps)


def _quantile(share: float) -> Query:
    per_bucket = _rate("payflux_ingest_duration_seconds_bucket", "le")
    return Query(f"histogram_quantile({share}, {per_bucket})", f"p{share * 100:g}")


OVERVIEW = (
    _stat("Nodes up", "Nodes that Prometheus can scrape.", f"sum(up{{{JOB}}})", GOOD_AT_1),
    _stat("Redis up", "1 while every node reaches Redis.", f"min(payflux_redis_up{{{JOB}}})", GOOD_AT_1),
    _stat("Active consumers", "1: one node consumes.", f"sum(payflux_consumer_active{{{JOB}}})", GOOD_AT_1),
    _stat(
        "Highest risk",
        "The highest score of any processor now.",
        f"max(payflux_processor_risk_score_last{{{JOB}}})",
        BAND_STEPS,
    ),
    _stat(
        "Events lost",
        "Accepted events never exported, and lines a destination did not take, in the time shown.",
        f"sum(increase(payflux_stream_lost_total{{{JOB}}}[$__range]))"
        f" + sum(increase(payflux_export_errors_total{{{JOB}}}[$__range]))",
        BAD_ABOVE_0,
    ),
    _stat("Dead letters", "Entries in the dead-letter stream.", f"max(payflux_dlq_depth{{{JOB}}})", BAD_ABOVE_0),
)
TRAFFIC = (
    Panel(
        "Events accepted, by processor",
        "What is stored, by payment processor. A processor that falls silent is news too.",
        (Query(_rate("payflux_events_by_processor_total", "processor", ONE), "{{processor}}"),),
        unit="eps",
        stacked=True,
    ),
    Panel(
        "Acceptance",
        "Every event sent is accepted, known already, or refused for a reason.",
        (
            Query(_rate("payflux_ingest_accepted_total", ""), "accepted"),
            Query(_rate("payflux_ingest_duplicate_total", ""), "duplicate"),
            Query(_rate("payflux_ingest_rejected_total", "reason") + " > 0", "refused: {{reason}}"),
        ),
        unit="eps",
    ),
    Panel(
        "Time to answer",
        "From a complete request to the answer about what was stored; Redis's part is in it.",
        (_quantile(0.5), _quantile(0.99)),
        unit="s",
        width=8,
    ),
    Panel(
        "Keys denied",
        "Requests without a key, or with one that is not configured: a forgotten rotation, or somebody who tries. "
        "Beside them those that reached no handler: a mistyped path, another method, no HTTP.",
        (
            Query(_rate("payflux_auth_denied_total", "reason"), "{{reason}}"),
            Query(_rate("payflux_http_refused_total", "reason"), "{{reason}}"),
        ),
        unit="reqps",
        width=8,
    ),
    Panel(
        "HTTP connections",
        "Open connections of producers.",
        (Query(f"sum by (instance) (payflux_http_connections{{{JOB}}})", "{{instance}}"),),
        width=8,
    ),
)
RISK = (
    Panel(
        "Risk score, by processor",
        "0 to 1; the colours are the bands " + ", ".join(BANDS) + ". An early warning, never a guarantee.",
        (Query(f"max by (processor) (payflux_processor_risk_score_last{{{ONE}}})", "{{processor}}"),),
        unit="none",
        width=16,
        steps=BAND_STEPS,
        highest=1,
    ),
    Panel(
        "Events, by risk band",
        "How many events were scored in which band.",
        (Query(_rate("payflux_processor_risk_events_total", "band", ONE), "{{band}}"),),
        unit="eps",
        width=8,
        stacked=True,
    ),
)
FAILURES = (
    Panel(
        "Failure rate, by processor",
        "Failures among the events that say how a payment ended.",
        (
            Query(
                f"{_rate(OUTCOMES, 'processor', FAILED)} / ({_rate(OUTCOMES, 'processor', ENDED)} > 0)",
                "{{processor}}",
            ),
        ),
        unit="percentunit",
        width=8,
        highest=1,
    ),
    Panel(
        "Failure mix",
        "Failed payments by category: one that grows alone points at its cause.",
        (Query(_rate("payflux_failures_total", "category", ONE), "{{category}}"),),
        unit="eps",
        width=8,
        stacked=True,
    ),
    Panel(
        "Retries, by processor",
        "Share of a processor's events that are retries: a storm shows here first.",
        (
            Query(
                f"{_rate('payflux_retries_total', 'processor', ONE)}"
                f" / ({_rate('payflux_events_by_processor_total', 'processor', ONE)} > 0)",
                "{{processor}}",
            ),
        ),
        unit="percentunit",
        width=8,
        highest=1,
    ),
    Panel(
        "Names without a meaning",
        "Event types that say nothing of an outcome, and so count as traffic only: PAYFLUX_OUTCOMES can declare them. "
        "Failure categories in words that nobody knows, which count against the processor.",
        (
            Query(_rate("payflux_events_unclassified_total", "event_type"), "type {{event_type}}"),
            Query(_rate("payflux_failures_uncategorised_total", "category"), "category {{category}}"),
        ),
        unit="eps",
        width=24,
    ),
)
CONSUMER = (
    Panel(
        "Lag and pending",
        "Entries not read yet, and read but not acked. Both return to 0 within moments.",
        (
            Query(f"max(payflux_consumer_lag_messages{{{JOB}}})", "lag"),
            Query(f"max(payflux_pending_messages{{{JOB}}})", "pending"),
        ),
    ),
    Panel(
        "In and out",
        "Accepted and processed go together; where they part, lag grows.",
        (
            Query(_rate("payflux_ingest_accepted_total", ""), "accepted"),
            Query(_rate("payflux_consumer_processed_total", ""), "processed"),
            Query(_rate("payflux_consumer_redelivered_total", ""), "redelivered"),
        ),
        unit="eps",
    ),
    Panel(
        "Losses and dead letters",
        "Accepted events that were never exported, and entries set aside, in the minutes before.",
        (
            Query(f"sum by (reason) (increase(payflux_stream_lost_total{{{JOB}}}[5m]))", "lost: {{reason}}"),
            Query(f"sum by (reason) (increase(payflux_consumer_dlq_total{{{JOB}}}[5m])) > 0", "dead: {{reason}}"),
        ),
    ),
    Panel(
        "Faults of the node",
        "What /health says, consumers that halted or stall; child deaths, groups made again, in the minutes before.",
        (
            Query(f"sum(increase(payflux_child_deaths_total{{{JOB}}}[5m]))", "child deaths"),
            Query(f"sum(increase(payflux_log_lines_dropped_total{{{JOB}}}[5m]))", "log lines dropped"),
            Query(f"max by (reason) (payflux_unready{{{JOB}}})", "unready: {{reason}}"),
            Query(f"max(payflux_consumer_halted{{{JOB}}})", "consumer halted"),
            Query(f"max(payflux_consumer_stalled{{{JOB}}})", "consumer stalled"),
            Query(f"max(payflux_dlq_refused{{{JOB}}})", "dead letters refused"),
            Query(f"sum(increase(payflux_consumer_group_recreated_total{{{JOB}}}[5m]))", "group made again"),
        ),
    ),
)
EXPORT = (
    Panel(
        "Lines exported",
        "What each destination took.",
        (Query(_rate("payflux_events_exported_total", "destination") + " > 0", "{{destination}}"),),
        unit="eps",
        width=8,
    ),
    Panel(
        "Lines not exported",
        "What a destination did not take: acked, and lost to it.",
        (
            Query(
                _rate("payflux_export_errors_total", "destination, reason") + " > 0",
                "{{destination}}: {{reason}}",
            ),
        ),
        unit="eps",
        width=8,
    ),
    Panel(
        "Since the last line",
        "Seconds since a destination last took a line, and since it last failed.",
        (
            Query(
                f"time() - max by (destination) (payflux_exports_last_success_timestamp_seconds{{{JOB}}})",
                "{{destination}}: success",
            ),
            Query(
                f"time() - max by (destination) (payflux_exports_last_error_timestamp_seconds{{{JOB}}})",
                "{{destination}}: error",
            ),
        ),
        unit="s",
        width=4,
    ),
    Panel(
        "Export queue",
        "Bytes that wait for a destination; a full queue drops lines, and counts them.",
        (Query(f"sum by (destination) (payflux_export_queue_bytes{{{JOB}}})", "{{destination}}"),),
        unit="bytes",
        width=4,
    ),
    Panel(
        "Exporters with groups of their own: what waits",
        "Entries an exporter has not read yet; at PAYFLUX_STREAM_MAXLEN it loses events.",
        (Query(f"max by (exporter) (payflux_exporter_lag_messages{{{JOB}}})", "{{exporter}}"),),
        width=12,
    ),
    Panel(
        "Exporters with groups of their own: trouble",
        "1 while a destination confirms nothing; events lost to it, and records it refused for good, in 5 minutes.",
        (
            Query(f"max by (destination) (payflux_exporter_failing{{{JOB}}})", "{{destination}}: failing"),
            Query(
                f"sum by (destination, reason) (increase(payflux_export_lost_total{{{JOB}}}[5m])) > 0",
                "{{destination}}: lost, {{reason}}",
            ),
            Query(
                f"sum by (destination, reason) (increase(payflux_export_dlq_total{{{JOB}}}[5m])) > 0",
                "{{destination}}: dead, {{reason}}",
            ),
        ),
        width=12,
    ),
)
ALERTS = (
    Panel(
        "What receivers were told",
        "Sent is what they took; failed is tried again; overdue, lost and refused want a person.",
        (Query(_rate("payflux_alerts_total", "receiver, result"), "{{receiver}}: {{result}}"),),
    ),
    Panel(
        "Waits for a receiver",
        "Seconds since which there is something that a receiver could not be told.",
        (Query(f"max by (receiver) (payflux_alert_waiting_seconds{{{JOB}}})", "{{receiver}}"),),
        unit="s",
    ),
)
REDIS = (
    Panel(
        "Stream length",
        "Entries in the stream, read ones too; trimmed to about PAYFLUX_STREAM_MAXLEN.",
        (Query(f"max(payflux_stream_length{{{JOB}}})", "entries"),),
        width=8,
    ),
    Panel(
        "Redis reachable, by node",
        "1 while Redis answers the node.",
        (Query(f"payflux_redis_up{{{JOB}}}", "{{instance}}"),),
        width=8,
        highest=1,
    ),
    Panel(
        "Durability of Redis",
        "What Redis does with what it acknowledged. Wanted: aof on, fsync everysec or always, noeviction, master.",
        (
            Query(
                f"max by (aof, fsync, policy, role) (payflux_redis_durability_info{{{JOB}}})",
                "aof {{aof}}, fsync {{fsync}}, {{policy}}, {{role}}",
            ),
        ),
        width=8,
        kind="table",
    ),
)
WEBHOOKS = (
    Panel(
        "Webhooks, by result",
        "What became of what processors sent; what is refused or unavailable they send again.",
        (Query(_rate("payflux_webhook_events_total", "processor, result", ONE) + " > 0", "{{processor}}: {{result}}"),),
        unit="eps",
    ),
    Panel(
        "Since the last webhook",
        "Seconds since a verified webhook of a processor last came. One that only rises has stopped.",
        (
            Query(
                f"time() - (max by (processor) (payflux_webhook_last_received_timestamp_seconds{{{ONE}}}) > 0)",
                "{{processor}}",
            ),
        ),
        unit="s",
        width=6,
    ),
    Panel(
        "Reasons nobody knows",
        "Failures whose code no table knows; they count against the processor. `payflux webhooks codes "
        "--unmapped` lists them.",
        (Query(_rate("payflux_webhook_unmapped_total", "processor, code", ONE) + " > 0", "{{processor}}: {{code}}"),),
        unit="eps",
        width=6,
    ),
)
