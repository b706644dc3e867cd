"""The example consumers, as processes, each against a living node with real traffic."""

import http.server
import json
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Self

import pytest

from nodes import Node, event
from payflux.event.outcome import outcome_of
from payflux.load.traffic import Traffic
from real_parts import MakeNode
from servers import Server, until

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PROGRAMS = ("analytics", "retry_advice", "alerting", "replay_by_id")
Events = list[dict[str, Any]]

pytestmark = pytest.mark.process


def command(name: str, *arguments: object) -> list[str]:
    """The command line of an example."""
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]


def ended(name: str, *arguments: object) -> str:
    """Run an example to its end; what it printed."""
    return subprocess.run(command(name, *arguments), capture_output=True, text=True, timeout=30, check=True).stdout


@contextmanager
def running(name: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """An example at work; ends gracefully, with exit code 0, unless it was killed meanwhile."""
    process = subprocess.Popen(command(name, *arguments), stdin=subprocess.DEVNULL)
    try:
        yield process
        if process.poll() is None:
            process.terminate()
            assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(20)


def traffic(count: int) -> Events:
    """So many events as real traffic has them."""
    return [dict(one) for _, one in islice(Traffic(7, 1_767_957_855.0).arrivals(50), count)]


def give(node: Node, events: Sequence[dict[str, Any]]) -> None:
    """Have the node take events."""
    for start in range(0, len(events), 500):
        status, report = node.post_batch(events[start : start + 500])
        assert (status, report["rejected"]) == (200, 0)


def group_of(server: Server, name: str) -> dict[str, Any]:
    """What Redis says of a group; empty while there is none."""
    found: Any = server.client.xinfo_groups("events_stream") if server.client.exists("events_stream") else []
    return next((one for one in found if one["name"] == name.encode()), {})


def read(server: Server, name: str) -> int:
    """How many entries a group was given."""
    return int(group_of(server, name).get("entries-read") or 0)


def settled(server: Server, name: str) -> bool:
    """Whether a group has read and acked everything."""
    group, newest = group_of(server, name), server.client.xinfo_stream("events_stream")
    return bool(group) and group["pending"] == 0 and group["last-delivered-id"] == newest["last-generated-id"]


def kind(one: dict[str, Any]) -> str:
    """The outcome of an event."""
    return outcome_of(one["event_type"], one["retry_result"], one["failure_category"]).kind


def rolled_up(database: Path) -> Counter[tuple[str, str]]:
    """What analytics shows: events by processor and outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in ended("analytics", "--database", database, "--show").splitlines()[1:]:
        _, processor, outcome, events, _ = line.split()
        counts[processor, outcome] += int(events)
    return counts


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_explains_itself(name: str) -> None:
    """`--help` works without Redis and says what it is about and what it takes."""
    text = ended(name, "--help")
    assert "--redis" in text
    assert len(text.splitlines()) > 6


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_says_what_it_lacks(name: str, directory: Path) -> None:
    """Without `redis` for Python it says how to install it, in one line."""
    (directory / "redis.py").write_text("raise ModuleNotFoundError")
    found = subprocess.run(command(name, "--help"), env={"PYTHONPATH": str(directory)}, capture_output=True, timeout=30)
    assert found.returncode == 1
    assert found.stderr.count(b"\n") == 1
    assert b"pip install redis" in found.stderr


def test_analytics_counts_every_event_once(make_node: MakeNode, server: Server, directory: Path) -> None:
    """By processor and outcome, over a kill -9, a connection lost, and entries left by a dead consumer."""
    node, database = make_node(), directory / "rollup.db"
    events = traffic(3000)
    give(node, events[:1000])
    # Another consumer of the group took some and died; what it took is idle for longer than the example waits.
    server.client.xgroup_create("events_stream", "analytics", id="0")
    taken: Any = server.client.xreadgroup("analytics", "dead", {"events_stream": ">"}, count=300)
    server.client.xclaim("events_stream", "analytics", "dead", 0, [one for one, _ in taken[0][1]], idle=120_000)
    arguments = ("--redis", server.url, "--database", database)
    with running("analytics", *arguments) as process:
        until(lambda: read(server, "analytics") > 300, "some work")
        process.kill()
        process.wait(20)
    give(node, events[1000:])
    with running("analytics", *arguments):
        until(lambda: settled(server, "analytics"), "all work")
        server.client.client_kill_filter(_type="normal", skipme=True)
        more = [event(event_type="payment_failed", retry_result="", processor="late") for _ in range(5)]
        until(lambda: node.post(more[0]) == 202, "the node is connected again")
        give(node, more)
        until(lambda: settled(server, "analytics"), "the rest")
        server.client.xgroup_setid("events_stream", "analytics", 0)  # everything is delivered once more
        until(lambda: settled(server, "analytics"), "all of it again")
    assert rolled_up(database) == Counter((one["processor"], kind(one)) for one in events + more)


def test_retry_advice_counts_retries_exactly(make_node: MakeNode, server: Server) -> None:
    """Successes and attempts of each retry; retries that never succeed are advised against, also after a restart."""
    node = make_node()
    good = [event(processor="good", retry_count=n % 2 + 1, retry_result="succeeded") for n in range(60)]
    bad = [event(processor="bad", retry_count=n % 2 + 1, retry_result="failed") for n in range(60)]
    first = [event(processor="good", retry_count=0) for _ in range(10)]
    give(node, good[:30] + bad[:30] + first)
    with running("retry_advice", "--redis", server.url):
        until(lambda: settled(server, "retry-advice"), "all work")
    give(node, good[30:] + bad[30:])
    with running("retry_advice", "--redis", server.url):
        until(lambda: settled(server, "retry-advice"), "the rest")
    lines = ended("retry_advice", "--redis", server.url, "--show").splitlines()[1:]
    assert [line.split() for line in lines] == [
        ["bad", "0", "1:", "0/30", "2:", "0/30"],
        ["good", "2", "1:", "30/30", "2:", "30/30"],
    ]


class Receiver:
    """A webhook's other end: a real HTTP server that keeps what it took, and refuses as often as it is told."""

    def __init__(self, refusals: int) -> None:
        self.taken: list[dict[str, Any]] = []
        self.refused = 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                alert = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.refused < refusals:
                    receiver.refused += 1
                    self.send_response(503)
                else:
                    receiver.taken.append(alert)
                    self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
                """Stay quiet."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


def test_alerting_tells_a_webhook_when_it_begins_and_when_it_ends(make_node: MakeNode, server: Server) -> None:
    """One alert for each change, though the webhook refuses at first; nothing is acked before it was taken."""
    node = make_node()
    give(node, [event(processor="fine", retry_result="succeeded") for _ in range(40)])
    give(node, [event(processor="sick") for _ in range(40)])
    with Receiver(refusals=2) as receiver:
        with running("alerting", "--redis", server.url, "--webhook", receiver.url):
            until(lambda: len(receiver.taken) == 1, "the first alert")
            give(node, [event(processor="sick", retry_result="succeeded") for _ in range(60)])
            until(lambda: settled(server, "alerting"), "all work")
        assert receiver.refused == 2
        assert [(one["processor"], one["state"]) for one in receiver.taken] == [
            ("sick", "firing"),
            ("sick", "resolved"),
        ]
        assert len({one["id"] for one in receiver.taken}) == 2


def test_an_alert_nobody_takes_stays_pending(make_node: MakeNode, server: Server) -> None:
    """Told to end while the webhook is away, it acks nothing; the next start delivers the same alert."""
    node = make_node()
    give(node, [event(processor="sick") for _ in range(40)])
    with Receiver(refusals=1_000) as away:
        with running("alerting", "--redis", server.url, "--webhook", away.url):
            until(lambda: away.refused > 1, "refusals")
        assert group_of(server, "alerting")["pending"] == 40
    with Receiver(refusals=0) as back:
        with running("alerting", "--redis", server.url, "--webhook", back.url):
            until(lambda: settled(server, "alerting"), "all work")
        assert [one["processor"] for one in back.taken] == ["sick"]


def test_a_stream_that_is_lost_is_followed_anew(make_node: MakeNode, server: Server, directory: Path) -> None:
    """After a flush of Redis the group is made again and what comes then is counted."""
    node, database = make_node(), directory / "rollup.db"
    give(node, [event() for _ in range(10)])
    with running("analytics", "--redis", server.url, "--database", database):
        until(lambda: settled(server, "analytics"), "the first events")
        server.client.flushall()
        until(lambda: node.post(event()) == 202, "the node works again")
        until(lambda: group_of(server, "analytics") and settled(server, "analytics"), "the event after the flush")
    assert rolled_up(database) == Counter({("stripe", "failure"): 11})


@pytest.mark.parametrize("group", [(), ("--group", str(uuid.uuid4()))], ids=["XREAD", "XREADGROUP"])
def test_replay_begins_behind_an_id(make_node: MakeNode, server: Server, group: tuple[str, ...]) -> None:
    """The stored bytes of everything behind it, in order; a group gives each event once, also over two runs."""
    node = make_node()
    give(node, traffic(1200))
    entries: Any = server.client.xrange("events_stream")
    stored = [fields[b"data"].decode() for _, fields in entries]
    arguments = ("--redis", server.url, "--after", entries[99][0].decode(), *group)
    if group:  # an interrupted run: it was given some and has acked none of them
        server.client.xgroup_create("events_stream", group[1], id=entries[99][0])
        server.client.xreadgroup(group[1], "replay", {"events_stream": ">"}, count=7)
    assert ended("replay_by_id", *arguments).splitlines() == stored[100:]
    assert ended("replay_by_id", *arguments).splitlines() == ([] if group else stored[100:])


def test_sigterm_between_batches_leaves_nothing_pending(make_node: MakeNode, server: Server, directory: Path) -> None:
    """Ended while traffic flows, what it was given is counted and acked."""
    node, database = make_node(), directory / "rollup.db"
    give(node, [event() for _ in range(2000)])
    with running("analytics", "--redis", server.url, "--database", database) as process:
        until(lambda: read(server, "analytics") > 0, "some work")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    group = group_of(server, "analytics")
    assert group["pending"] == 0
    assert sum(rolled_up(database).values()) == group["entries-read"]
