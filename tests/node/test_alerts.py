"""A node that tells: from Redis to real receivers, over the deaths of its processes."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks import Webhook

from desks import write
from incidents import incident
from needs import program
from on_call import CHANNEL, ROUTING_KEY, TOKEN, Chat, Pager
from payflux.checks.asking import ask
from payflux.risk.incidents.incident import Incident
from real_parts import MakeNode
from servers import Server, until
from stream_keys import KEYS
from their_server import receiving, serving

pytestmark = pytest.mark.process

SECRET = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()
REACH_SECONDS = 5.0


def fresh(severity: str = "high", **members: Any) -> Incident:
    """One that opens now."""
    now = int(time.time())
    return incident(severity=severity, opened=now, since=now - 30, updated=now, **members)


def test_an_incident_reaches_everybody_once_though_processes_die(make_node: MakeNode, server: Server) -> None:
    """Within five seconds; its process is killed, then the node, while it is open; the next tells its end."""
    pager, chat = Pager(), Chat()
    with serving(pager.handle) as duty, serving(chat.handle) as channel, receiving() as hook:
        node = make_node(
            {
                "PAYFLUX_ALERTS": "pagerduty,slack,webhook",
                "PAYFLUX_ALERT_PAGERDUTY_URL": f"{duty}/v2/enqueue",
                "PAYFLUX_ALERT_PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
                "PAYFLUX_ALERT_SLACK_TOKEN": TOKEN,
                "PAYFLUX_ALERT_SLACK_CHANNEL": CHANNEL,
                "PAYFLUX_ALERT_SLACK_API_URL": f"{channel}/api",
                "PAYFLUX_ALERT_WEBHOOK_URL": f"{hook.url}/incidents",
                "PAYFLUX_ALERT_WEBHOOK_SECRETS": SECRET,
                "PAYFLUX_ALERT_WEBHOOK_PRIVATE": "true",
            },
            ("serve", "--role", "export"),
        )
        until(lambda: node.logged("alerts_begin"), "that it tells")
        one, began = fresh(), time.monotonic()
        write(server, "opened", one)
        until(lambda: pager.seen and chat.messages and hook.got, "that all are told")
        assert time.monotonic() - began < REACH_SECONDS
        until(lambda: server.client.hlen(KEYS.alerts_told) == 3, "that it is noted")
        samples = node.metrics()
        assert samples['alerts_total{receiver="slack",result="sent"}'] == 1
        assert samples['alert_waiting_seconds{receiver="slack"}'] == 0

        node.kill_child("alerts")
        worse = replace(one, severity="critical", updated=one.updated + 1)
        write(server, "worsened", worse)
        until(lambda: len(hook.got) == 2 and chat.replies and len(pager.severities[pager.seen[0][1]]) == 2, "worse")
        until(lambda: "critical" in str(server.client.hget(KEYS.alerts_told, f"slack {one.id}")), "that it is noted")

        node.kill_all()
        write(server, "resolved", replace(worse, resolved=one.opened + 2, updated=one.opened + 2))
        node.start()
        until(lambda: not server.client.exists(KEYS.alerts_told), "that all know the end")
        assert node.stop() == 0
    assert [what for what, _ in pager.seen] == ["triggered", "resolved"]
    assert len(chat.messages) == 1
    assert chat.texts[0].startswith("RESOLVED: [critical] stripe")
    assert [got.json["type"] for got in hook.got] == ["incident.opened", "incident.worsened", "incident.resolved"]
    for got in hook.got:
        Webhook(SECRET).verify(got.body, got.headers)
    assert pager.problems == chat.problems == []


@pytest.fixture
def alertmanager(directory: Path) -> Iterator[str]:
    """A real one that tells nobody; its address."""
    binary = program("prometheus-alertmanager")
    (directory / "am.yml").write_text("route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n")
    log = directory / "am.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(binary, f"--config.file={directory}/am.yml", f"--storage.path={directory}/am"),
                *("--web.listen-address=127.0.0.1:0", "--cluster.listen-address="),
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: process.poll() is not None or address_in(log), "Alertmanager")
        assert process.poll() is None, log.read_text()
        yield f"http://{address_in(log)}"
    finally:
        process.kill()
        process.wait(10)


def address_in(log: Path) -> str:
    """Where it says that it listens."""
    for line in log.read_text().splitlines():
        if "127.0.0.1:" in line and "istening" in line:
            return "127.0.0.1:" + line.partition("127.0.0.1:")[2].split('"')[0].split()[0]
    return ""


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
        "risk": "high",
    }
    worse = replace(one, severity="critical", updated=one.updated + 1)
    write(server, "worsened", worse)
    until(lambda: [alert["labels"]["severity"] for alert in known(alertmanager)] == ["critical"], "that it is worse")
    write(server, "resolved", replace(worse, resolved=one.opened + 2, updated=one.opened + 2))
    until(lambda: not known(alertmanager), "its end")
    assert node.logged("alert_failed") == []
