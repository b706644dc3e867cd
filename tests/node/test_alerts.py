"""A node that tells: from Redis to real receivers, over the deaths of its processes."""

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks import Webhook

from desks import write
from incidents import incident
from needs import program
from nodes import KEY, Node, event
from on_call import CHANNEL, ROUTING_KEY, TOKEN, Chat, Pager
from outbreak import Outbreak
from payflux.checks.asking import ask
from payflux.risk.incidents.incident import Incident
from real_parts import MakeNode
from scripts.dashboards.prometheus import Monitor
from servers import Server, until
from stream_keys import KEYS
from their_server import receiving, serving

pytestmark = pytest.mark.process

SECRET = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()
REACH_SECONDS = 5.0
SCORING = {"PAYFLUX_RISK_SCORE_WINDOW_SEC": "20"}


def fresh(severity: str = "high", **members: Any) -> Incident:
    """One that opens now."""
    now = int(time.time())
    return incident(severity=severity, opened=now, since=now - 30, updated=now, **members)


class Duty:
    """Everybody who is told: a phone, a channel, a webhook.

    Args:
        stack: ends them.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.pager, self.chat = Pager(), Chat()
        duty, channel = stack.enter_context(serving(self.pager.handle)), stack.enter_context(serving(self.chat.handle))
        self.hook = stack.enter_context(receiving())
        self.environ = {
            "PAYFLUX_ALERTS": "pagerduty,slack,webhook",
            "PAYFLUX_ALERT_PAGERDUTY_URL": f"{duty}/v2/enqueue",
            "PAYFLUX_ALERT_PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
            "PAYFLUX_ALERT_SLACK_TOKEN": TOKEN,
            "PAYFLUX_ALERT_SLACK_CHANNEL": CHANNEL,
            "PAYFLUX_ALERT_SLACK_API_URL": f"{channel}/api",
            "PAYFLUX_ALERT_WEBHOOK_URL": f"{self.hook.url}/incidents",
            "PAYFLUX_ALERT_WEBHOOK_SECRETS": SECRET,
            "PAYFLUX_ALERT_WEBHOOK_PRIVATE": "true",
        }

    def check(self, *, worsened: bool) -> None:
        """Each saw one beginning and one end, and in between nothing but that it became worse.

        Args:
            worsened: it did, so somebody must have been told.
        """
        assert [what for what, _ in self.pager.seen] == ["triggered", "resolved"]
        assert len(self.chat.messages) == 1
        assert self.chat.texts[0].startswith("RESOLVED: [critical] stripe")
        news = dict.fromkeys((got.headers["webhook-id"], got.json["type"]) for got in self.hook.got)
        kinds = [kind for _, kind in news]
        assert (kinds[0], kinds[-1]) == ("incident.opened", "incident.resolved")
        assert set(kinds[1:-1]) <= {"incident.worsened"}
        assert not worsened or kinds[1:-1]
        for got in self.hook.got:
            Webhook(SECRET).verify(got.body, got.headers)
        assert self.pager.problems == self.chat.problems == []


def test_an_incident_reaches_everybody_once_though_processes_die(make_node: MakeNode, server: Server) -> None:
    """Payments fail, and all know within five seconds; who tells, who scores and Redis die while they do."""
    with ExitStack() as stack:
        duty = Duty(stack)
        node = make_node(duty.environ | SCORING)
        server.client.config_set("appendfsync", "always")
        until(lambda: node.logged("alerts_begin"), "that it tells")
        payments = Outbreak(server, 1)
        while not server.client.hlen(KEYS.incidents_open):
            payments.last(1, failing=0.6)
            until(payments.scored, "that it is scored")
        began = time.monotonic()
        until(lambda: all((duty.pager.seen, duty.chat.messages, duty.hook.got)), "that all are told")
        assert time.monotonic() - began < REACH_SECONDS
        until(lambda: server.client.hlen(KEYS.alerts_told) == 3, "that it is noted")
        for fault in ("alerts", "consumer", "redis"):
            payments.last(8, failing=1.0)
            disturb(fault, node, server)
        until(lambda: "WORSE" in str(duty.chat.replies), "that it is worse", 60)
        payments.last(90, failing=0.0)
        until(
            lambda: len(duty.pager.seen) == 2 and not server.client.exists(KEYS.alerts_told),
            "that all know the end",
            60,
        )
        assert node.stop() == 0
        duty.check(worsened=True)


def disturb(fault: str, node: Node, server: Server) -> None:
    """Kill something, and wait until it is back."""
    if fault == "redis":
        server.kill()
        server.start()
    elif fault == "node":
        node.kill_all()
        node.start()
    else:
        node.kill_child(fault)


@pytest.fixture
def alertmanager(directory: Path) -> Iterator[str]:
    """A real one that tells nobody; its address."""
    configuration = directory / "am.yml"
    configuration.write_text("route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n")
    command = (program("prometheus-alertmanager"), f"--config.file={configuration}", "--storage.path=data")
    flags = ("--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=")
    monitor = Monitor(directory / "am", (*command, *flags))
    yield monitor.url
    monitor.stop()


def known(url: str) -> list[dict[str, Any]]:
    """The alerts it has, those that have ended left out."""
    found: list[dict[str, Any]] = json.loads(ask(f"{url}/api/v2/alerts").body)
    return found


def test_a_real_alertmanager_has_the_alert_while_it_is_open(
    make_node: MakeNode, server: Server, alertmanager: str
) -> None:
    """One alert, that becomes worse and ends; a node with the role `all` tells too."""
    node = make_node({"PAYFLUX_ALERTS": "alertmanager", "PAYFLUX_ALERT_ALERTMANAGER_URLS": alertmanager})
    until(lambda: node.logged("alerts_begin"), "that it tells")
    one = fresh()
    write(server, "opened", one)
    until(lambda: known(alertmanager), "the alert")
    assert known(alertmanager)[0]["labels"] == {
        "alertname": "PayFluxIncident",
        "incident": one.id,
        "processor": "stripe",
        "driver": "segment_degradation",
        "dimension": "geo",
        "value": "GB",
        "severity": "warning",
        "incident_severity": "high",
        "job": "payflux",
    }
    worse = replace(one, severity="critical", updated=one.updated + 1)
    write(server, "worsened", worse)
    until(
        lambda: [alert["labels"]["severity"] for alert in known(alertmanager)] == ["critical"], "that it is worse", 60
    )
    write(server, "resolved", replace(worse, resolved=one.opened + 2, updated=one.opened + 2))
    until(lambda: not known(alertmanager), "its end")
    assert node.logged("alert_failed") == []


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_traffic_by_http_reaches_everybody_within_seconds(
    make_node: MakeNode, server: Server, alertmanager: str
) -> None:
    """Producers send; all know within five seconds of the opening, and of the end, though one was down meanwhile."""
    with ExitStack() as stack:
        duty = Duty(stack)
        environ = duty.environ | SCORING | {"PAYFLUX_ALERT_ALERTMANAGER_URLS": alertmanager}
        node = make_node(environ | {"PAYFLUX_ALERTS": "pagerduty,slack,webhook,alertmanager"})
        until(lambda: node.logged("alerts_begin"), "that it tells")
        failing = threading.Event()
        failing.set()
        over = stack.enter_context(producing(node, failing))
        until(lambda: server.client.hlen(KEYS.incidents_open), "that payments fail", 60)
        opened = time.time()
        until(
            lambda: all((duty.pager.seen, duty.chat.messages, duty.hook.got, known(alertmanager))),
            "that all are told",
        )
        assert time.time() - opened < REACH_SECONDS
        duty.pager.down = True
        node.kill_child("alerts")
        failing.clear()
        until(lambda: str(duty.chat.texts[0]).startswith("RESOLVED"), "that others know the end", 300)
        assert [what for what, _ in duty.pager.seen] == ["triggered"]
        duty.pager.down = False
        until(lambda: len(duty.pager.seen) == 2 and not server.client.exists(KEYS.alerts_told), "the end", 120)
        over.set()
        assert known(alertmanager) == []
        duty.check(worsened=False)


@contextmanager
def producing(node: Node, failing: threading.Event) -> Iterator[threading.Event]:
    """Send twenty events a second that fail or succeed, until what is returned is set, or the block is left."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.25):
            outcome = "payment_failed" if failing.is_set() else "payment_succeeded"
            category = "processor_error" if failing.is_set() else ""
            told = {"event_type": outcome, "failure_category": category, "retry_result": "", "processor": "stripe"}
            node.post_batch([event(event_id=str(uuid.uuid4()), **told) for _ in range(5)])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield over
    finally:
        over.set()
        thread.join()


FAULTS = ("alerts", "consumer", "redis", "node", "take-over", "nothing")


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, 7))
def test_one_trouble_is_one_incident_whatever_dies(
    seed: int, make_node: MakeNode, server: Server, alertmanager: str, directory: Path
) -> None:
    """Two nodes, and eight faults at random moments: one beginning and one end, for everybody and in every place."""
    random = Random(seed)
    with ExitStack() as stack:
        duty = Duty(stack)
        environ = duty.environ | SCORING | {"PAYFLUX_ALERT_ALERTMANAGER_URLS": alertmanager}
        environ |= {"PAYFLUX_ALERTS": "pagerduty,slack,webhook,alertmanager"}
        files = [directory / f"incidents-{number}.jsonl" for number in range(2)]
        nodes = [make_node(environ | {"PAYFLUX_INCIDENT_FILE": str(file)}) for file in files]
        server.client.config_set("appendfsync", "always")
        payments = Outbreak(server, seed)
        for _ in range(8):
            payments.last(random.randint(1, 6), failing=1.0)
            random_pause(random)
            disturb_one(random.choice(FAULTS), random.choice(nodes), server)
        payments.last(90, failing=0.0)
        until(lambda: len(duty.pager.seen) == 2 and not server.client.exists(KEYS.alerts_told), "the end", 60)
        assert known(alertmanager) == []
        headers = {"Authorization": f"Bearer {KEY}"}
        for node in nodes:
            (found,) = json.loads(node.request("GET", "/v1/incidents", headers=headers)[1])["incidents"]
            assert (found["state"], found["processor"]) == ("resolved", "stripe")
        assert [node.stop() for node in nodes] == [0, 0]
        duty.check(worsened=False)
        lines = [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]
        changes = [line["change"] for line in lines]
        assert max(changes.count("opened"), changes.count("resolved")) <= 1
        assert {line["id"] for line in lines} <= {found["id"]}


def random_pause(random: Random) -> None:
    """Until a moment that nobody has chosen."""
    ends = time.monotonic() + random.random()
    until(lambda: time.monotonic() > ends, "a moment")


def disturb_one(fault: str, node: Node, server: Server) -> None:
    """Kill something of one of two nodes, or end it so that the other takes over."""
    if fault == "take-over":
        assert node.stop() == 0
        node.start()
    elif fault != "nothing":
        disturb(fault, node, server)
