import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.scenes.monitors import Inbox


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """One that was told nothing yet."""
    inbox = Inbox()
    yield inbox
    inbox.stop()


def tell(inbox: Inbox, status: str, **labels: str) -> float:
    """Tell it of an alert, as Alertmanager does; when it was told."""
    message: dict[str, Any] = {"alerts": [{"status": status, "labels": labels}]}
    with urllib.request.urlopen(inbox.url, json.dumps(message).encode(), timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    at: float = inbox.received[-1]["at"]
    return at


def test_when_somebody_was_told_of_an_incident(inbox: Inbox) -> None:
    """The first time that it is open, the last time that it is over."""
    incident = {"alertname": "PayFluxIncident", "incident": "stripe-1"}
    first, _ = tell(inbox, "firing", **incident), tell(inbox, "firing", **incident)
    assert inbox.incidents() == {"stripe-1": (first, None)}
    _, last = tell(inbox, "resolved", **incident), tell(inbox, "resolved", **incident)
    assert inbox.incidents() == {"stripe-1": (first, last)}


def test_when_somebody_was_told_of_a_dead_node(inbox: Inbox) -> None:
    """The first time of that node, whatever else is told; never, when it was another one."""
    tell(inbox, "firing", alertname="PayFluxRedisDown", instance="n1:8080")
    tell(inbox, "firing", alertname="PayFluxNodeDown", instance="n2:8080")
    assert inbox.death("n1:8080") is None
    first, _ = (tell(inbox, "firing", alertname="PayFluxNodeDown", instance="n1:8080") for _ in range(2))
    assert inbox.death("n1:8080") == first
