"""What operators read of a living node: built by an operations child, on every node and role, told by any worker."""

import gzip
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
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


def test_pages_are_built_by_the_operations_child_alone(make_node: MakeNode) -> None:
    """While it is stopped events are taken and probes answer; what was asked meanwhile is answered by its successor."""
    node = make_node({"PAYFLUX_WORKERS": "1"})
    assert node.metrics()["redis_up"] == 1
    former = node.child_pid("operations")
    os.kill(former, signal.SIGSTOP)
    assert node.post(event()) == 202
    assert node.get("/health") == node.get("/livez") == (200, b"ok\n")
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(node.get, path) for path in ("/metrics", "/export/health")]
        assert not wait(asked, 0.2).done
        os.kill(former, signal.SIGKILL)
        until(lambda: node.child_pid("operations") != former, "another operations child")
        for one in asked:  # what it had taken is lost with it, what still waited is not
            status, body = one.result()
            assert status == 200 or json.loads(body)["code"] == "operations_unavailable"
    until(lambda: node.get("/export/health")[0] == 200, "the successor")
    assert node.metrics()["ingest_accepted_total"] == 1
    status, packed = node.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    assert (status, b"payflux_redis_up 1.0\n" in gzip.decompress(packed)) == (200, True)


def test_who_takes_events_knows_nothing_of_pages() -> None:
    """What they are made with is not even imported where events are taken or exported."""
    code = "import payflux.node.child, sys; print(*sys.modules)"
    known = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "payflux.operations.relay" in known
    assert not {"prometheus_client", "payflux.operations.exposition"} & set(known)
