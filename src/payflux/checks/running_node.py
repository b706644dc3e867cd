"""The node that runs, as its neighbours see it over HTTP."""

import json
import secrets
from collections.abc import Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from payflux.checks.asking import Answer, ask, reason_of
from payflux.event.intake import EVENT_PATH
from payflux.finding import Finding
from payflux.telemetry.metrics import KEY_DUPLICATES, KEY_EVENTS

FEWEST, MANY = 100, 0.2  # so many events of a key, so large a share of them duplicates: then it is said


def judge_node(base: str, admin: str | None = None, token: str | None = None) -> list[Finding]:
    """The node that runs: is it healthy, does it refuse strangers, what has it refused and lost so far?

    Args:
        base: its address; an event without a valid key is sent there, which it must refuse.
        admin: that for operators, where it is another one.
        token: what `/metrics` asks for.
    """
    try:
        health = ask(f"{base}/health")
        denials = [ask(base + EVENT_PATH, key, b"{}").status for key in (None, secrets.token_hex(24))]
        admin = admin or base
        metrics, export = ask(f"{admin}/metrics", token), ask(f"{admin}/export/health")
    except OSError as error:
        fix = "start it, or name its address: --node http://host:8080"
        return [Finding("node", "fail", f"{base}: {reason_of(error)}", fix)]
    return [_health(base, health), _denials(base, denials), *_counted(metrics), _export(export)]


def _health(base: str, health: Answer) -> Finding:
    if health.status == 200:
        return Finding("node", "pass", f"{base} is healthy, its write path to Redis included")
    said = health.body.decode(errors="replace")[:200].strip()
    return Finding("node", "fail", f"{base}/health answers {health.status}: {said}", "look at the log of the node")


def _denials(base: str, denials: list[int]) -> Finding:
    if denials == [401, 401]:
        return Finding("node_auth", "pass", "refuses an event without a key, and one with a wrong key")
    reason = f"{base} answers {denials[0]} without a key and {denials[1]} to a wrong one, instead of 401"
    return Finding("node_auth", "fail", reason, "is this PayFlux, and does no proxy before it add a key?")


def _counted(metrics: Answer) -> list[Finding]:
    """What the node counted since its start: lost, refused for their rate, sent more than once."""
    try:
        families = list(text_string_to_metric_families(metrics.body.decode()))
    except ValueError:
        return [Finding("losses", "fail", "what it answers at /metrics is no Prometheus text", "is this PayFlux?")]
    samples = [sample for family in families for sample in family.samples]
    return [*_losses(samples), *_duplicates(samples)]


def _losses(samples: Sequence[Sample]) -> list[Finding]:
    limited = sum(
        s.value for s in samples if s.name == "payflux_ingest_rejected_total" and s.labels["reason"] == "rate_limited"
    )
    lost = {
        f"{s.value:,.0f} {next(iter(reversed(s.labels.values())))}"
        for s in samples
        if s.name in ("payflux_stream_lost_total", "payflux_export_errors_total") and s.value
    }
    found = [Finding("losses", "pass", "nothing was lost since the node started")]
    if lost:
        fix = "see payflux_stream_lost_total and payflux_export_errors_total, and mend the cause"
        found = [Finding("losses", "warn", f"since the node started: {', '.join(sorted(lost))}", fix)]
    if limited:
        reason = f"{limited:,.0f} requests were over their rate since the node started"
        fix = "raise PAYFLUX_RATELIMIT_RPS, or find out which producer sends so much"
        found.append(Finding("rate_limited", "warn", reason, fix))
    return found


def _duplicates(samples: Sequence[Sample]) -> list[Finding]:
    """A key many of whose events were stored already: a producer sends twice, or gives one id to several events."""
    events, repeated = (
        {s.labels["key"]: s.value for s in samples if s.name == f"payflux_{metric.name}"}
        for metric in (KEY_EVENTS, KEY_DUPLICATES)
    )
    many = [
        f"{repeated[key]:,.0f} of {n:,.0f} events of key {key}"
        for key, n in events.items()
        if n >= FEWEST and repeated.get(key, 0) > MANY * n
    ]
    if not many:
        return []
    reason = f"{', '.join(many)} were duplicates since the node started"
    fix = "does a producer retry what was answered, or give several events one event_id? Those are not told apart"
    return [Finding("duplicates", "warn", reason, fix)]


def _export(answer: Answer) -> Finding:
    try:
        destinations: dict[str, dict[str, Any]] = json.loads(answer.body)["destinations"]
    except (ValueError, KeyError, TypeError):
        return Finding("export", "fail", f"/export/health answers {answer.status}", "is this PayFlux?")
    failing = [
        f"{name}: {status['last_error_reason']} at {status['last_error_rfc3339']}"
        for name, status in destinations.items()
        if (status["last_error_ts"] or 0) > (status["last_success_ts"] or 0)
    ]
    if failing:
        return Finding("export", "fail", "; ".join(failing), "free space, or give stdout a reader; see the node's log")
    if not destinations:
        return Finding("export", "pass", "this node only takes events in; ask the one that consumes, too")
    return Finding("export", "pass", f"no error since the last line ({', '.join(destinations)})")
