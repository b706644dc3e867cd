"""Children that die, a supervisor that dies, and ports in use."""

import json
import os
import signal
from pathlib import Path

import pytest

from load_helper import Load, assert_exactly_once, assert_settled, lost
from nodes import Node, event
from real_parts import MakeNode
from servers import Server, until
from stream_keys import STREAM

pytestmark = pytest.mark.process


def alive(pid: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def connections_of(pid: int, port: int) -> int:
    """How many established connections to a port a process holds."""
    links = (str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink())
    own = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" and row[9] in own for row in rows)


def test_ingest_worker_killed(server: Server, make_node: MakeNode) -> None:
    """One of two ingest workers dies: the other's connections notice nothing, and no count is forgotten.

    What Redis did for the dead worker and it did not live to count, re-posting shows as a duplicate.
    """
    node = make_node({"PAYFLUX_WORKERS": "2"})
    with Load([node], connections=16) as load:
        load.more()
        counted = node.metrics()["ingest_accepted_total"]
        former = node.child_pid("ingest-0")
        os.kill(former, signal.SIGSTOP)  # so that each of its connections has a request under way when it dies
        held = connections_of(former, node.port)
        if held < 16:  # as nearly always; on a busy machine one worker may have them all
            load.more(500)
        assert node.kill_child("ingest-0") != former
        assert node.metrics()["ingest_accepted_total"] >= counted
        load.more()
    assert len(load.troubled) == held
    verdicts = load.repost(node)
    assert {verdicts[event_id] for event_id in load.stored} == {"duplicate"}
    uncounted = sum(verdicts[event_id] == "duplicate" for event_id in load.unknown)
    assert_settled(node)
    assert_exactly_once(load, node.lines_file)
    length = server.client.xlen(STREAM)
    assert length == len(load.bodies)
    assert length - uncounted <= node.metrics()["ingest_accepted_total"] <= length
    assert node.metrics()["child_deaths_total"] == 1


def test_children_keep_dying_crash(make_node: MakeNode) -> None:
    """After five deaths in a minute the node gives up and exits 1: the process manager takes over."""
    node = make_node()
    for _ in range(4):
        node.kill_child("ingest-0")
    os.kill(node.child_pid("ingest-0"), signal.SIGKILL)
    assert node.process.wait(20) == 1
    assert len(node.logged("child_died")) == 5
    assert "5 deaths" in node.logged("shutdown_initiated")[0]["reason"]
    assert node.logged("shutdown_complete")


def test_children_keep_dying_recover(make_node: MakeNode) -> None:
    """With PAYFLUX_PANIC_MODE=recover the node goes on, unready, and replaces what dies."""
    node = make_node({"PAYFLUX_PANIC_MODE": "recover"})
    for _ in range(5):
        node.kill_child("consumer")
    until(lambda: node.get("/readyz")[0] == 503, "unready")
    assert json.loads(node.get("/readyz")[1])["code"] == "part_failing"
    assert node.get("/livez")[0] == 200
    assert node.post(event()) == 202
    until(node.lines, "the sixth consumer to work")
    assert node.process.poll() is None


def test_supervisor_killed(make_node: MakeNode) -> None:
    """When the supervisor is killed its children end by themselves, and the next start loses nothing."""
    node = make_node({"PAYFLUX_WORKERS": "2"})
    children = [node.child_pid(name) for name in ("consumer", "ingest-0", "ingest-1")]
    assert all(alive(pid) for pid in children)
    with Load([node]) as load:
        load.more()
        node.signal(signal.SIGKILL)
        assert node.process.wait(10) == -signal.SIGKILL
        until(lambda: load.unknown, "the load to notice")
    until(lambda: not any(alive(pid) for pid in children), "the children to end", 30)
    assert not [line for line in node.logs() if line["msg"] in ("child_failed", "child_died")]
    node.start()
    with Load([node]) as later:
        later.more()
    later.bodies = load.bodies | later.bodies
    later.repost(node)
    assert_settled(node)
    assert_exactly_once(later, node.lines_file)
    assert lost(node.metrics(), "crash", "trimmed", "reset") == 0


def test_port_in_use(make_node: MakeNode) -> None:
    """A second node on the port is refused with exit code 2, and the first goes on alone."""
    first = make_node({"PAYFLUX_WORKERS": "2"})
    second = Node(
        first.lines_file.parent / "second",
        first.environ["REDIS_URL"],
        {"HTTP_ADDR": f"127.0.0.1:{first.port}"},
        ready=False,
    )
    assert second.process.wait(20) == 2
    (line,) = second.logged("cannot_listen")
    assert "HTTP_ADDR" in line["hint"]
    assert not second.logged("child_started")
    assert all(first.post(event()) == 202 for _ in range(10))
