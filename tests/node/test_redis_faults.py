"""What a node does when Redis dies, forgets, or is not what it was: nothing is lost uncounted, nothing doubled."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from load_helper import (
    Load,
    assert_exactly_once,
    assert_settled,
    ids_of,
    lost,
    read_lines,
)
from nodes import Node
from payflux.stream.protocol import GROUP
from real_parts import MakeNode, binary_or_skip
from servers import Server, until
from stream_keys import STREAM

pytestmark = pytest.mark.process


@pytest.fixture
def server(directory: Path) -> Iterator[Server]:
    """A server that answers a write only when it is on disk, so that its death loses nothing it answered."""
    server = Server(binary_or_skip("valkey-9"), directory, "--appendfsync", "always")
    yield server
    server.stop()


def pause_consumer(node: Node) -> int:
    """Stop the consumer, so that what is stored from now on is not read; its pid."""
    pid = node.child_pid("consumer")
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_redis_killed(server: Server, make_node: MakeNode) -> None:
    """Redis is killed and started again with its append-only file: nothing is lost, nothing comes twice."""
    node = make_node()
    run_id = server.run_id
    with Load([node]) as load:
        load.more()
        server.kill()
        until(lambda: load.unknown, "an answer that is no 202")
        until(lambda: node.get("/readyz")[0] == 503, "unready")
        server.start()
        load.more()
    assert server.run_id != run_id
    load.repost(node)
    assert_settled(node)
    assert_exactly_once(load, node.lines_file)
    assert server.client.xlen(STREAM) == len(load.bodies)
    assert lost(node.metrics(), "trimmed", "reset", "crash") == 0


def test_scripts_forgotten(server: Server, make_node: MakeNode) -> None:
    """SCRIPT FLUSH under load: not even one request fails."""
    node = make_node()
    with Load([node]) as load:
        load.more()
        server.client.config_resetstat()
        server.client.script_flush()
        load.more()
    assert server.client.info("errorstats")["errorstat_NOSCRIPT"]["count"] >= 1
    assert not load.unknown
    assert set(load.repost(node).values()) == {"duplicate"}
    assert_settled(node)
    assert_exactly_once(load, node.lines_file)


def test_redis_stalls(server: Server, make_node: MakeNode) -> None:
    """Redis stalls longer than anybody waits: 503s, told in time, and what it did nevertheless is not done again."""
    node = make_node()
    with Load([node]) as load:
        load.more()
        server.process.send_signal(signal.SIGSTOP)
        until(lambda: load.unknown, "the deadline of a reply")
        status, told = node.get("/metrics")
        assert (status, b"\npayflux_redis_up 0.0\n" in told) == (200, True)
        server.process.send_signal(signal.SIGCONT)
        load.more()
    verdicts = load.repost(node)
    assert {verdicts[event_id] for event_id in load.stored} == {"duplicate"}
    assert_settled(node)
    assert_exactly_once(load, node.lines_file)
    assert lost(node.metrics(), "trimmed", "reset", "crash") == 0


def test_everything_flushed(server: Server, make_node: MakeNode) -> None:
    """FLUSHALL: what was accepted and not read is counted as lost exactly; the ids are free again and come again."""
    node = make_node()
    with Load([node]) as load:
        load.more()
        pid = pause_consumer(node)
        load.more(300)
        server.client.flushall()
        os.kill(pid, signal.SIGCONT)
        load.more()
    assert not load.unknown
    assert_settled(node)
    until(lambda: lost(node.metrics(), "reset"), "the loss to be counted")
    before = ids_of(read_lines(node.lines_file))
    missing = set(load.stored) - set(before)
    assert set(before) <= set(load.stored)
    assert max(before.values()) == 1
    assert len(missing) >= 300
    assert lost(node.metrics(), "reset") == len(missing)
    assert lost(node.metrics(), "trimmed", "crash") == 0

    again = {event_id for event_id, verdict in load.repost(node).items() if verdict == "accepted"}
    assert missing <= again
    assert_settled(node)
    lines = read_lines(node.lines_file)
    assert ids_of(lines) == before + ids_of([{"event_id": event_id} for event_id in again])
    seqs = [line["seq"] for line in lines]
    restart = seqs.index(1, 1)
    assert seqs[:restart] == list(range(1, restart + 1))
    assert seqs[restart:] == list(range(1, len(seqs) - restart + 1))
    assert lost(node.metrics(), "reset") == len(missing)


def test_group_destroyed(server: Server, make_node: MakeNode) -> None:
    """XGROUP DESTROY: the group is made again where it was, nothing is lost, nothing comes twice."""
    node = make_node()
    with Load([node]) as load:
        load.more()
        assert server.client.xgroup_destroy(STREAM, GROUP) == 1
        load.more()
    assert not load.unknown
    load.repost(node)
    assert_settled(node)
    assert_exactly_once(load, node.lines_file)
    assert node.metrics()["consumer_group_recreated_total"] == 1
    assert lost(node.metrics(), "trimmed", "reset", "crash") == 0


def test_stream_replaced_by_a_string(server: Server, make_node: MakeNode) -> None:
    """While the stream is a string, events get 503 and no mark; those deleted with it are counted as trimmed."""
    node = make_node()
    with Load([node]) as load:
        load.more()
        pid = pause_consumer(node)
        load.more(300)
        server.client.set(STREAM, "not a stream")
        os.kill(pid, signal.SIGCONT)
        until(lambda: len(load.unknown) >= 20, "events to be refused")
        until(lambda: node.get("/readyz")[0] == 503, "unready")
        server.client.delete(STREAM)
        until(lambda: node.get("/readyz")[0] == 200, "ready")
        load.more()
    verdicts = load.repost(node)
    assert {verdicts[event_id] for event_id in load.unknown} == {"accepted"}
    assert {verdicts[event_id] for event_id in load.stored} == {"duplicate"}
    assert_settled(node)
    until(lambda: lost(node.metrics(), "trimmed"), "the loss to be counted")
    lines = read_lines(node.lines_file)
    found = ids_of(lines)
    missing = set(load.bodies) - set(found)
    assert max(found.values()) == 1
    assert len(missing) >= 300
    assert missing <= set(load.stored)
    assert lost(node.metrics(), "trimmed") == len(missing)
    assert lost(node.metrics(), "reset", "crash") == 0
    seqs = [line["seq"] for line in lines]
    assert seqs == sorted(seqs)
    assert seqs[-1] == len(load.bodies)
