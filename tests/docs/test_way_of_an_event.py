"""ARCHITECTURE.md names the files one event passes through: a real node is watched while one does."""

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploying import ROOT
from nodes import KEY, Node, event
from real_parts import MakeNode
from servers import until

pytestmark = pytest.mark.process

PAGE = ROOT / "ARCHITECTURE.md"
ROWS = re.compile(r"^\| `([a-z_/]+\.py)` \|", re.MULTILINE)
MOST = {"From socket to 202": 9, "From stream to line": 10}
WATCH = """
import os, sys, threading

def watch(frame, event, _, directory=os.environ["WATCHED"], seen=set(), name=[]):
    path = frame.f_code.co_filename
    if event != "call" or "/payflux/" not in path:
        return
    try:
        with open(directory + "/now") as now:
            key = (now.read(), path)
    except OSError:
        return
    if key not in seen:
        seen.add(key)
        with open(f"{directory}/{key[0]}.{os.getpid()}", "a") as found:
            found.write(path.rpartition("/payflux/")[2] + "\\n")

threading.setprofile(watch)
sys.setprofile(watch)
"""
"""Becomes `sitecustomize` of the node's processes: notes the files whose functions are called, by the name in `now`."""


class Watched:
    """A node whose calls are noted while one event goes through it."""

    def __init__(self, node: Node, directory: Path) -> None:
        self._node, self._directory = node, directory
        self._connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        self._passed = 0

    def send(self) -> None:
        """One event over the same connection, with the same head, until its line is out."""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        body = json.dumps(event(), separators=(",", ":")).encode()
        self._connection.request("POST", "/v1/events/payment_exhaust", body, headers)
        response = self._connection.getresponse()
        assert (response.status, response.read()) == (202, b'{"status":"accepted"}')
        self._passed += 1
        until(lambda: self._node.line_count() == self._passed, "its line")

    def files(self, child: str, name: str) -> set[str]:
        """The files in which a child called functions while an event of this name went through."""
        now = self._directory / "now"
        (self._directory / "next").write_text(name)
        (self._directory / "next").rename(now)
        self.send()
        now.unlink()
        return set((self._directory / f"{name}.{self._node.child_pid(child)}").read_text().split())


@pytest.fixture
def watched(make_node: MakeNode, directory: Path) -> Iterator[Watched]:
    """A warm node: its heads, keys and kinds of events are known."""
    (directory / "sitecustomize.py").write_text(WATCH)
    node = make_node({"PYTHONPATH": str(directory), "WATCHED": str(directory), "PAYFLUX_WORKERS": "1"})
    one = Watched(node, directory)
    with closing(one._connection):
        for _ in range(10):
            one.send()
        yield one


@pytest.mark.parametrize(("part", "child"), [("From socket to 202", "ingest-0"), ("From stream to line", "consumer")])
def test_the_page_names_the_files_an_event_passes_through(watched: Watched, part: str, child: str) -> None:
    """What every one of several events passes through is what the page lists; what only some do is the clock's."""
    text = PAGE.read_text().partition(f"## {part}")[2].partition("\n## ")[0]
    listed = ROWS.findall(text)
    passed = set.intersection(*(watched.files(child, f"event-{number}") for number in range(5)))
    assert sorted(passed) == sorted(listed)
    assert 0 < len(listed) <= MOST[part]
