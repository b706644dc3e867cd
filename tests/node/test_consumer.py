"""The consumer's deaths, losses before it reads, entries nobody can read, and two nodes on one stream."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from consumers import entries
from load_helper import (
    Load,
    assert_exactly_once,
    assert_settled,
    count_lines,
    ids_of,
    lost,
    read_lines,
)
from nodes import Node, event
from payflux.stream.protocol import GROUP
from real_parts import MakeNode
from servers import Server, until
from stream_keys import DEAD_LETTERS, STREAM

pytestmark = pytest.mark.process

BATCH = 1000  # entries a consumer reads at once, so the most that is counted beyond what is lost


def active(node: Node) -> bool:
    """Whether this node's consumer holds the stream."""
    return node.metrics().get("consumer_active") == 1


@pytest.mark.parametrize("mode", ["stdout", "file"])
def test_consumer_killed(make_node: MakeNode, directory: Path, mode: str) -> None:
    """A killed consumer is replaced; what it acked and did not write is counted, never less than the truth.

    In a file that is exact, as its successor looks. On stdout a line may be cut off where the writer died, and is then
    ended.
    """
    exported = directory / "export.jsonl"
    node = make_node({"PAYFLUX_EXPORT_MODE": mode, "PAYFLUX_EXPORT_FILE": str(exported)})
    file = exported if mode == "file" else node.lines_file
    with Load([node]) as load:
        load.more()
        former = node.child_pid("consumer")
        assert node.kill_child("consumer") != former
        load.more()
    assert not load.unknown
    assert set(load.repost(node).values()) == {"duplicate"}
    until(lambda: lost(node.metrics(), "crash") + count_lines(file) >= len(load.bodies), "every event to be settled")
    assert_settled(node)
    lines = read_lines(file, torn=int(mode == "stdout"))
    found = ids_of(lines)
    missing = set(load.bodies) - set(found)
    assert max(found.values()) == 1
    assert len(missing) <= lost(node.metrics(), "crash") <= len(missing) + (BATCH if mode == "stdout" else 0)
    assert lost(node.metrics(), "trimmed", "reset") == 0
    seqs = [line["seq"] for line in lines]
    assert seqs == sorted(seqs)
    assert node.metrics()["child_deaths_total"] == 1


def test_a_node_killed_with_its_last_lines_written(make_node: MakeNode, directory: Path) -> None:
    """All its processes at once, after the last line: the next node finds that in the file, and counts nothing."""
    file = directory / "export.jsonl"
    environ = {"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(file)}
    first = make_node(environ)
    sent = [event() for _ in range(500)]
    assert first.post_batch(sent)[0] == 200
    until(lambda: count_lines(file) == len(sent), "the lines")
    first.kill_all()
    second = make_node(environ)
    assert second.post(event()) == 202
    until(lambda: count_lines(file) == len(sent) + 1, "the next line", 40)
    assert lost(second.metrics(), "crash", "trimmed", "reset") == 0
    assert second.logged("events_lost") == []


def test_a_node_killed_under_load_counts_what_is_missing(make_node: MakeNode, directory: Path) -> None:
    """Exactly the events that have no line, and no torn line is left."""
    file = directory / "export.jsonl"
    environ = {"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(file)}
    first = make_node(environ)
    with Load([first]) as load:
        load.more()
        first.kill_all()
    second = make_node(environ)
    load.repost(second)
    until(lambda: active(second) and second.drained(), "everything to be settled", 40)
    until(lambda: count_lines(file) + lost(second.metrics(), "crash") >= len(load.bodies), "every line or its loss", 40)
    missing = set(load.bodies) - set(ids_of(read_lines(file)))
    assert lost(second.metrics(), "crash") == len(missing)


def test_consumer_killed_after_its_ledger_was_reset(server: Server, make_node: MakeNode, directory: Path) -> None:
    """The lines of an earlier ledger are not taken for those of the one that a killed consumer left behind."""
    read_to, flow = directory / "read.jsonl", threading.Event()
    reader, writer = os.pipe()
    flow.set()
    copying = threading.Thread(target=_copy, args=(reader, read_to, flow), daemon=True)
    copying.start()
    node = make_node(stdout=writer)
    os.close(writer)
    with Load([node]) as load:
        load.more(1500)
    assert_settled(node)
    server.client.flushall()
    with Load([node]) as second:
        second.more(100)
        assert_settled(node)
        flow.clear()
        second.more()
    until(node.drained, "the consumer to ack everything")
    node.kill_child("consumer")
    until(lambda: lost(node.metrics(), "crash"), "the loss to be counted")
    flow.set()
    assert node.post(event()) == 202
    assert_settled(node)
    counted = lost(node.metrics(), "crash")
    assert node.stop() == 0
    copying.join(20)
    missing = set(second.stored) - set(ids_of(read_lines(read_to, torn=2)))
    assert len(missing) > 100
    assert len(missing) <= counted <= len(missing) + BATCH


def _copy(reader: int, file: Path, flow: threading.Event) -> None:
    with file.open("wb") as out:
        while flow.wait(30) and (chunk := os.read(reader, 4096)):
            out.write(chunk)
    os.close(reader)


def test_trimmed_before_it_was_read(server: Server, make_node: MakeNode) -> None:
    """Entries trimmed while no consumer ran are counted exactly, and the rest comes out."""
    ingest = make_node(arguments=("serve", "--role", "ingest"))
    with Load([ingest]) as load:
        load.more(1200)
    stored = server.client.xlen(STREAM)
    trimmed = server.client.xtrim(STREAM, maxlen=500, approximate=False)
    assert trimmed == stored - 500
    consume = make_node(arguments=("serve", "--role", "consume"))
    with Load([ingest]) as later:
        later.more()
    later.bodies |= load.bodies
    assert set(later.repost(ingest).values()) == {"duplicate"}
    assert_settled(consume)
    assert lost(consume.metrics(), "trimmed") == trimmed
    lines = read_lines(consume.lines_file)
    assert max(ids_of(lines).values()) == 1
    assert len(lines) + trimmed == len(later.bodies)
    assert [line["seq"] for line in lines] == list(range(trimmed + 1, len(later.bodies) + 1))
    assert ingest.lines_file.read_bytes() == b""


def test_first_node_killed_second_takes_over(make_node: MakeNode) -> None:
    """One of two nodes consumes; when all of it is killed, the other takes over within seconds, in order.

    Requests on their way to the dead node have no answer; a line of its stdout may be cut off.
    """
    first = make_node()
    until(lambda: active(first), "the first node to consume")
    second = make_node()
    with Load([first, second]) as load:
        load.more()
        assert not active(second)
        assert second.lines_file.read_bytes() == b""
        first.kill_all()
        killed = time.monotonic()
        until(lambda: active(second), "the second node to take over", 12)
        took = time.monotonic() - killed
        load.more()
    assert load.unknown
    assert took < 10
    load.repost(second)
    assert_settled(second)
    until(lambda: lost(second.metrics(), "crash") + count_lines(second.lines_file) > 0, "lines")
    lines = read_lines(first.lines_file, second.lines_file, torn=1)
    found = ids_of(lines)
    missing = set(load.bodies) - set(found)
    assert max(found.values()) == 1
    assert len(missing) <= lost(second.metrics(), "crash") <= len(missing) + BATCH
    seqs = [line["seq"] for line in lines]
    assert seqs == sorted(seqs)


def test_first_node_stopped_second_takes_over(make_node: MakeNode) -> None:
    """After a graceful stop the other node takes over at once, and nothing is lost."""
    first = make_node()
    until(lambda: active(first), "the first node to consume")
    second = make_node()
    with Load([second]) as load:
        load.more()
        assert first.stop() == 0
        stopped = time.monotonic()
        until(lambda: active(second), "the second node to take over")
        took = time.monotonic() - stopped
        load.more()
    assert took < 3  # the lease alone would take 5 seconds to end
    assert not load.unknown
    load.repost(second)
    assert_settled(second)
    assert lost(second.metrics(), "crash", "trimmed", "reset") == 0
    assert_exactly_once(load, first.lines_file, second.lines_file)


def risk_of(node: Node, processor: str) -> float | None:
    """The risk gauge of a processor, if the node has one."""
    return node.metrics().get(f'processor_risk_score_last{{processor="{processor}"}}')


def test_risk_is_shown_by_the_active_node_alone(make_node: MakeNode) -> None:
    """A node that lost the lease shows no risk it no longer follows, or it would alert for ever."""
    first = make_node()
    until(lambda: active(first), "the first node to consume")
    second = make_node()
    first.post_batch([event() for _ in range(500)])
    until(lambda: (risk_of(first, "stripe") or 0) > 0.3, "the risk to be shown")
    pid = first.child_pid("consumer")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: active(second), "the second node to take over", 12)
    os.kill(pid, signal.SIGCONT)
    until(lambda: first.logged("lease_lost"), "the first node to see that it lost the lease")
    until(lambda: not active(first), "it to say so")
    assert risk_of(first, "stripe") is None
    first.post_batch([event() for _ in range(500)])
    until(lambda: (risk_of(second, "stripe") or 0) > 0.3, "the risk to be shown by the second node")
    assert risk_of(first, "stripe") is None


def test_the_risk_survives_its_consumer(server: Server, make_node: MakeNode) -> None:
    """A consumer killed and replaced goes on where it was, and opens nothing anew."""
    node = make_node()
    node.post_batch([event() for _ in range(500)])
    until(lambda: (risk_of(node, "stripe") or 0) > 0.3, "the risk to be shown")
    said = server.client.xlen("{events_stream}:assessments")
    score = risk_of(node, "stripe")
    node.kill_child("consumer")
    until(lambda: len(node.logged("lease_taken")) == 2 and active(node), "the new one to consume")
    until(lambda: risk_of(node, "stripe") == score, "the same risk to be shown again")
    node.post_batch([event(processor="adyen", event_type="payment_succeeded", retry_result="")])
    until(lambda: risk_of(node, "adyen") == 0, "another processor's risk to be shown")
    bands = [json.loads(fields[b"assessment"])["band"] for _, fields in entries(server, "{events_stream}:assessments")]
    assert bands[said:].count("low") == 0


def test_stalled_holder_wakes(make_node: MakeNode) -> None:
    """A holder that stalls longer than its lease loses it, and doubles nothing when it wakes."""
    first = make_node()
    until(lambda: active(first), "the first node to consume")
    second = make_node()
    with Load([second]) as load:
        load.more()
        pid = first.child_pid("consumer")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: active(second), "the second node to take over", 12)
        load.more()
        os.kill(pid, signal.SIGCONT)
        until(lambda: first.logged("lease_lost"), "the first node to see that it lost the lease")
        load.more()
    assert first.child_pid("consumer") == pid
    assert not load.unknown
    load.repost(second)
    assert_settled(second)
    lines = read_lines(first.lines_file, second.lines_file)
    found = ids_of(lines)
    missing = set(load.bodies) - set(found)
    assert max(found.values()) == 1
    assert len(missing) <= lost(second.metrics(), "crash") <= len(missing) + BATCH
    assert sorted(line["seq"] for line in lines) == [line["seq"] for line in lines]
    assert not active(first)


def test_consumer_name_in_use(server: Server, make_node: MakeNode) -> None:
    """A second node with the consumer name of a living one waits a little, then exits 2 and says why."""
    first = make_node({"PAYFLUX_CONSUMER_NAME": "twin"})
    until(lambda: active(first), "the first node to consume")
    second = make_node({"PAYFLUX_CONSUMER_NAME": "twin"})
    assert second.process.wait(30) == 2
    assert second.logged("consumer_name_taken")
    assert any("PAYFLUX_CONSUMER_NAME" in line["reason"] for line in second.logged("shutdown_initiated"))
    assert first.post(event()) == 202
    until(first.lines, "the first node goes on")
    assert first.lines()[0]["consumer_name"] == "twin"


POISON: dict[str, tuple[dict[bytes, bytes], str]] = {
    "no data": ({b"other": b"x"}, "missing_data"),
    "no number": ({b"data": b'{"event_id":"x"}'}, "invalid_event"),
    "not JSON": ({b"data": b'{"event_id":', b"seq": b"0"}, "invalid_json"),
    "bad JSON": ({b"data": b'{"event_id":', b"seq": b"SEQ"}, "invalid_json"),
    "invalid UTF-8": ({b"data": b'{"event_id":"\xff\xfe"}', b"seq": b"SEQ"}, "invalid_json"),
    "lacks members": ({b"data": b'{"event_id":"x"}', b"seq": b"SEQ"}, "invalid_event"),
    "1 MB": ({b"data": b'{"event_id":"' + b"x" * 1_000_000, b"seq": b"SEQ"}, "invalid_json"),
}


def add_by_hand(server: Server, fields: dict[bytes, bytes], seq: int) -> bytes:
    """XADD what somebody else might; its id."""
    ready = {name: b"%d" % seq if value == b"SEQ" else value for name, value in fields.items()}
    client: Any = server.client
    found: bytes = client.xadd(STREAM, ready)
    return found


def test_poison(server: Server, make_node: MakeNode) -> None:
    """Entries that are no events land in the dead-letter stream, byte for byte; their neighbours come out."""
    node = make_node()
    client: Any = server.client
    posted, expected = [], {}
    for fields, reason in POISON.values():
        posted.append(event())
        assert node.post(posted[-1]) == 202
        until(lambda: node.drained() and node.line_count() == len(posted), "the neighbour")
        expected[add_by_hand(server, fields, node.lines()[-1]["seq"])] = (fields.get(b"data", b""), reason)
    twice = client.execute_command("XADD", STREAM, "*", "data", "first", "data", "second")
    expected[twice] = (b"second", "invalid_json")
    posted.append(event())
    assert node.post(posted[-1]) == 202
    until(lambda: server.client.xlen(DEAD_LETTERS) == len(expected), "all dead letters")
    until(lambda: node.line_count() == len(posted), "all neighbours")
    letters = [fields for _, fields in client.xrange(DEAD_LETTERS)]
    assert {letter[b"original_id"]: (letter[b"data"], letter[b"reason"].decode()) for letter in letters} == expected
    assert all(letter[b"timestamp"].endswith(b"Z") for letter in letters)
    assert [line["event_id"] for line in node.lines()] == [one["event_id"] for one in posted]
    assert node.drained()
    metrics = node.metrics()
    assert sum(value for name, value in metrics.items() if name.startswith("consumer_dlq_total")) == len(expected)
    assert metrics["dlq_depth"] == len(expected)
    assert lost(metrics, "trimmed", "reset", "crash") == 0


def test_only_poison_halts_the_consumer(server: Server, make_node: MakeNode) -> None:
    """When nearly everything is invalid the fault may be ours: the consumer halts and buries nothing more."""
    node = make_node()
    assert node.post(event()) == 202
    until(node.lines, "a line")
    with server.client.pipeline() as many:
        for _ in range(300):
            many.xadd(STREAM, {"data": "{}"})
        many.execute()
    until(lambda: node.metrics().get("consumer_halted") == 1, "the consumer to halt")
    assert node.logged("consumer_halted")
    assert node.post(event()) == 202
    assert server.client.xlen(DEAD_LETTERS) <= 100
    pending = server.client.xpending(STREAM, GROUP)["pending"]
    assert pending + server.client.xlen(DEAD_LETTERS) == 300
    until(lambda: node.line_count() == 2, "the valid event behind them")
    until(lambda: node.get("/health")[0] == 200, "health: the valid event has ended the halt")
