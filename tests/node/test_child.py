"""A child: what each role serves, and how far it steps back behind another."""

import json
import os
import socket
import time

import pytest

from nodes import KEY, event
from payflux.checks.asking import ask
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


def test_operators_may_have_an_address_and_a_token(make_node: MakeNode) -> None:
    """Metrics move there and ask for the token; probes are on both addresses, events are taken on the first alone."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    environ = {"PAYFLUX_ADMIN_ADDR": f"localhost:{port}", "PAYFLUX_METRICS_TOKEN": "letmein", "PAYFLUX_WORKERS": "2"}
    node = make_node(environ)
    admin = f"http://127.0.0.1:{port}"
    assert node.post(event()) == 202
    assert ask(f"{admin}/v1/events/payment_exhaust", KEY, b"{}").status == 404
    for path in ("/health", "/livez", "/readyz"):
        assert node.get(path) == (200, b"ok\n")
        assert ask(admin + path).status == 200
    for path in ("/metrics", "/export/health", "/openapi.json"):
        assert node.get(path)[0] == 404
    assert ask(f"{admin}/export/health").status == ask(f"{admin}/openapi.json").status == 200
    assert [ask(f"{admin}/metrics", token).status for token in (None, "wrong", KEY, "letmein")] == [401, 401, 401, 200]
    text = ask(f"{admin}/metrics", "letmein").body.decode()
    assert 'payflux_auth_denied_total{reason="missing"} 1.0' in text
    assert 'payflux_auth_denied_total{reason="invalid"} 2.0' in text
    assert 'payflux_http_refused_total{reason="not_found"} 4.0' in text


def test_idle_connections_are_kept_as_long_as_told(make_node: MakeNode) -> None:
    """After one second without a request the node closes; the default would be more than a minute."""
    node = make_node({"PAYFLUX_HTTP_KEEPALIVE_SEC": "1"})
    with socket.create_connection(("127.0.0.1", node.port), 20) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        begun = time.monotonic()
        received = b""
        while data := sock.recv(1000):
            received += data
        assert received.endswith(b"ok\n")
        assert 0.9 < time.monotonic() - begun < 15
