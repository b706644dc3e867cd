"""The points of the production checklist asked over HTTP: of the node that runs, and of the Prometheus scraping it."""

import http.client
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from payflux.finding import Finding

TIMEOUT_SECONDS = 5.0
EVENTS = "/v1/events/payment_exhaust"
RULES = ("ProcessorRiskHigh", "ProcessorRiskCritical")


class Answer(NamedTuple):
    """What a server said."""

    status: int
    body: bytes


def parse_base(text: str) -> str:
    """Read an address such as `http://localhost:8080`, without what ends in a slash; raises ValueError."""
    parts = urllib.parse.urlsplit(text)
    plain = not (parts.query or parts.fragment or parts.username or " " in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError("an address such as http://localhost:8080")
    return text.rstrip("/")


def ask(url: str, key: str | None = None, body: bytes | None = None) -> Answer:
    """GET an address, or POST to it; past any proxy of the environment.

    Raises:
        OSError: nobody answered.
    """
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - parse_base has looked at the scheme
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read())
    except http.client.HTTPException as error:
        raise OSError(f"what answers there does not speak HTTP ({type(error).__name__})") from None


def judge_node(base: str) -> list[Finding]:
    """The node that runs: is it healthy, does it refuse strangers, what has it refused and lost so far?

    Args:
        base: its address; an event without a valid key is sent there, which it must refuse.
    """
    try:
        health = ask(f"{base}/health")
        denials = [ask(base + EVENTS, key, b"{}").status for key in (None, secrets.token_hex(24))]
        metrics, export = ask(f"{base}/metrics"), ask(f"{base}/export/health")
    except OSError as error:
        fix = "start it, or name its address: --node http://host:8080"
        return [Finding("node", "fail", f"{base}: {_reason(error)}", fix)]
    return [_health(base, health), _denials(base, denials), *_losses(metrics), _export(export)]


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


def _losses(metrics: Answer) -> list[Finding]:
    """What the node counted since its start: refused for their rate, lost."""
    try:
        families = list(text_string_to_metric_families(metrics.body.decode()))
    except ValueError:
        return [Finding("losses", "fail", "what it answers at /metrics is no Prometheus text", "is this PayFlux?")]
    samples = [sample for family in families for sample in family.samples]
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


def judge_alerting(base: str | None) -> Finding:
    """Whether a Prometheus scrapes PayFlux, has its rules and somebody to tell.

    Args:
        base: the address of Prometheus; None when it was not given.
    """
    if base is None:
        return Finding("alerting", "warn", "not looked at", "name your Prometheus: --prometheus http://host:9090")
    try:
        scraped = {str(one["metric"].get("instance", "?")) for one in _query(base)}
        rules = {str(rule["name"]) for group in _get(base, "rules?type=alert")["groups"] for rule in group["rules"]}
        told = _get(base, "alertmanagers")["activeAlertmanagers"]
    except OSError as error:
        return Finding("alerting", "fail", f"{base}: {_reason(error)}", "name your Prometheus: --prometheus URL")
    except (ValueError, KeyError, TypeError):
        return Finding("alerting", "fail", f"{base} does not answer as a Prometheus does", "name your Prometheus")
    return judge_links(scraped, rules, told=bool(told))


def judge_links(scraped: Iterable[str], rules: Collection[str], *, told: bool) -> Finding:
    """The links from a node to somebody who is woken.

    Args:
        scraped: the instances of PayFlux that Prometheus knows just now.
        rules: the names of its alerts.
        told: it has an Alertmanager.
    """
    instances = ", ".join(sorted(scraped))
    if not instances:
        fix = "scrape the node's /metrics; deploy/prometheus/prometheus.yml shows how"
        return Finding("alerting", "fail", "Prometheus has scraped no PayFlux in the last 5 minutes", fix)
    missing = [name for name in RULES if name not in rules]
    if missing:
        fix = "put deploy/prometheus/rules/payflux.rules.yml among its rule_files"
        return Finding("alerting", "fail", f"{instances} is scraped, but {', '.join(missing)} is not loaded", fix)
    if not told:
        fix = "name an Alertmanager under alerting: in prometheus.yml"
        return Finding("alerting", "fail", f"{instances} is scraped, but alerts go to nobody", fix)
    return Finding("alerting", "pass", f"{instances} is scraped, rules are loaded, an Alertmanager is told")


def _query(base: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _get(base, "query?query=payflux_build_info")["result"]
    return found


def _get(base: str, path: str) -> dict[str, Any]:
    answer = json.loads(ask(f"{base}/api/v1/{path}").body)
    data: dict[str, Any] = answer["data"]
    return data


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)
