"""Signals under load: reopening the export file loses nothing, and shutdown is ordered, graceful and single."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from load_helper import Load, assert_exactly_once, assert_settled, lost, read_lines
from nodes import Node, event
from real_parts import MakeNode
from servers import Server, until

pytestmark = pytest.mark.process

CHILDREN = ("consumer", "ingest-0", "ingest-1")


@pytest.fixture
def exported(directory: Path) -> Path:
    """The export file."""
    return directory / "export.jsonl"


def file_node(make_node: MakeNode, exported: Path) -> Node:
    """A node with two workers that exports to the file."""
    return make_node(
        {"PAYFLUX_WORKERS": "2", "PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(exported)},
    )


def reopened(node: Node) -> int:
    """How often the export file was reopened."""
    return len(node.logged("export_reopened"))


@pytest.mark.thorough
def test_rotation_under_load(make_node: MakeNode, exported: Path) -> None:
    """Fifty rotations by rename and SIGHUP: the files together hold every event once, every line whole."""
    node = file_node(make_node, exported)
    files: list[Path] = []
    inodes = set()
    with Load([node]) as load:
        load.more()
        for number in range(50):
            until(exported.exists, "the file")
            inodes.add(exported.stat().st_ino)
            files.append(exported.rename(exported.with_suffix(f".{number}")))
            node.signal(signal.SIGHUP)
            until(lambda: reopened(node) > number, "the file to be reopened")  # noqa: B023 - used at once
        load.more()
    assert not load.unknown
    assert len(inodes) == 50
    assert node.metrics()["export_reopened_total"] == 50
    assert set(load.repost(node).values()) == {"duplicate"}
    assert_exactly_once(load, *files, exported)
    assert node.metrics()["child_deaths_total"] == 0


def test_hang_up_reaches_all_and_acts_once(make_node: MakeNode, exported: Path) -> None:
    """SIGHUP to every process of a node at once, as by killall, reopens once and ends none; one child is enough."""
    node = file_node(make_node, exported)
    pids = [node.process.pid, *(node.child_pid(name) for name in CHILDREN)]
    with Load([node]) as load:
        load.more()
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
        until(lambda: reopened(node) >= 1, "the file to be reopened")
        load.more()
        assert reopened(node) == 1
        for times, pid in enumerate(pids[1:], start=2):
            os.kill(pid, signal.SIGHUP)
            until(lambda: reopened(node) == times, "a child's signal to act")  # noqa: B023 - used at once
    assert not load.unknown
    assert [node.child_pid(name) for name in CHILDREN] == pids[1:]
    assert node.process.poll() is None
    load.repost(node)
    assert_exactly_once(load, exported)


def test_hang_up_without_a_file(make_node: MakeNode) -> None:
    """On stdout there is nothing to reopen: SIGHUP does nothing, and ends nothing."""
    node = make_node()
    os.killpg(node.process.pid, signal.SIGHUP)
    assert node.post(event()) == 202
    until(node.lines, "the line")
    assert node.process.poll() is None
    assert not node.logged("child_died")
    assert node.metrics()["export_reopened_total"] == 0


def test_directory_gone_while_reopening(make_node: MakeNode, exported: Path, directory: Path) -> None:
    """A file that cannot be reopened is counted and tried again at each write; when it can be opened, lines go on."""
    sub = directory / "logs"
    sub.mkdir()
    node = file_node(make_node, sub / "export.jsonl")
    assert node.post(event()) == 202
    until((sub / "export.jsonl").exists, "the first line")
    sub.rename(directory / "old")
    node.signal(signal.SIGHUP)
    until(lambda: node.logged("export_failed"), "the failure")
    assert node.post(event()) == 202
    errors = 'export_errors_total{destination="file",reason="open"}'
    until(lambda: node.metrics()[errors] == 1, "the line to be counted")
    sub.mkdir()
    last = event()
    assert node.post(last) == 202
    until((sub / "export.jsonl").exists, "the file")
    until(lambda: read_lines(sub / "export.jsonl"), "the line")
    assert read_lines(sub / "export.jsonl")[0]["event_id"] == last["event_id"]
    assert json.loads(node.get("/export/health")[1])["destinations"]["file"]["last_error_reason"] == "open"


def test_terminated_under_load(make_node: MakeNode) -> None:
    """SIGTERM under load: exit 0 in time, and every 202 is in this node's lines or in those of the next one, once."""
    node = make_node({"PAYFLUX_WORKERS": "2"})
    with Load([node]) as load:
        load.more()
        begun = time.monotonic()
        node.signal(signal.SIGTERM)
        assert node.process.wait(30) == 0
        took = time.monotonic() - begun
        until(lambda: load.unknown, "the load to notice")
    assert took < 15
    messages = [line["msg"] for line in node.logs()]
    assert messages.count("shutdown_initiated") == 1
    assert messages[-1] == "shutdown_complete"
    assert "child_killed" not in messages
    following = make_node()
    with Load([following]) as later:
        later.more()
    later.bodies = load.bodies | later.bodies
    verdicts = later.repost(following)
    assert {verdicts[event_id] for event_id in load.stored} == {"duplicate"}
    assert_settled(following)
    assert_exactly_once(later, node.lines_file, following.lines_file)
    assert lost(following.metrics(), "crash", "trimmed", "reset") == 0


def test_terminating_a_child_ends_the_node(make_node: MakeNode) -> None:
    """SIGTERM to a child alone ends the whole node gracefully."""
    node = make_node()
    assert node.post(event()) == 202
    until(node.lines, "the line")
    os.kill(node.child_pid("ingest-0"), signal.SIGTERM)
    assert node.process.wait(30) == 0
    assert len(node.logged("shutdown_initiated")) == 1
    assert not node.logged("child_died")


def test_terminated_while_it_starts(server: Server, directory: Path) -> None:
    """SIGTERM before the children are at work ends the node gracefully, and no child stays behind."""
    node = Node(directory / "node", server.url, ready=False)
    until(lambda: node.logged("child_started"), "the first child")
    assert node.stop() == 0
    assert node.logged("shutdown_complete")
    assert not node.logged("child_killed")
    for line in node.logged("child_started"):
        assert not Path(f"/proc/{line['pid']}").exists()


def test_interrupt_to_the_group_ends_once(make_node: MakeNode) -> None:
    """Ctrl-C reaches every process of the node: it ends once, gracefully, with nothing lost."""
    node = make_node({"PAYFLUX_WORKERS": "2"})
    with Load([node]) as load:
        load.more()
        os.killpg(node.process.pid, signal.SIGINT)
        assert node.process.wait(30) == 0
    assert len(node.logged("shutdown_initiated")) == 1
    assert not node.logged("shutdown_hurried")
    assert not node.logged("child_killed")
    node.start()
    load.repost(node)
    assert_settled(node)
    assert_exactly_once(load, node.lines_file)
    assert "Traceback" not in node.log_file.read_text()
