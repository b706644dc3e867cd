"""Exporters with groups of their own, in real nodes: they carry what the lines carry, and harm nobody else."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from nodes import Node, event
from real_parts import MakeNode
from servers import Server, until
from their_server import Receiving, receiving

pytestmark = pytest.mark.process

DLQ = "{events_stream}:dlq:payflux:webhook"


@pytest.fixture
def theirs() -> Iterator[Receiving]:
    """A server that takes batches."""
    with receiving() as server:
        yield server


def exporting(theirs: Receiving, **further: str) -> dict[str, str]:
    """The settings of a node that exports to it."""
    own = {
        "PAYFLUX_EXPORTERS": "webhook",
        "PAYFLUX_EXPORT_FROM": "oldest",
        "PAYFLUX_EXPORT_WEBHOOK_URL": f"{theirs.url}/in",
        "PAYFLUX_EXPORT_WEBHOOK_PRIVATE": "true",
        "PAYFLUX_EXPORT_WEBHOOK_BATCH_SEC": "0",
        "PAYFLUX_EXPORT_WEBHOOK_BACKOFF_SEC": "1",
    }
    return own | further


def received(theirs: Receiving) -> list[dict[str, Any]]:
    """The lines it was sent, in order."""
    bodies = [gzip.decompress(one.body) for one in list(theirs.got)]
    return [json.loads(line) for body in bodies for line in body.splitlines()]


def risk_of(line: dict[str, Any]) -> tuple[Any, ...]:
    """What a line says of an event and its risk."""
    return (line["event_id"], line["seq"], line["processor_risk_score"], line["processor_risk_drivers"])


def lag(node: Node) -> float:
    """How much waits for the exporter."""
    return node.metrics()['exporter_lag_messages{exporter="webhook"}']


def test_it_carries_the_same_lines_in_order(make_node: MakeNode, theirs: Receiving) -> None:
    """Every event once, in stream order, with the risk of the line on stdout; metrics and health name it."""
    node = make_node(exporting(theirs))
    sent = [event() for _ in range(1500)]
    for start in range(0, len(sent), 500):
        assert node.post_batch(sent[start : start + 500])[0] == 200
    until(lambda: len(received(theirs)) >= len(sent) and node.line_count() >= len(sent), "the lines at both")
    assert [*map(risk_of, received(theirs))] == [*map(risk_of, node.lines())]
    until(lambda: lag(node) == 0, "nothing to wait")
    metrics = node.metrics()
    assert metrics['events_exported_total{destination="webhook"}'] == len(sent)
    assert metrics["consumer_processed_total"] == len(sent)  # of the group that scores alone
    assert metrics['export_lost_total{destination="webhook",reason="trimmed"}'] == 0
    health = json.loads(node.get("/export/health")[1])["destinations"]["webhook"]
    assert health["last_success_ts"] > 1_700_000_000
    assert health["last_error_ts"] is None


def test_a_destination_that_is_down_stalls_nothing_else(make_node: MakeNode, theirs: Receiving, server: Server) -> None:
    """The node stays healthy and its lines come; its own events wait unread, and arrive once it is up again."""
    theirs.answers.extend([(503, {}, b"busy")] * 3)
    node = make_node(exporting(theirs))
    sent = [event() for _ in range(20)]
    assert node.post_batch(sent)[0] == 200
    until(lambda: node.metrics()['exporter_failing{destination="webhook"}'] == 1, "it to fail")
    until(lambda: node.line_count() == len(sent), "the lines on stdout")
    assert node.get("/health")[0] == 200
    health = json.loads(node.get("/export/health")[1])["destinations"]["webhook"]
    assert health["last_error_reason"] == "busy"
    assert server.client.xpending("events_stream", "payflux:webhook")["pending"] == 0
    until(lambda: node.metrics()['exporter_failing{destination="webhook"}'] == 0, "it to resume")
    until(lambda: lag(node) == 0, "nothing to wait")
    assert [line["event_id"] for line in received(theirs)[-len(sent) :]] == [one["event_id"] for one in sent]
    assert node.metrics()['export_errors_total{destination="webhook",reason="busy"}'] == 3


def test_what_is_refused_for_good_is_its_own_dead_letter(
    make_node: MakeNode, theirs: Receiving, server: Server
) -> None:
    """With what the destination said; the others arrive, and the group's dead letters of the node are none."""
    theirs.answers.extend([(422, {}, b"odd"), (422, {}, b"odd"), (422, {}, b"no such merchant")])
    node = make_node(exporting(theirs))
    sent = [event() for _ in range(4)]
    assert node.post_batch(sent)[0] == 200
    until(lambda: lag(node) == 0 and server.client.xlen(DLQ) == 1, "the dead letter")
    found: Any = server.client.xrange(DLQ)
    ((_, letter),) = found
    assert json.loads(letter[b"data"])["event_id"] == sent[0]["event_id"]
    assert letter[b"reason"] == b"refused: HTTP 422: no such merchant"
    metrics = node.metrics()
    assert metrics["dlq_depth"] == 0
    assert metrics['export_dlq_total{destination="webhook",reason="refused"}'] == 1
    until(lambda: server.client.xpending("events_stream", "payflux:webhook")["pending"] == 0, "nothing pending")
    ids = {line["event_id"] for line in received(theirs)[1:]}
    assert {one["event_id"] for one in sent[1:]} <= ids


def test_a_new_one_begins_with_the_newest(make_node: MakeNode, theirs: Receiving) -> None:
    """Unless told otherwise: what was there before is not sent, and not counted as lost."""
    before = make_node()
    assert before.post_batch([event() for _ in range(5)])[0] == 200
    until(before.drained, "the events before")
    assert before.stop() == 0
    node = make_node(exporting(theirs, PAYFLUX_EXPORT_FROM="newest"), ("serve", "--role", "export"))
    until(lambda: node.metrics().get('exporter_lag_messages{exporter="webhook"}') == 0, "its group")
    other = make_node()
    after = event()
    assert other.post(after) == 202
    until(lambda: [line["event_id"] for line in received(theirs)] == [after["event_id"]], "the new event")
    assert node.metrics()['export_lost_total{destination="webhook",reason="trimmed"}'] == 0
