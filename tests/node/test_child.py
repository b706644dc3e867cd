"""A child: what each role serves, and how far it steps back behind another."""

import json
import os

import pytest

from nodes import event
from real_parts import MakeNode
from servers import until

pytestmark = pytest.mark.process


def niceness(pid: int) -> int:
    """How far a process steps back behind others."""
    return os.getpriority(os.PRIO_PROCESS, pid)


def test_ingest_steps_back_behind_the_consumer(make_node: MakeNode) -> None:
    """On a full CPU what was accepted comes out before more is accepted."""
    node = make_node()
    assert niceness(node.child_pid("ingest-0")) > niceness(node.child_pid("consumer")) == niceness(os.getpid())


def test_roles(make_node: MakeNode) -> None:
    """Ingest and consume alone: both serve health and metrics, and only the one that takes events has their path."""
    ingest = make_node(arguments=("serve", "--role", "ingest"))
    consume = make_node(arguments=("serve", "--role", "consume"))
    for node in (ingest, consume):
        for path in ("/health", "/livez", "/readyz"):
            assert node.get(path) == (200, b"ok\n")
        assert node.metrics()["redis_up"] == 1
    assert ingest.post(event()) == 202
    assert consume.post(event()) == 404
    until(lambda: consume.line_count() == 1, "the line")
    assert ingest.lines() == []
    assert ingest.metrics()["ingest_accepted_total"] == 1
    until(lambda: consume.metrics()["consumer_processed_total"] == 1, "it to be counted")
    assert "consumer_active" not in ingest.metrics()

    assert niceness(ingest.child_pid("ingest-0")) == niceness(consume.child_pid("consumer")) == niceness(os.getpid())

    health = json.loads(consume.get("/export/health")[1])
    status = health["destinations"].pop("stdout")
    assert health == {"enabled": True, "export_mode": "stdout", "destinations": {}}
    assert status["enabled"] is True
    assert status["last_success_rfc3339"].endswith("Z")
    assert status["last_success_ts"] > 1_700_000_000
    assert status["last_error_ts"] is status["last_error_rfc3339"] is status["last_error_reason"] is None
    assert json.loads(ingest.get("/export/health")[1]) == {
        "enabled": False,
        "export_mode": "stdout",
        "destinations": {},
    }
