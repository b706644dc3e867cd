import json
from contextlib import closing
from typing import Any

from desks import store_of
from incidents import NOON
from payflux.alerts.delivery import Told
from payflux.alerts.findings import judge_alerts, judge_memory
from payflux.alerts.registry import settings
from payflux.alerts.store import Memory, Trouble, field_of
from payflux.redis.address import SETTINGS as REDIS
from payflux.risk.scoring import RISK_SCORE_ENABLED
from payflux.settings import Setting, load
from servers import Server
from stream_keys import KEYS
from their_server import receiving


def found(told: dict[str, Told] | None = None, trouble: Trouble | None = None) -> list[tuple[str, str]]:
    """Verdict and reason for Slack, at noon."""
    memory = Memory({"slack": told or {}}, {"slack": trouble} if trouble else {})
    return [(finding.verdict, finding.reason) for finding in judge_memory(["slack"], memory, NOON)]


def test_what_could_not_be_told_is_named() -> None:
    """A warning at first, a failure after an hour, for what was lost, and for one that is gone."""
    assert found({"x": Told(severity="high")}) == [("pass", "nothing waits for slack")]
    assert found(trouble=Trouble(NOON - 600, "HTTP 500")) == [
        ("warn", "slack takes nothing since 10 minutes: HTTP 500")
    ]
    assert found(trouble=Trouble(NOON - 3600, "HTTP 500"))[0][0] == "fail"
    assert found(trouble=Trouble(NOON, "HTTP 410", stopped=True)) == [
        ("fail", "slack is told nothing any more: HTTP 410")
    ]
    lost = {f"i{number}": Told(severity="high", lost=True) for number in range(7)}
    assert found(lost) == [("fail", "slack was never told of 7 incidents: i0, i1, i2, i3, i4 and others")]


async def test_it_is_asked_of_redis(server: Server) -> None:
    """Nothing where nobody is told; that nothing is scored is said too."""
    declared: tuple[Setting[Any], ...] = (*REDIS, RISK_SCORE_ENABLED, *settings())
    given = {"REDIS_URL": server.url, "PAYFLUX_RISK_SCORE_ENABLED": "false"}
    assert await judge_alerts(load(declared, given), None) == []
    given["PAYFLUX_ALERTS"] = "slack"
    server.client.hset(KEYS.alerts_told, field_of("slack"), json.dumps({"since": 1.0, "why": "HTTP 500"}))
    reasons = [finding.reason for finding in await judge_alerts(load(declared, given), None)]
    assert [reason.partition(" since")[0] for reason in reasons] == [
        "slack takes nothing",
        "slack never took a test incident: whether it would take a real one is not known",
        "nothing is scored, so there are no incidents to tell of",
    ]
    with closing(store_of(server, "")) as store:
        await store.tried("slack", NOON)
    reasons = [finding.reason for finding in await judge_alerts(load(declared, given), None)]
    assert not [reason for reason in reasons if "test incident" in reason]


async def test_an_alert_that_comes_twice_is_named(server: Server) -> None:
    """From the node and from the rule that Prometheus has loaded; without that rule it comes once."""
    declared: tuple[Setting[Any], ...] = (*REDIS, RISK_SCORE_ENABLED, *settings())
    url = {"PAYFLUX_ALERT_ALERTMANAGER_URLS": "http://127.0.0.1:1"}
    values = load(declared, {"REDIS_URL": server.url, "PAYFLUX_ALERTS": "alertmanager", **url})
    with receiving() as prometheus:
        for rules, twice in ((["ProcessorRiskHigh", "PayFluxIncident"], True), (["ProcessorRiskHigh"], False)):
            told = {"data": {"groups": [{"rules": [{"name": name} for name in rules]}]}}
            prometheus.answers.append((200, {}, json.dumps(told).encode()))
            found = await judge_alerts(values, prometheus.url)
            assert any("told of incidents twice" in one.reason for one in found) is twice
