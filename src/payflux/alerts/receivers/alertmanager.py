"""Prometheus Alertmanager, API version 2: the alert the rule `PayFluxIncident` would raise, without a scrape between.

Its labels are the rule's to the letter, so that routes, inhibitions and silences go on to work.

Source: the OpenAPI description of Alertmanager 0.25 to 0.28 (`POST /api/v2/alerts`). An alert that is not sent again
ends by itself after `resolve_timeout`; so it is sent again every minute, with an end a few minutes ahead.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from payflux.alerts import Kind, Later, Notice, Request, Taken
from payflux.alerts.message import facts, title
from payflux.alerts.sending import send
from payflux.outgoing.post import hosts, web_address
from payflux.settings import Setting, Values, optional

EVERY_SEC = 60.0
AHEAD_SEC = 300.0
"""An alert that nobody repeats ends after so long: five repetitions."""

SKEW_SEC = 5.0
"""So far Alertmanager's clock may be behind ours: what ends later than it is there does not end."""


NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
OWN = frozenset(("alertname", "incident", "processor", "driver", "dimension", "value", "severity", "incident_severity"))
"""The labels that say what happened."""


def _urls(text: str) -> tuple[str, ...]:
    return tuple(web_address(part.strip()).rstrip("/") for part in text.split(","))


URLS = optional(
    "PAYFLUX_ALERT_ALERTMANAGER_URLS",
    _urls,
    "Addresses of Alertmanager, every one of a cluster, separated by commas; for example `http://alertmanager:9093`.",
)


def _labels(text: str) -> dict[str, str]:
    found = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, equals, value = pair.partition("=")
        if not (equals and value and NAME.fullmatch(name)) or name in OWN:
            raise ValueError("labels such as job=payflux,region=eu, none of them one of the alert's own")
        found[name] = value
    return found


LABELS = Setting(
    "PAYFLUX_ALERT_ALERTMANAGER_LABELS",
    _labels,
    "job=payflux",
    "Labels of each alert beside its own: the job that Prometheus gives to the nodes, and its external labels.",
)


class Alertmanager:
    """One Alertmanager, or all members of a cluster, each of which has to be told."""

    def __init__(
        self, urls: Iterable[str], labels: Mapping[str, str] | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._urls, self._more, self._now = tuple(urls), dict(labels or {}), now

    def requests(self, notice: Notice) -> list[Request]:
        """The same alerts for each of them."""
        body = msgspec.json.encode(self._alerts(notice))
        return [Request(f"{url}/api/v2/alerts", {"Content-Type": "application/json"}, body) for url in self._urls]

    def send(self, notice: Notice) -> Taken:
        """Tell all; one that took it is enough, as a cluster shares what it knows."""
        failed: list[Exception] = []
        taken: list[str] = []
        for request in self.requests(notice):
            try:
                taken.append(send(request).told())
            except Later as error:
                failed.append(error)
        if not taken:
            raise Later(f"{hosts(self._urls)}: {failed[-1]}")
        labels = self._alerts(notice)[0]["labels"]
        return Taken(taken[0], msgspec.json.encode(labels).decode())

    def _alerts(self, notice: Notice) -> list[dict[str, Any]]:
        """One alert; two when it worsened, as other labels are another alert: then the former one ends."""
        now, incident = self._now(), notice.incident
        former = msgspec.json.decode(notice.memory, type=dict[str, str]) if notice.memory else None
        labels = self._more | _own_labels(notice)
        if former and notice.kind != "worsened":
            labels = former
        over = now - SKEW_SEC
        found = [_alert(notice, labels, min(incident.resolved, over) if incident.resolved else now + AHEAD_SEC)]
        if former and former != labels:
            found.append(_alert(notice, former, over))
        return found


def _own_labels(notice: Notice) -> dict[str, str]:
    incident = notice.incident
    labels = {
        "alertname": "PayFluxIncident",
        "incident": incident.id,
        "processor": incident.processor or "all",
        "driver": incident.driver.name,
        "dimension": incident.dimension,
        "value": incident.value,
        "severity": "critical" if incident.severity == "critical" else "warning",
        "incident_severity": incident.severity,
    }
    if notice.test:
        labels |= {"alertname": "PayFluxTest", "severity": "none"}
    return {name: text for name, text in labels.items() if text}


def _alert(notice: Notice, labels: dict[str, str], ends: float) -> dict[str, Any]:
    annotations = {name.lower().replace(" ", "_"): text for name, text in facts(notice.incident)}
    annotations |= {"summary": title(notice)} | ({"runbook_url": notice.runbook} if notice.runbook else {})
    return {
        "labels": labels,
        "annotations": annotations,
        # What ends later than now does not end, and nothing ends before it began: Redis's clock may be ahead of ours.
        "startsAt": _moment(min(notice.incident.since, ends)),
        "endsAt": _moment(ends),
    }


def _moment(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _make(values: Values) -> Alertmanager:
    urls = values[URLS]
    return Alertmanager(urls or (), values[LABELS])


def _refuse(values: Values) -> Iterable[str]:
    if not values[URLS]:
        yield f"{URLS.name}: expected URLs such as http://alertmanager:9093"


KIND = Kind(_make, "Prometheus Alertmanager, which routes, groups, mutes", (URLS, LABELS), _refuse, every=EVERY_SEC)
