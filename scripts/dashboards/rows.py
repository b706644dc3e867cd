"""The rows of the Grafana dashboard, in their order."""

from scripts.dashboards.incidents import INCIDENTS
from scripts.dashboards.panels import ALERTS, CONSUMER, EXPORT, FAILURES, OVERVIEW, REDIS, RISK, TRAFFIC, WEBHOOKS

ROWS = {
    "Now": OVERVIEW,
    "Incidents": INCIDENTS,
    "Traffic and acceptance": TRAFFIC,
    "Webhooks of processors": WEBHOOKS,
    "Risk": RISK,
    "Failures and retries": FAILURES,
    "Consumer": CONSUMER,
    "Export": EXPORT,
    "Alerts": ALERTS,
    "Redis": REDIS,
}
