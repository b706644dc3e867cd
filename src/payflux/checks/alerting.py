"""The links from a node to somebody who is woken: the Prometheus that scrapes it, its rules, its Alertmanager."""

import json
from collections.abc import Collection, Iterable
from typing import Any

from payflux.checks.asking import ask, reason_of
from payflux.finding import Finding

RULES = ("ProcessorRiskHigh", "ProcessorRiskCritical")


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
        return Finding("alerting", "fail", f"{base}: {reason_of(error)}", "name your Prometheus: --prometheus URL")
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
