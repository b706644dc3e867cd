"""Export before the ack: nothing is acked that is not in the file, whatever dies or fails."""

import shutil
import signal
from pathlib import Path

import pytest

from load_helper import Load, assert_settled, count_lines, export_errors, ids_of, lost, read_lines
from nodes import Node, event
from payflux.stream.protocol import GROUP
from real_parts import MakeNode
from servers import Server, until
from stream_keys import DEAD_LETTERS, STREAM

pytestmark = pytest.mark.process


def safe_node(make_node: MakeNode, file: Path) -> Node:
    """A node that acks what is safe."""
    safe = {"PAYFLUX_EXPORT_ACK": "export_then_ack", "PAYFLUX_CLAIM_IDLE_SEC": "1"}
    return make_node(safe | {"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(file)})


def test_a_killed_consumer_loses_nothing(make_node: MakeNode, directory: Path) -> None:
    """Killed again and again under load: every event has its line, whole, and no loss is counted."""
    file = directory / "export.jsonl"
    node = safe_node(make_node, file)
    with Load([node]) as load:
        for _ in range(3):
            load.more()
            node.kill_child("consumer")
        load.more()
    assert not load.unknown
    until(lambda: node.drained() and count_lines(file) >= len(load.bodies), "everything to be exported", 40)
    lines = read_lines(file)
    assert set(ids_of(lines)) == set(load.bodies)
    assert lost(node.metrics(), "crash", "trimmed", "reset") == 0
    assert node.metrics()["child_deaths_total"] == 3


def test_a_failing_destination_stops_reading_and_resumes(server: Server, make_node: MakeNode, directory: Path) -> None:
    """While the file cannot be opened events are taken in and wait; no delivery is used up, and each comes out once."""
    place = directory / "place"
    place.mkdir()
    file = place / "export.jsonl"
    node = safe_node(make_node, file)
    shutil.rmtree(place)
    sent = [event() for _ in range(2500)]
    for start in range(0, len(sent), 500):
        assert node.post_batch(sent[start : start + 500])[0] == 200
    until(lambda: export_errors(node.metrics()) >= 3, "three failed tries")
    assert node.get("/health")[0] == 200
    metrics = node.metrics()
    assert metrics["consumer_processed_total"] == 0
    assert metrics["consumer_lag_messages"] + metrics["pending_messages"] == len(sent)
    rows = server.client.xpending_range(STREAM, GROUP, "-", "+", 5000)
    assert {row["times_delivered"] for row in rows} <= {1}
    place.mkdir()
    until(lambda: count_lines(file) >= len(sent), "the lines")
    until(node.drained, "nothing to wait")
    assert [line["event_id"] for line in read_lines(file)] == [one["event_id"] for one in sent]
    assert server.client.exists(DEAD_LETTERS) == 0
    assert lost(node.metrics(), "crash", "trimmed", "reset") == 0


def test_a_stop_while_the_destination_fails_keeps_everything(make_node: MakeNode, directory: Path) -> None:
    """The node ends in time; the next one exports what was not safe."""
    place = directory / "place"
    place.mkdir()
    file = place / "export.jsonl"
    node = safe_node(make_node, file)
    shutil.rmtree(place)
    sent = [event() for _ in range(50)]
    assert node.post_batch(sent)[0] == 200
    until(lambda: export_errors(node.metrics()), "a failed try")
    assert node.stop() == 0
    place.mkdir()
    again = safe_node(make_node, file)
    until(lambda: count_lines(file) >= len(sent), "the lines")
    assert_settled(again)
    assert [line["event_id"] for line in read_lines(file)] == [one["event_id"] for one in sent]
    assert lost(again.metrics(), "crash") == 0


def test_a_hang_up_loses_nothing(make_node: MakeNode, directory: Path) -> None:
    """Rotation under load: the files together hold every event once, in order."""
    file, old = directory / "export.jsonl", directory / "export.jsonl.1"
    node = safe_node(make_node, file)
    with Load([node]) as load:
        load.more()
        file.rename(old)
        node.signal(signal.SIGHUP)
        until(lambda: node.logged("export_reopened"), "the file to be reopened")
        load.more()
    until(lambda: count_lines(old, file) >= len(load.bodies), "everything to be exported")
    lines = read_lines(old, file)
    assert max(ids_of(lines).values()) == 1
    assert [line["seq"] for line in lines] == list(range(1, len(load.bodies) + 1))
