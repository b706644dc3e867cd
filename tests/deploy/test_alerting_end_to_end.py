"""From a payment incident to a message at somebody's door: real node, Prometheus, Alertmanager and receiver."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from needs import program
from nodes import Node, event
from queries import ROOT, RULES
from real_parts import MakeNode
from scripts.dashboards.prometheus import Monitor, Prometheus
from scripts.scenes.monitors import Inbox
from servers import until

ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
SECONDS = 20.0

pytestmark = pytest.mark.process


def told(inbox: Inbox, name: str, status: str = "firing") -> dict[str, Any]:
    """Wait for the alert of this name; fails when none comes in time."""
    until(lambda: inbox.told(name, status), f"{name} to be {status}", SECONDS)
    return inbox.told(name, status)[0]


def hurried_rules(directory: Path) -> Path:
    """The rules that ship, but with little waiting and looked at often."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        group["interval"] = "500ms"
        for rule in group["rules"]:
            rule.update({"for": "1s"} if "for" in rule else {}, expr=rule["expr"].replace("[1m]", "[5s]"))
    path = directory / RULES.name
    path.write_text(yaml.safe_dump(rules))
    return path


def hurried_routes(directory: Path, receiver: str) -> Path:
    """The routes that ship, but with little waiting and to our own receiver."""
    routes = yaml.safe_load(ALERTMANAGER.read_text())
    for route in (routes["route"], *routes["route"]["routes"]):
        route |= {"group_wait": "100ms", "group_interval": "500ms"}
    routes["receivers"][0]["webhook_configs"][0]["url"] = receiver
    path = directory / ALERTMANAGER.name
    path.write_text(yaml.safe_dump(routes))
    return path


def configuration(directory: Path, nodes: Sequence[Node], alertmanager: Monitor) -> Path:
    """The configuration that ships, with our addresses and short intervals."""
    shipped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    # No more often than a page is built anew: else a scrape waits for the next one, and the node counts as down.
    shipped["global"] = {"scrape_interval": "2s", "scrape_timeout": "1900ms", "evaluation_interval": "500ms"}
    shipped["rule_files"] = [str(hurried_rules(directory))]
    for part, addresses in (
        (shipped["scrape_configs"][0], [f"127.0.0.1:{node.port}" for node in nodes]),
        (shipped["alerting"]["alertmanagers"][0], [alertmanager.url.removeprefix("http://")]),
    ):
        part["static_configs"][0]["targets"] = addresses
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(shipped))
    return path


def send_incident(node: Node) -> None:
    """Nothing of what Stripe is asked for succeeds."""
    failure = {"event_type": "payment_failed", "processor": "stripe", "failure_category": "processor_error"}
    failed = [event(**failure) for _ in range(80)]
    status, answer = node.post_batch(failed)
    assert (status, answer["rejected"]) == (200, 0), answer


@pytest.fixture
def receiver() -> Iterator[Inbox]:
    """A receiver, closed with the test."""
    receiver = Inbox()
    yield receiver
    receiver.stop()


def test_an_incident_reaches_the_receiver(make_node: MakeNode, directory: Path, receiver: Inbox) -> None:
    """In place of the alerts on its score, and beside a node that is down; what is over is resolved."""
    node, dying = make_node(), make_node()
    with ExitStack() as running:
        command = (program("prometheus-alertmanager"), f"--config.file={hurried_routes(directory, receiver.url)}")
        flags = ("--storage.path=data", "--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=")
        alertmanager = Monitor(directory / "alertmanager", (*command, *flags))
        running.callback(alertmanager.stop)
        program("prometheus")
        prometheus = Prometheus(directory / "prometheus", configuration(directory, (node, dying), alertmanager))
        running.callback(prometheus.stop)
        until(lambda: len(prometheus.instant("up == 1")) == 2, "both nodes to be seen", SECONDS)
        dying.kill_all()
        dead = told(receiver, "PayFluxNodeDown")
        assert (dead["labels"]["instance"], dead["labels"]["severity"]) == (f"127.0.0.1:{dying.port}", "critical")
        send_incident(node)

        risky = told(receiver, "PayFluxIncident")
        assert (risky["labels"]["processor"], risky["labels"]["severity"]) == ("stripe", "critical")
        assert "stripe" in risky["annotations"]["summary"]
        assert node.metrics()['processor_risk_score_last{processor="stripe"}'] > 0.6
        firing = 'ALERTS{alertname=~"ProcessorRisk.*",alertstate="firing"}'
        until(lambda: prometheus.instant(firing), "an alert on the score", 20)
        assert {alert["metric"]["processor"] for alert in prometheus.instant(firing)} == {"stripe"}

        node.kill_all()
        assert told(receiver, "PayFluxIncident", "resolved")["labels"]["processor"] == "stripe"
