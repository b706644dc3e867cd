"""Alerts as `payflux check` sees them: whether every receiver is told, and by whom."""

import json
import time
from collections.abc import Collection, Iterator
from contextlib import closing

from payflux.alerts.delivery import OVERDUE_SEC
from payflux.alerts.registry import used
from payflux.alerts.store import AlertStore, Memory
from payflux.checks.asking import ask
from payflux.errors import StreamUnavailable
from payflux.finding import Finding
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.risk.scoring import RISK_SCORE_ENABLED
from payflux.settings import Values

RULE = "PayFluxIncident"
MOST_NAMED = 5


async def judge_alerts(values: Values, prometheus: str | None) -> list[Finding]:
    """Whether receivers take what they are told; nothing where a node has none.

    Args:
        values: the settings of the node.
        prometheus: address of the Prometheus that scrapes it; None when it was not given.
    """
    names = list(used(values))
    if not names:
        return []
    with closing(AlertStore(address_of(values), Keys())) as store:
        try:
            memory, tested = await store.memory(), await store.tested()
        except StreamUnavailable:
            return []  # what is wrong with Redis is said already
    found = [*judge_memory(names, memory, time.time()), *_judge_rule(names, prometheus)]
    for name in sorted(set(names) - tested):
        reason = f"{name} never took a test incident: whether it would take a real one is not known"
        found.append(Finding("alerts", "warn", reason, f"payflux alerts test {name}"))
    if not values[RISK_SCORE_ENABLED]:
        fix = f"set {RISK_SCORE_ENABLED.name}=true, or leave PAYFLUX_ALERTS empty"
        found.append(Finding("alerts", "warn", "nothing is scored, so there are no incidents to tell of", fix))
    return found


def judge_memory(names: Collection[str], memory: Memory, now: float) -> Iterator[Finding]:
    """What receivers could not be told.

    Args:
        names: of the receivers of a node.
        memory: what is remembered of all.
        now: Unix time.
    """
    well = True
    for name in names:
        trouble, lost = memory.troubles.get(name), [one for one, told in memory.told.get(name, {}).items() if told.lost]
        if trouble is not None:
            late = trouble.stopped or now - trouble.since >= OVERDUE_SEC
            how = (
                "is told nothing any more" if trouble.stopped else f"takes nothing since {_minutes(trouble.since, now)}"
            )
            fix = "put its settings right, then start the node anew" if trouble.stopped else "see docs/alerting.md"
            yield Finding("alerts", "fail" if late else "warn", f"{name} {how}: {trouble.why}", fix)
        if lost:
            listed = ", ".join(lost[:MOST_NAMED]) + (" and others" if len(lost) > MOST_NAMED else "")
            fix = "payflux incidents show tells what they were; the node's log says why"
            yield Finding("alerts", "fail", f"{name} was never told of {len(lost)} incidents: {listed}", fix)
        well = well and trouble is None and not lost
    if well:
        yield Finding("alerts", "pass", f"nothing waits for {', '.join(names)}")


def _minutes(since: float, now: float) -> str:
    return f"{max(now - since, 0) / 60:.0f} minutes"


def _judge_rule(names: Collection[str], prometheus: str | None) -> Iterator[Finding]:
    """The rule and the receiver of Alertmanager raise the same alert: one of the two is enough."""
    if prometheus is None or "alertmanager" not in names:
        return
    try:
        data = json.loads(ask(f"{prometheus}/api/v1/rules?type=alert").body)["data"]
        rules = {rule["name"] for group in data["groups"] for rule in group["rules"]}
    except (OSError, ValueError, KeyError, TypeError):
        return  # said by the finding about Prometheus
    if RULE in rules:
        fix = f"take the rule {RULE} out of Prometheus, or alertmanager out of PAYFLUX_ALERTS"
        yield Finding("alerts", "warn", f"Alertmanager is told of incidents twice: by the node and by {RULE}", fix)
