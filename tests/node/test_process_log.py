"""A reader of the log that stalls: events are taken in and exported, the node ends, and the gap in the log is said."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from load_helper import Load, assert_settled, read_lines
from nodes import KEY, Node
from servers import Server, until

pytestmark = pytest.mark.process

DROPPED = "log_lines_dropped_total"
MANY = 1200  # of half a kilobyte each: more than the pipe and the queue of one process hold


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe nobody reads yet; its writer is to be closed once the node has it."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


def started(directory: Path, server: Server, writer: int, *, stdout: int | None = None, unknown: int = MANY) -> Node:
    """A node whose log goes into the pipe, with so many lines at its start."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    environ = {f"PAYFLUX_{number:04}_{'X' * 400}": "" for number in range(unknown)}
    environ["HTTP_ADDR"] = f"127.0.0.1:{port}"
    node = Node(directory / "node", server.url, environ, stdout=stdout, stderr=writer, ready=False)
    os.close(writer)
    node.port = port
    return node


def test_reader_of_the_log_stalls(directory: Path, server: Server, pipe: tuple[int, int]) -> None:
    """Nobody reads the log: all goes on, dropped lines are counted, and the reader who is back finds the rest."""
    reader, writer = pipe
    node = started(directory, server, writer)
    try:
        until(lambda: node.get("/health")[0] == 200, "health", 30)
        with Load([node]) as load:
            load.more()
            os.kill(_child(node, "ingest-0"), signal.SIGKILL)
            until(lambda: node.metrics()["child_deaths_total"] == 1, "a death to be seen")
            load.more()
        load.repost(node)
        assert_settled(node)
        assert len(read_lines(node.lines_file)) == len(load.bodies)
        dropped = node.metrics()[DROPPED]
        assert dropped > 100
        with os.fdopen(os.dup(reader), "rb") as file:
            logs: list[dict[str, Any]] = []
            while not logs or logs[-1]["msg"] != "log_lines_dropped":
                logs.append(json.loads(file.readline()))
            node.signal(signal.SIGTERM)
            logs += [json.loads(line) for line in file]
        assert node.process.wait(30) == 0
    finally:
        node.kill_all()
    said = [line["count"] for line in logs if line["msg"] == "log_lines_dropped"]
    assert said == [dropped]
    unknown = [line["detail"] for line in logs if line["msg"] == "unknown_variable"]
    assert unknown == sorted(unknown)
    assert MANY - dropped < len(unknown) < MANY
    assert logs[-1]["msg"] == "shutdown_complete"


def _child(node: Node, name: str) -> int:
    """The process that is this child; the log does not say."""
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            of_node = os.getpgid(int(process.name)) == node.process.pid
            if of_node and name.encode() in process.joinpath("cmdline").read_bytes():
                return int(process.name)
        except OSError:
            continue
    raise AssertionError(name)


def test_reader_of_everything_stalls(directory: Path, server: Server, pipe: tuple[int, int]) -> None:
    """`payflux serve 2>&1` into a reader that never reads: events are taken in, and the node ends with exit code 0."""
    _, writer = pipe
    node = started(directory, server, writer, stdout=writer)
    try:
        until(lambda: node.get("/health")[0] == 200, "health", 30)
        with Load([node]) as load:
            load.more()
        assert not load.unknown
        node.signal(signal.SIGTERM)
        assert node.process.wait(30) == 0
    finally:
        node.kill_all()


@pytest.mark.parametrize("variable", [{"PAYFLUX_WORKERS": "none"}, {"HTTP_ADDR": "203.0.113.1:1"}])
def test_a_refused_start_is_said_in_full(variable: dict[str, str], pipe: tuple[int, int]) -> None:
    """Exit code 2 comes with its reason, though the reader comes late and much is logged before."""
    reader, writer = pipe
    environ = {f"PAYFLUX_{number:04}_{'X' * 400}": "" for number in range(150)} | {"PAYFLUX_API_KEY": KEY}
    process = subprocess.Popen(
        [sys.executable, "-m", "payflux"],
        env=environ | {"PATH": os.environ["PATH"], "PAYFLUX_CHECKOUT_ENABLED": "false"} | variable,
        stderr=writer,
    )
    os.close(writer)
    with os.fdopen(os.dup(reader), "rb") as file:
        text = file.read()
    assert process.wait(10) == 2
    assert next(iter(variable)).encode() in text.splitlines()[-1] or b"cannot_listen" in text.splitlines()[-1]
