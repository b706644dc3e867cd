"""A node that takes webhooks: from the signed bytes of a processor to lines, over real sockets."""

import json
import time

import pytest

from nodes import KEY, Node, event
from payflux.webhooks import Webhook
from real_parts import MakeNode
from receiving import FILES, environ, sample, signed
from servers import Server, until

pytestmark = pytest.mark.process

TOOK = {"PAYFLUX_API_KEY": KEY}


def post(node: Node, processor: str, webhook: Webhook) -> tuple[int, bytes]:
    """One webhook, as the processor sends it."""
    headers = {name.decode(): value.decode() for name, value in webhook.headers.items()}
    return node.request("POST", f"/v1/webhooks/{processor}", webhook.body, headers)


def test_from_a_webhook_to_a_line(make_node: MakeNode, server: Server) -> None:
    """Signed, once, with the risk of its processor; raw ids are neither in Redis nor in a line or a log."""
    folder = {"PAYFLUX_WEBHOOK_ADAPTERS": str(FILES[0].parent)}
    node = make_node(environ("stripe", "adyen", "square") | TOOK | folder | {"PAYFLUX_WORKERS": "2"})
    now = time.time()
    body = sample("stripe", "charge.failed", now=now)
    for secret in (0, 1, 0, 1):
        assert post(node, "stripe", signed("stripe", body, secret=secret, now=now))[0] == 200
    batch = signed("adyen", sample("adyen", "CAPTURE", now=now))
    for _ in range(4):
        assert post(node, "adyen", batch) == (202, b"[accepted]")
    for _ in range(2):
        paid = sample("square", "payment.updated.completed", now=now)
        assert post(node, "square", signed("square", paid, now=now))[0] == 200
    until(lambda: node.line_count() == 4, "four lines")
    lines = {line["event_type"]: line for line in node.lines()}
    assert set(lines) == {"payment_failed", "capture_succeeded", "capture_failed", "payment_succeeded"}
    assert lines["payment_failed"]["failure_category"] == "insufficient_funds"
    assert "processor_risk_band" in lines["payment_failed"]
    metrics = node.metrics()
    assert metrics['webhook_events_total{processor="stripe",result="accepted"}'] == 1
    assert metrics['webhook_events_total{processor="stripe",result="duplicate"}'] == 3
    assert metrics['webhook_events_total{processor="adyen",result="accepted"}'] == 2
    assert metrics['webhook_events_total{processor="square",result="duplicate"}'] == 1
    assert metrics["ingest_accepted_total"] == 4
    assert metrics['webhook_last_received_timestamp_seconds{processor="adyen"}'] == pytest.approx(now, abs=60)
    told = node.lines_file.read_text() + node.log_file.read_text() + str(server.client.xrange("events_stream"))
    for raw in (body["id"], body["data"]["object"]["id"], body["data"]["object"]["customer"], "OtherMerchant"):
        assert raw not in told


def test_producers_keep_their_own_marks(make_node: MakeNode, server: Server) -> None:
    """The same id from a producer is another event; numbers have no gap, and the marks lie apart."""
    node = make_node(environ("stripe") | TOOK)
    now = time.time()
    webhook = signed("stripe", sample("stripe", "charge.failed", now=now), now=now)
    assert post(node, "stripe", webhook)[0] == 200
    until(lambda: node.line_count() == 1, "the line")
    assert node.post(event(event_id=node.lines()[0]["event_id"])) == 202
    assert post(node, "stripe", webhook)[0] == 200
    until(lambda: node.line_count() == 2, "another line")
    assert [line["seq"] for line in node.lines()] == [1, 2]
    keys = {key.decode().rpartition(":")[0] for key in server.client.scan_iter("{events_stream}:*marks:*")}
    assert keys == {
        "{events_stream}:webhook-marks",
        "{events_stream}:webhook-marks:stripe:1",
        "{events_stream}:marks:1",
    }


def test_what_is_refused_is_refused_as_promised(make_node: MakeNode, server: Server) -> None:
    """401, 404, 405 with Allow; 503 while Redis is away, and nothing is lost when it comes back."""
    node = make_node(environ("stripe") | TOOK)
    now = time.time()
    body = sample("stripe", "charge.failed", now=now)
    stale = signed("stripe", body, now=now - 1000)
    assert json.loads(post(node, "stripe", stale)[1])["code"] == "timestamp_outside"
    assert post(node, "adyen", stale)[0] == 404
    assert node.request("GET", "/v1/webhooks/stripe")[0] == 405
    assert node.request("POST", "/v1/webhooks/stripe", b"{}")[0] == 401
    server.kill()
    assert post(node, "stripe", signed("stripe", body, now=now))[0] == 503
    server.start()
    until(lambda: post(node, "stripe", signed("stripe", body, now=time.time()))[0] == 200, "Redis")
    until(lambda: node.line_count() == 1, "the line")
    metrics = node.metrics()
    assert metrics['webhook_events_total{processor="stripe",result="unavailable"}'] >= 1
    assert metrics['webhook_events_total{processor="stripe",result="timestamp_outside"}'] == 1


def test_a_webhook_in_flight_is_answered_before_the_node_ends(make_node: MakeNode) -> None:
    """A graceful end keeps what was acknowledged."""
    node = make_node(environ("stripe") | TOOK)
    now = time.time()
    for seed in range(20):
        body = sample("stripe", "charge.succeeded", seed, now=now)
        assert post(node, "stripe", signed("stripe", body, now=now))[0] == 200
    assert node.stop() == 0
    assert node.line_count() == 20
