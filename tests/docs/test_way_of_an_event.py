"""ARCHITECTURE.md names the files one event passes through: a real node is watched while one does."""

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploying import ROOT
from nodes import KEY, Node, event
from real_parts import MakeNode
from servers import until

pytestmark = pytest.mark.process

PAGE = ROOT / "ARCHITECTURE.md"
ROWS = re.compile(r"^\| `([a-z_/]+\.py)` \|", re.MULTILINE)
HEAD = (
    b"POST /v1/events/payment_exhaust HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer %b\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
MOST = {"From socket to 202": 9, "From stream to line": 12}
WATCH = """
import os, sys, threading

DIRECTORY = os.environ["WATCHED"]
SEEN = set()

def holds(value, needle, depth=4):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return needle in bytes(value)
    if isinstance(value, str):
        return needle.decode() in value
    if not depth or isinstance(value, (int, float, type(None))):
        return False
    if isinstance(value, dict):
        value = list(value.values())
    elif hasattr(value, "__struct_fields__"):
        value = [getattr(value, name) for name in value.__struct_fields__]
    elif hasattr(value, "__dataclass_fields__"):
        value = [getattr(value, name, None) for name in value.__dataclass_fields__]
    elif not isinstance(value, (list, tuple)):
        return False
    return any(holds(one, needle, depth - 1) for one in value[:50])

def watch(frame, event, result):
    code = frame.f_code
    if event not in ("call", "return") or "/payflux/" not in code.co_filename:
        return
    try:
        with open(DIRECTORY + "/now", "rb") as now:
            needle = now.read()
    except OSError:
        return
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    given = [result] if event == "return" else [frame.f_locals.get(name) for name in names if name != "self"]
    if (needle, code.co_filename) not in SEEN and any(holds(value, needle) for value in given):
        SEEN.add((needle, code.co_filename))
        with open(f"{DIRECTORY}/{needle.decode()}.{os.getpid()}", "a") as found:
            found.write(code.co_filename.rpartition("/payflux/")[2] + "\\n")

threading.setprofile(watch)
sys.setprofile(watch)
"""
"""Becomes `sitecustomize` of the node's processes: notes the files whose functions are handed the event named in `now`,
as it arrived, stored, delivered or as its line, by itself or among others."""


class Watched:
    """A node whose calls are noted while one event goes through it."""

    def __init__(self, node: Node, directory: Path) -> None:
        self._node, self._directory = node, directory
        self._connection = socket.create_connection(("127.0.0.1", node.port), timeout=30)
        self._passed = 0

    def send(self, one: dict[str, Any]) -> None:
        """An event over the same connection, with the same head, until its line is out."""
        body = json.dumps(one, separators=(",", ":")).encode()
        self._connection.sendall(HEAD % (KEY.encode(), len(body)) + body)  # at once: two packets take another way
        answer = b""
        while not answer.endswith(b'{"status":"accepted"}'):
            answer += self._connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 202 ")
        self._passed += 1
        until(lambda: self._node.line_count() == self._passed, "its line")

    def files(self, child: str) -> set[str]:
        """The files through which a child handed one more event."""
        one, now = event(), self._directory / "now"
        (self._directory / "next").write_text(one["event_id"])
        (self._directory / "next").rename(now)
        self.send(one)
        now.unlink()
        found = self._directory / f"{one['event_id']}.{self._node.child_pid(child)}"
        until(found.exists, "what was noted")
        return set(found.read_text().split())


@pytest.fixture
def watched(make_node: MakeNode, directory: Path) -> Iterator[Watched]:
    """A warm node: its heads, keys and kinds of events are known."""
    (directory / "sitecustomize.py").write_text(WATCH)
    node = make_node({"PYTHONPATH": str(directory), "WATCHED": str(directory), "PAYFLUX_WORKERS": "1"})
    one = Watched(node, directory)
    with closing(one._connection):
        for _ in range(10):
            one.send(event())
        yield one


@pytest.mark.parametrize(("part", "child"), [("From socket to 202", "ingest-0"), ("From stream to line", "consumer")])
def test_the_page_names_the_files_an_event_passes_through(watched: Watched, part: str, child: str) -> None:
    """What most of several events are handed through is what the page lists: on a slow machine one may meet a pause."""
    text = PAGE.read_text().partition(f"## {part}")[2].partition("\n## ")[0]
    listed = ROWS.findall(text)
    times = Counter(file for _ in range(5) for file in watched.files(child))
    assert sorted(file for file, often in times.items() if often > 2) == sorted(listed)
    assert 0 < len(listed) <= MOST[part]
