"""Risk and incidents of a living node: told by an operations child, on every node and role, by any worker."""

import json
import os
import signal
from typing import Any

import pytest

from nodes import KEY, Node, event
from real_parts import MakeNode
from servers import until

pytestmark = pytest.mark.process

READ = {"Authorization": "Bearer read-key"}
FAILED = {"event_type": "payment_failed", "retry_result": "failed", "failure_category": "processor_error"}


def read(node: Node, path: str, key: dict[str, str] = READ) -> Any:
    """What a path answers with 200; None otherwise."""
    status, answer = node.request("GET", path, headers=key)
    return json.loads(answer) if status == 200 else None


def fail(node: Node, count: int = 40) -> None:
    """So many payments fail by the processor's fault."""
    status, answer = node.post_batch([event(**FAILED) for _ in range(count)])
    assert (status, answer["accepted"]) == (200, count)


def test_an_incident_of_a_living_node(make_node: MakeNode) -> None:
    """It opens within seconds, and every node and role of the stream tells the same of it, whoever died meanwhile."""
    node = make_node({"PAYFLUX_READ_KEYS": "read-key"})
    other = make_node({"PAYFLUX_READ_KEYS": "read-key"}, arguments=("serve", "--role", "ingest"))
    fail(node)
    until(lambda: read(node, "/v1/incidents?open=true")["incidents"], "an incident")
    (one,) = read(node, "/v1/incidents")["incidents"]
    assert (one["processor"], one["driver"], one["severity"]) == ("stripe", "high_failure_rate", "critical")
    assert read(node, f"/v1/incidents/{one['id']}", {"Authorization": f"Bearer {KEY}"})["id"] == one["id"]
    until(lambda: read(other, "/v1/risk/stripe")["open_incidents"] == [one["id"]], "the other node to tell it")
    os.kill(node.child_pid("operations"), signal.SIGKILL)
    node.kill_child("consumer")
    until(lambda: read(node, "/v1/risk/stripe") is not None, "another operations child")
    found = read(node, "/v1/risk/stripe")
    assert (found["band"], found["stale"], found["open_incidents"]) == ("critical", False, [one["id"]])
    fail(node)
    until(node.drained, "the successor")
    assert [each["id"] for each in read(node, "/v1/incidents")["incidents"]] == [one["id"]]


def test_a_read_key_reads_and_nothing_else(make_node: MakeNode) -> None:
    """Without a key nothing is told, and with a read key nothing is stored; the port of the child tells nobody."""
    node = make_node({"PAYFLUX_READ_KEYS": "read-key"})
    assert node.get("/v1/incidents")[0] == node.request("GET", "/v1/risk", headers={"Authorization": "x"})[0] == 401
    assert node.request("POST", "/v1/events/payment_exhaust", b"{}", READ)[0] == 401
    assert node.request("POST", "/v1/incidents", b"{}", READ)[0] == 405
    until(lambda: read(node, "/v1/risk") is not None, "the operations child")
    status, answer = node.request("GET", "/v1/incidents?limit=9999", headers=READ)
    assert (status, json.loads(answer)["errors"][0]["field"]) == (400, "limit")
