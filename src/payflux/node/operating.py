"""The operations child of a node: builds what operators read, so that nothing of it is built beside events.

Run as `python -m payflux.node.operating PLAN`; it is the only one that needs what pages are made with.
"""

from collections.abc import Mapping

from payflux.alerts import registry as alerts
from payflux.exporters.registry import EXPORT_MODE
from payflux.http.messages import JSON
from payflux.http.router import Router
from payflux.http.server import HttpServer
from payflux.node.child import main
from payflux.node.composition import readiness_of
from payflux.node.exporting import numbers_of
from payflux.node.plan import Plan
from payflux.operations.export_health import ExportHealth
from payflux.operations.exposition import Scrape
from payflux.operations.pages import PROMETHEUS, Page
from payflux.operations.reads import Reads
from payflux.operations.relay import EXPORT_HEALTH_PATH, METRICS_PATH, Fetched
from payflux.redis.address import address_of
from payflux.redis.append import RedisAppender
from payflux.redis.keys import Keys
from payflux.redis.monitor import RedisMonitor
from payflux.redis.risk.view import RiskView
from payflux.settings import Values
from payflux.telemetry.metrics import Metrics
from payflux.telemetry.notes import CONSUMER


def servers_of(
    plan: Plan,
    values: Values,
    metrics: Metrics,
    appender: RedisAppender,
    admin: RedisMonitor,
    *,
    webhooks: Mapping[str, RedisAppender],
) -> list[tuple[HttpServer, tuple[int, ...]]]:
    """The HTTP server of the operations child, with the descriptors it listens on: for the node's other children.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child.
        appender: tries what theirs do.
        admin: asks Redis what operators want to know.
        webhooks: none, as it takes none.
    """
    del webhooks
    exporters, consumer = numbers_of(plan), Metrics(metrics.slab, CONSUMER) if plan.node_consumes else None
    readiness = readiness_of(plan, metrics, appender, admin)
    scrape = Scrape(metrics.slab, admin, readiness, exporters, runbook=values[alerts.RUNBOOK_URL])
    mode = values[EXPORT_MODE]
    export_health = ExportHealth(values.text(EXPORT_MODE) or "", mode, consumer, exporters)
    answers = {
        METRICS_PATH: Page(scrape.text, PROMETHEUS).answer,
        EXPORT_HEALTH_PATH: Page(export_health.text, JSON).answer,
        **Reads(RiskView(address_of(values), Keys()), admin.progress).answers(),
    }
    routes = {path: {"GET": Fetched(answer, plan.token)} for path, answer in answers.items()}
    return [(HttpServer(Router(routes)), plan.listeners)]


if __name__ == "__main__":
    main(servers_of)
