"""What an exporter with a group of its own is made of: a consumer like any other, which scores nothing."""

from collections.abc import Callable, Collection

from payflux.consume.consumer import CLAIM_IDLE_SEC, MAX_DELIVERIES, Consumer
from payflux.consume.line import Enricher
from payflux.consume.onward.assessed import Assessed
from payflux.consume.onward.gather import Gatherer
from payflux.event.outcome import OUTCOMES
from payflux.exporters import GroupOpening
from payflux.exporters.choosing import Choice
from payflux.exporters.delivery import DeliveryQueue
from payflux.exporters.fanout import FanOut, former_settled
from payflux.exporters.grouped import EXPORT_FROM, batch_of, common, group_destination, group_of, running, tls_of
from payflux.exporters.registry import EXPORT_MODE, EXPORTERS
from payflux.node.incident_lines import INCIDENT_FILE, INCIDENTS
from payflux.node.plan import Plan
from payflux.redis.address import address_of
from payflux.redis.append import STREAM_MAXLEN
from payflux.redis.follow import RedisReader
from payflux.redis.history import StreamHistory
from payflux.redis.keys import Keys
from payflux.risk.scoring import RISK_EVIDENCE, RISK_SCORE_ENABLED
from payflux.settings import Values
from payflux.telemetry.metrics import CONSUMER_ACTIVE, OF_THE_ACTIVE, Metrics, create_slab, give_destinations
from payflux.telemetry.notes import CONSUMER
from payflux.telemetry.slab import Slab


def destinations_of(values: Values) -> list[str]:
    """The names of every destination a node may have, in the order of their numbers."""
    own = [name for name in values[EXPORT_MODE] if name not in EXPORTERS]
    incidents = [INCIDENTS] if values[INCIDENT_FILE] is not None else []
    return [*EXPORTERS, *own, *running(values), *incidents]


def exporter_slab(values: Values) -> Slab:
    """Memory for the numbers of one exporter: the metrics of the node are those of the group that scores."""
    slab = create_slab([CONSUMER])
    give_destinations(slab, destinations_of(values))
    return slab


def numbers_of(plan: Plan) -> dict[str, Metrics]:
    """The numbers of the exporters of a node, by name."""
    return {name: Metrics(Slab(fd), CONSUMER) for name, fd in plan.exporters.items()}


def opening_of(values: Values, name: str, consumer: str, processors: Collection[str] = ()) -> GroupOpening:
    """What an exporter is made of.

    Args:
        values: the settings of the node.
        name: of the exporter.
        consumer: name in the group.
        processors: of which alone it is given lines, beside what its settings leave out; of all where none is named.
    """
    timeout, chosen = values[common(name).timeout_sec], _choice(values, name).text(processors)
    return GroupOpening(values, name, timeout, consumer, tls_of(values, name), chosen)


def wants_of(values: Values, name: str) -> Callable[[bytes], bool] | None:
    """Which lines an exporter is to be given; None for all of them."""
    choice = _choice(values, name)
    return None if choice.takes_all else choice.takes


def _choice(values: Values, name: str) -> Choice:
    of = common(name)
    processors, types, outcomes = values[of.processors], values[of.event_types], values[of.outcomes]
    return Choice(processors or (), types or (), outcomes or (), values[of.least_band], values[OUTCOMES])


def exporter_of(plan: Plan, values: Values, metrics: Metrics) -> tuple[Consumer, FanOut]:
    """The consumer of an exporter, and what takes its lines; to be made once in a process.

    Args:
        plan: of the child.
        values: the settings of the node.
        metrics: of the child, in which nothing of this is counted.
    """
    del metrics
    name = plan.exports
    numbers = numbers_of(plan)[name]
    for gauge in (CONSUMER_ACTIVE, *OF_THE_ACTIVE):
        numbers.blank(gauge)
    settled = former_settled(numbers, [name])
    exporter = group_destination(name).make(opening_of(values, name, plan.consumer))
    longest = float(values[common(name).backoff_sec])
    fan_out = FanOut([DeliveryQueue(name, exporter, numbers, wants_of(values, name), longest)])
    consumer = _consumer(plan, values, numbers, fan_out, settled)
    return consumer, fan_out


def _consumer(plan: Plan, values: Values, numbers: Metrics, fan_out: FanOut, settled: int) -> Consumer:
    address, keys, name = address_of(values), Keys(), plan.exports
    at_newest = values[EXPORT_FROM] == "newest"
    stream = RedisReader(address, keys, group_of(name), plan.consumer, plan.token, at_newest=at_newest)
    assessed = None
    if values[RISK_SCORE_ENABLED]:
        assessed = Assessed(StreamHistory(address, keys, f"payflux-{name}-risk"))
    score = None if assessed is None else assessed.history.score
    return Consumer(
        stream,
        Enricher(plan.consumer, score, numbers, values[OUTCOMES], evidence=values[RISK_EVIDENCE]),
        fan_out,
        numbers,
        maxlen=values[STREAM_MAXLEN],
        token=plan.token,
        claim_idle=values[CLAIM_IDLE_SEC],
        max_deliveries=values[MAX_DELIVERIES],
        export_first=True,
        former_settled=settled,
        reader=Gatherer(stream, batch_of(values, name)),
        reach=None if assessed is None else assessed.reach,
    )
