"""What a child of a node is made of: the composition root."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from payflux.alerts import registry as alerts
from payflux.alerts.delivery import Delivery
from payflux.alerts.desk import Desk
from payflux.alerts.selection import selection_of
from payflux.alerts.store import AlertStore, Memory
from payflux.alerts.telling import Teller
from payflux.consume.consumer import CLAIM_IDLE_SEC, MAX_DELIVERIES, Consumer
from payflux.consume.line import Enricher
from payflux.event.intake import BATCH_PATH, EVENT_PATH
from payflux.event.outcome import OUTCOMES
from payflux.exporters import Opening
from payflux.exporters.fanout import EXPORT_QUEUE_BYTES, ExporterQueue, FanOut, fan_out, former_settled
from payflux.exporters.registry import EXPORT_ACK, EXPORT_MODE, used
from payflux.http.limits import HTTP_KEEPALIVE_SEC, HTTP_UNFINISHED_PER_PEER, Limits
from payflux.http.messages import Handler
from payflux.http.router import Router
from payflux.http.server import HttpServer
from payflux.ingest.batch import IngestBatch
from payflux.ingest.counters import RefusalCounter
from payflux.ingest.gatekeeper import METRICS_TOKEN, Gatekeeper, keys_of, read_keys_of
from payflux.ingest.single import Ingest
from payflux.ingest.token_bucket import RATELIMIT_BURST, RATELIMIT_RPS, TokenBucket
from payflux.node.announcing import Announcer
from payflux.node.incident_lines import INCIDENT_FILE, INCIDENTS, TakingTurns, incident_lines
from payflux.node.plan import Plan
from payflux.operations import checkout, front_page, openapi
from payflux.operations.health import Readiness
from payflux.operations.reads import READ_PATHS
from payflux.operations.relay import EXPORT_HEALTH_PATH, METRICS_PATH, Relay
from payflux.operations.routes import Guard, everybody, key_guard, moved, probes, token_guard
from payflux.redis.address import address_of
from payflux.redis.append import DEDUP_TTL_SEC, STREAM_MAXLEN, RedisAppender
from payflux.redis.follow import RedisReader
from payflux.redis.keys import Keys
from payflux.redis.monitor import RedisMonitor
from payflux.risk.scoring import RISK_EVIDENCE, RISK_SCORE_ENABLED, Scorer, limits_of
from payflux.settings import Values
from payflux.stream.protocol import GROUP
from payflux.telemetry.highest_number import HighestNumber
from payflux.telemetry.metrics import (
    ALERT_WAITING,
    ALERTS_TOTAL,
    CONSUMER_ACTIVE,
    OF_THE_ACTIVE,
    Metrics,
    place_of,
)
from payflux.telemetry.notes import CONSUMER, SUPERVISOR
from payflux.webhooks import DAY
from payflux.webhooks import Opening as WebhookOpening
from payflux.webhooks.endpoint import Challenge, Parts, WebhookEndpoint
from payflux.webhooks.identifiers import hasher_of
from payflux.webhooks.normal import Normaliser
from payflux.webhooks.registry import WEBHOOK_RPS, live, path_of, secrets_of


def appender_of(plan: Plan, values: Values, metrics: Metrics, producers: Callable[[], int]) -> RedisAppender:
    """The write path to Redis.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child.
        producers: tells how many connections may bring events.
    """
    highest = HighestNumber(metrics.slab, place_of(metrics.slab, plan.child))
    return RedisAppender(
        address_of(values),
        Keys(),
        maxlen=values[STREAM_MAXLEN],
        window_sec=values[DEDUP_TTL_SEC],
        told=highest.told,
        heard=highest.heard,
        producers=producers,
    )


def webhook_appenders_of(
    plan: Plan, values: Values, metrics: Metrics, producers: Callable[[], int]
) -> dict[str, RedisAppender]:
    """The write path of each processor's webhooks: marks of its own, remembered for longer than it repeats itself.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child.
        producers: tells how many connections may bring events.
    """
    if not plan.ingests:
        return {}
    found = {}
    for number, (name, source) in enumerate(live(values).items(), 1):  # 0 is the producers'
        highest = HighestNumber(metrics.slab, place_of(metrics.slab, plan.child, number))
        found[name] = RedisAppender(
            address_of(values),
            Keys(),
            maxlen=values[STREAM_MAXLEN],
            window_sec=(source.days + 1) * DAY,
            told=highest.told,
            heard=highest.heard,
            producers=producers,
            client=f"payflux-webhooks-{name}",
            source=name,
        )
    return found


def routes_of(
    plan: Plan,
    values: Values,
    metrics: Metrics,
    appender: RedisAppender,
    admin: RedisMonitor,
    *,
    webhooks: Mapping[str, RedisAppender],
) -> dict[str, dict[str, Handler]]:
    """The paths a child answers, by method.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child.
        appender: its write path.
        admin: asks Redis what operators want to know.
        webhooks: its write paths of webhooks, by processor.
    """
    found = probes(readiness_of(plan, metrics, appender, admin)) | _relayed_routes(plan, values, metrics)
    if plan.ingests:
        found |= _producers_routes(plan, values, metrics, appender)
        found |= _webhook_routes(plan, values, metrics, webhooks)
    found |= front_page.route(found)
    return found | openapi.route(found)


def readiness_of(plan: Plan, metrics: Metrics, appender: RedisAppender, admin: RedisMonitor) -> Readiness:
    """Whether the node can do its work, as a child sees it.

    Args:
        plan: of the child.
        metrics: of the child.
        appender: its write path.
        admin: asks Redis what operators want to know.
    """
    consumer = Metrics(metrics.slab, CONSUMER) if plan.node_consumes else None
    return Readiness(appender.probe, admin.progress, Metrics(metrics.slab, SUPERVISOR).notes, consumer)


def servers_of(
    plan: Plan,
    values: Values,
    metrics: Metrics,
    appender: RedisAppender,
    admin: RedisMonitor,
    *,
    webhooks: Mapping[str, RedisAppender],
) -> list[tuple[HttpServer, tuple[int, ...]]]:
    """The HTTP servers of a child, each with the descriptors it listens on; that for producers comes first.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child.
        appender: its write path.
        admin: asks Redis what operators want to know.
        webhooks: its write paths of webhooks, by processor.
    """
    if not plan.listeners:
        return []
    everything = routes_of(plan, values, metrics, appender, admin, webhooks=webhooks)
    shares = zip(moved(everything) if plan.admin else [everything], (plan.listeners, plan.admin), strict=False)
    limits = Limits(idle_seconds=values[HTTP_KEEPALIVE_SEC], unfinished_per_peer=values[HTTP_UNFINISHED_PER_PEER])
    refused = RefusalCounter(metrics, (EVENT_PATH, BATCH_PATH))
    return [(HttpServer(Router(paths), limits, refused=refused), listeners) for paths, listeners in shares]


def _relayed_routes(plan: Plan, values: Values, metrics: Metrics) -> dict[str, dict[str, Handler]]:
    """What the operations child answers, by way of whoever took the request."""
    keys = key_guard([*keys_of(values), *read_keys_of(values)], metrics)
    guards: dict[str, Guard] = {
        METRICS_PATH: token_guard(values[METRICS_TOKEN], metrics),
        EXPORT_HEALTH_PATH: everybody,
    }
    guards |= dict.fromkeys(READ_PATHS, keys)
    return {path: {"GET": Relay(plan.operations, plan.token, guard)} for path, guard in guards.items()}


def _producers_routes(
    plan: Plan, values: Values, metrics: Metrics, appender: RedisAppender
) -> dict[str, dict[str, Handler]]:
    bucket = TokenBucket(values[RATELIMIT_RPS], values[RATELIMIT_BURST], metrics.slab, alone=plan.workers == 1)
    gatekeeper = Gatekeeper(keys_of(values), bucket)
    found: dict[str, dict[str, Handler]] = {
        EVENT_PATH: {"POST": Ingest(appender, gatekeeper, metrics)},
        BATCH_PATH: {"POST": IngestBatch(appender, gatekeeper, metrics)},
    }
    if values[checkout.CHECKOUT_ENABLED]:
        sessions = checkout.StripeSessions(checkout.offer_of(values))
        found["/checkout"] = {"POST": checkout.Checkout(gatekeeper, metrics, sessions.open)}
    return found


def _webhook_routes(
    plan: Plan, values: Values, metrics: Metrics, appenders: Mapping[str, RedisAppender]
) -> dict[str, dict[str, Handler]]:
    rate, first = values[WEBHOOK_RPS], len(keys_of(values))  # their rates lie behind those of the keys
    bucket = TokenBucket(rate, rate, metrics.slab, alone=plan.workers == 1)
    found: dict[str, dict[str, Handler]] = {}
    for number, (name, source) in enumerate(live(values).items(), first):
        secrets = values[secrets_of(name)] or ()
        adapter = source.make(WebhookOpening(values, secrets))
        normaliser = Normaliser(name, hasher_of(values))
        parts = Parts(name, source, adapter, normaliser, appenders[name], bucket, number)
        found[path_of(name)] = {"POST": WebhookEndpoint(parts, metrics)}
        if source.challenge is not None:
            found[path_of(name)]["GET"] = Challenge(partial(source.challenge, secrets=secrets))
    return found


def fan_out_of(plan: Plan, values: Values, metrics: Metrics) -> FanOut:
    """The exporters of the node, each behind its queue.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child.
    """
    return _exporting(plan, values, metrics)[0]


def _exporting(plan: Plan, values: Values, metrics: Metrics) -> tuple[FanOut, ExporterQueue | None]:
    """The exporters, and what takes incident lines; they take turns where both write to stdout."""
    exporters, turns, shared = {}, threading.Lock(), values[INCIDENT_FILE] == "-"
    for name, destination in used(values).items():
        exporter = destination.make(Opening(values, plan.stdout, torn=_is_torn(metrics, name)))
        exporters[name] = TakingTurns(exporter, turns) if shared and name == "stdout" else exporter
    queue_bytes, lines = values[EXPORT_QUEUE_BYTES], None
    if values[INCIDENT_FILE] is not None:
        own = incident_lines(values, plan.stdout, turns, torn=_is_torn(metrics, INCIDENTS))
        lines = ExporterQueue(INCIDENTS, own, metrics, queue_bytes)
    return fan_out(exporters, metrics, queue_bytes, [lines] if lines is not None else []), lines


def _is_torn(metrics: Metrics, destination: str) -> bool:
    """Whether a former process of this node died while it wrote to a destination."""
    return bool(metrics.notes.destination(metrics.destinations.index(destination)).writing)


def consumer_of(plan: Plan, values: Values, metrics: Metrics) -> tuple[Consumer, FanOut]:
    """The consumer, and what takes its lines; to be made once in a process.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child.
    """
    for gauge in (CONSUMER_ACTIVE, *OF_THE_ACTIVE):
        metrics.blank(gauge)  # what a former process of this child left says nothing of this one
    mode = values[EXPORT_MODE]
    settled = former_settled(metrics, mode)
    exporting, lines = _exporting(plan, values, metrics)
    scorer = Scorer(limits_of(values)) if values[RISK_SCORE_ENABLED] else None
    score = scorer.score if scorer is not None else None
    consumer = Consumer(
        RedisReader(address_of(values), Keys(), GROUP, plan.consumer, plan.token),
        Enricher(plan.consumer, score, metrics, values[OUTCOMES], evidence=values[RISK_EVIDENCE]),
        exporting,
        metrics,
        scorer=scorer,
        announce=Announcer(metrics, lines).announce,
        runbook=values[alerts.RUNBOOK_URL],
        maxlen=values[STREAM_MAXLEN],
        token=plan.token,
        claim_idle=values[CLAIM_IDLE_SEC],
        max_deliveries=values[MAX_DELIVERIES],
        export_first=values[EXPORT_ACK] == "export_then_ack",
        former_settled=settled,
    )
    return consumer, exporting


def desk_of(plan: Plan, values: Values, metrics: Metrics) -> Desk:
    """Who tells receivers of incidents.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child.
    """
    kinds = alerts.used(values)
    receivers = {name: kind.make(values) for name, kind in kinds.items()}
    threads, runbook = ThreadPoolExecutor(max(1, len(kinds)), "alerts"), alerts.runbook_of(values)

    def tellers(memory: Memory) -> list[Teller]:
        found = []
        for name, kind in kinds.items():
            delivery = Delivery(kind, selection_of(name, values), memory.told.get(name, {}), runbook)
            count = partial(_count_alert, metrics, metrics.receivers.index(name))
            found.append(Teller(name, receivers[name], delivery, count, threads, memory.troubles.get(name)))
        return found

    return Desk(AlertStore(address_of(values), Keys(), plan.token), tellers, partial(_show_waiting, metrics))


def _count_alert(metrics: Metrics, receiver: int, result: str, number: int) -> None:
    metrics.add(ALERTS_TOTAL, receiver, result, n=number)


def _show_waiting(metrics: Metrics, tellers: Sequence[Teller]) -> None:
    """Who does not tell does not know."""
    metrics.blank(ALERT_WAITING)
    for teller in tellers:
        metrics.set(ALERT_WAITING, metrics.receivers.index(teller.name), to=teller.waiting())
