"""PagerDuty, Events API version 2: one incident there for each of ours, closed when ours is.

Source: developer.pagerduty.com, "Send an alert event": `summary` at most 1,024 characters, the whole at most 512 KB,
`dedup_key` at most 255 characters, `severity` one of critical, error, warning, info; 202 when taken, 400 when invalid,
429 when there are too many.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from payflux.alerts import Kind, Notice, Request, Taken
from payflux.alerts.message import as_data, text, title
from payflux.alerts.sending import send
from payflux.outgoing.post import web_address
from payflux.settings import Setting, Values, optional

MOST_SUMMARY = 1024
SEVERITIES = {"elevated": "warning", "high": "error", "critical": "critical"}

ROUTING_KEY = optional(
    "PAYFLUX_ALERT_PAGERDUTY_ROUTING_KEY",
    str,
    "Integration key of a PagerDuty service (Service, Integrations, Events API v2).",
    secret=True,
)


URL = Setting(
    "PAYFLUX_ALERT_PAGERDUTY_URL",
    web_address,
    "https://events.pagerduty.com/v2/enqueue",
    "Where PagerDuty takes events; the EU service region has `https://events.eu.pagerduty.com/v2/enqueue`.",
)


class PagerDuty:
    """One service of PagerDuty."""

    def __init__(self, url: str, routing_key: str) -> None:
        self._url, self._routing_key = url, routing_key

    def requests(self, notice: Notice) -> list[Request]:
        """One event: trigger, or resolve."""
        action = "resolve" if notice.kind == "resolved" else "trigger"
        event: dict[str, Any] = {
            "routing_key": self._routing_key,
            "event_action": action,
            "dedup_key": f"payflux/{notice.incident.id}"[:255],
        }
        if action == "trigger":
            event |= self._payload(notice)
        return [Request(self._url, {"Content-Type": "application/json"}, msgspec.json.encode(event))]

    def _payload(self, notice: Notice) -> dict[str, Any]:
        incident = notice.incident
        found: dict[str, Any] = {
            "client": "PayFlux",
            "payload": {
                "summary": title(notice)[:MOST_SUMMARY],
                "source": incident.processor or "payflux",
                "severity": "info" if notice.test else SEVERITIES[incident.severity],
                "timestamp": datetime.fromtimestamp(incident.since, UTC).isoformat(timespec="milliseconds"),
                "component": incident.value or "all traffic",
                "group": incident.processor or "all",
                "class": incident.driver.name,
                "custom_details": {"message": text(notice), **as_data(notice)},
            },
        }
        if notice.runbook:
            found["links"] = [{"href": notice.runbook, "text": "What to do"}]
        return found

    def send(self, notice: Notice) -> Taken:
        """Trigger, again when it worsens, or resolve."""
        (request,) = self.requests(notice)
        return Taken(send(request).told())


def _make(values: Values) -> PagerDuty:
    return PagerDuty(values[URL], values[ROUTING_KEY] or "")


def _refuse(values: Values) -> Iterable[str]:
    if not values[ROUTING_KEY]:
        yield f"{ROUTING_KEY.name}: expected the integration key of a service"


KIND = Kind(_make, "PagerDuty, which calls whoever is on duty", (ROUTING_KEY, URL), _refuse)
