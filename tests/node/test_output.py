"""Outputs that stall, close or fill up: ingestion goes on, and every line that is not taken is counted."""

import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from load_helper import Load, assert_exactly_once, assert_settled, export_errors, ids_of, lost, read_lines
from nodes import Node
from real_parts import MakeNode
from servers import until

pytestmark = pytest.mark.process

QUEUE_FULL = 'export_errors_total{destination="stdout",reason="queue_full"}'
CLOSED = 'export_errors_total{destination="stdout",reason="closed"}'


def slowest_health(node: Node, times: int = 5) -> float:
    """The longest that /health took, of a few times, each answered 200."""
    took = []
    for _ in range(times):
        begun = time.monotonic()
        assert node.get("/health")[0] == 200
        took.append(time.monotonic() - begun)
    return max(took)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe; closes what the test left open."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            try:
                os.close(end)
            except OSError:
                continue


def test_reader_of_stdout_stalls(make_node: MakeNode, directory: Path) -> None:
    """Nobody reads stdout: events are taken in, health is fast, and what the queue can't hold is counted exactly."""
    read_to = directory / "read.jsonl"
    with pipe() as (reader, writer):
        node = make_node({"PAYFLUX_EXPORT_QUEUE_BYTES": "65536"}, stdout=writer)
        os.close(writer)
        with Load([node]) as load:
            load.more()
            until(lambda: node.metrics()[QUEUE_FULL] > 0, "the queue to be full")
            assert slowest_health(node) < 0.5
            load.more()
            go_on = threading.Thread(target=_copy, args=(reader, read_to))
            go_on.start()
            load.more()
        assert not load.unknown
        load.repost(node)
        assert_settled(node)
        metrics = node.metrics()
        assert node.stop() == 0
        go_on.join(10)
    lines = read_lines(read_to)
    assert metrics[QUEUE_FULL] == export_errors(metrics) >= 1000
    assert len(lines) + metrics[QUEUE_FULL] == len(load.bodies)
    assert max(ids_of(lines).values()) == 1
    assert [line["seq"] for line in lines] == sorted(line["seq"] for line in lines)
    assert lines[-1]["seq"] == len(load.bodies)
    assert lost(metrics, "crash", "trimmed", "reset") == 0


def _copy(reader: int, file: Path) -> None:
    with file.open("wb") as out:
        while chunk := os.read(reader, 65536):
            out.write(chunk)


def test_reader_of_stdout_is_gone(make_node: MakeNode, directory: Path) -> None:
    """`payflux | head -1`: the node lives on, takes events in, and counts the lines nobody reads."""
    with pipe() as (reader, writer):
        head = subprocess.Popen(["head", "-1"], stdin=reader, stdout=subprocess.PIPE)
        os.close(reader)
        node = make_node(stdout=writer)
        os.close(writer)
        with Load([node]) as load:
            load.more()
            first, _ = head.communicate(timeout=20)
            until(lambda: node.metrics()[CLOSED] > 0, "a line nobody read")
            load.more()
    assert json.loads(first)["seq"] == 1
    assert not load.unknown
    load.repost(node)
    assert_settled(node)
    metrics = node.metrics()
    assert metrics[CLOSED] == export_errors(metrics) >= 1000
    assert metrics['events_exported_total{destination="stdout"}'] + metrics[CLOSED] == len(load.bodies)
    status = json.loads(node.get("/export/health")[1])["destinations"]["stdout"]
    assert status["last_error_reason"] == "closed"
    assert node.get("/health")[0] == 200
    assert metrics["child_deaths_total"] == 0


def test_stalled_at_shutdown(make_node: MakeNode) -> None:
    """A reader that never reads does not keep the node: it ends within 30 seconds, with exit code 0.

    A signal that a child passes on late is no second one: it does not cut the shutdown short.
    """
    with pipe() as (reader, writer):
        node = make_node(stdout=writer)
        with Load([node]) as load:
            load.more()
        begun = time.monotonic()
        node.signal(signal.SIGTERM)
        until(lambda: time.monotonic() - begun > 1.5, "the time in which signals count as one")
        os.kill(node.child_pid("consumer"), signal.SIGTERM)
        assert node.process.wait(30) == 0
        assert node.logged("shutdown_complete")
        assert not node.logged("shutdown_hurried")
        assert any(line["reason"] == "shutdown" for line in node.logged("export_failed"))
        os.set_blocking(reader, False)
        assert os.read(reader, 100).startswith(b'{"event_type"')


def test_hurried_shutdown(make_node: MakeNode) -> None:
    """A second SIGTERM, later than the first, ends a node that waits for its reader at once."""
    with pipe() as (_, writer):
        node = make_node(stdout=writer)
        with Load([node]) as load:
            load.more()
        begun = time.monotonic()
        node.signal(signal.SIGTERM)
        until(lambda: time.monotonic() - begun > 1.5, "the time in which signals count as one")
        assert node.process.poll() is None
        node.signal(signal.SIGTERM)
        assert node.process.wait(5) == 0
        assert node.logged("shutdown_hurried")
        assert node.logged("child_killed")


def test_file_that_may_not_grow(make_node: MakeNode, directory: Path) -> None:
    """The file reaches a limit: no line is torn, every lost one is counted, and when there is room it goes on."""
    exported = directory / "export.jsonl"
    node = make_node({"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(exported)})
    failed = 'export_errors_total{destination="file",reason="write"}'
    with Load([node]) as load:
        load.more()
        consumer = node.child_pid("consumer")
        unlimited = resource.prlimit(consumer, resource.RLIMIT_FSIZE)
        resource.prlimit(consumer, resource.RLIMIT_FSIZE, (exported.stat().st_size + 20_000, unlimited[1]))
        until(lambda: node.metrics()[failed] > 500, "lines that do not fit")
        until(lambda: exported.read_bytes().endswith(b"}\n"), "the torn line to be taken back")
        resource.prlimit(consumer, resource.RLIMIT_FSIZE, unlimited)
        load.more()
    assert not load.unknown
    load.repost(node)
    assert_settled(node)
    metrics = node.metrics()
    lines = read_lines(exported)
    assert len(lines) + metrics[failed] == len(load.bodies)
    assert metrics[failed] == export_errors(metrics)
    assert max(ids_of(lines).values()) == 1
    assert [line["seq"] for line in lines] == sorted(line["seq"] for line in lines)
    assert lines[-1]["seq"] == len(load.bodies)


def test_disk_full(make_node: MakeNode, full_disk: Path) -> None:
    """No space at all: every line is counted as such, and events are taken in."""
    node = make_node({"PAYFLUX_EXPORT_MODE": "both", "PAYFLUX_EXPORT_FILE": str(full_disk / "events.jsonl")})
    with Load([node]) as load:
        load.more()
    load.repost(node)
    assert_exactly_once(load, node.lines_file)
    full = 'export_errors_total{destination="file",reason="disk_full"}'
    until(lambda: node.metrics()[full] == len(load.bodies), "every line to be counted")
    assert node.metrics()['events_exported_total{destination="stdout"}'] == len(load.bodies)
    status = json.loads(node.get("/export/health")[1])["destinations"]
    assert status["file"]["last_error_reason"] == "disk_full"
    assert status["file"]["last_success_ts"] is None
    assert status["stdout"]["last_error_ts"] is None


def test_a_node_that_exports_to_nobody(make_node: MakeNode) -> None:
    """Events are scored and acked all the same, and the death of the consumer loses none."""
    node = make_node({"PAYFLUX_EXPORT_MODE": "none"})
    with Load([node]) as load:
        load.more()
        node.kill_child("consumer")
        load.more()
    until(
        lambda: {node.metrics().get(f"{name}_messages") for name in ("pending", "consumer_lag")} == {0}, "the end", 40
    )
    metrics = node.metrics()
    assert metrics["consumer_processed_total"] > 0
    assert any(name.startswith("processor_risk_score_last{") for name in metrics)
    assert lost(metrics, "crash", "trimmed", "reset") == 0
    assert json.loads(node.get("/export/health")[1]) == {"enabled": False, "export_mode": "none", "destinations": {}}
    assert node.lines() == []
