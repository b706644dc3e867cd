"""The producer client when processes end, crash and fork, and against real nodes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from client_node import KEY, exact, nobody, thread_node
from nodes import KEY as NODE_KEY
from payflux.client import Client, Counts
from payflux.testing import make_event
from real_parts import MakeNode
from servers import until

PRODUCER = """
import os, sys, time
from payflux.client import Client
from payflux.testing import make_event
url, key, spool, mode, count = sys.argv[1:]
client = Client(url, key, spool=spool or None)
for _ in range(int(count)):
    assert client.send(make_event())
if mode == "spooled":
    while client.counts().queued:
        time.sleep(0.005)
    print("spooled", client.counts().spooled, flush=True)
    time.sleep(60)
if mode == "os._exit":
    while client.counts().queued:
        time.sleep(0.005)
    os._exit(3)
"""


def produce(url: str, spool: Path | str, mode: str, events: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-W", "error", "-c", PRODUCER, url, KEY, str(spool), mode, str(events)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_process_that_ends_delivers_first() -> None:
    """Without a word from the program: leaving flushes what is queued."""
    with thread_node() as node:
        process = produce(node.url, "", "exit", 1000)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0
        assert len(node.stored) == 1000


def test_a_process_that_ends_while_the_node_is_down_is_not_held_up() -> None:
    """Without a spool the exit takes about two seconds more, and says what was the matter."""
    with nobody() as url:
        begun = time.monotonic()
        process = produce(url, "", "exit", 100)
        _, error = process.communicate(timeout=30)
        assert time.monotonic() - begun < 12
        assert process.returncode == 0
        assert "takes no events" in error


@pytest.mark.parametrize("mode", ["exit", "os._exit", "spooled"])
def test_what_could_not_be_delivered_is_replayed_at_the_next_start(tmp_path: Path, mode: str) -> None:
    """After a clean exit, an exit without handlers, and a kill -9: all events arrive, each once."""
    with nobody() as url:
        process = produce(url, tmp_path, mode, 1000)
        if mode == "spooled":
            assert process.stdout is not None
            assert process.stdout.readline() == "spooled 1000\n"
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert process.returncode == {"exit": 0, "os._exit": 3, "spooled": -9}[mode]
    with thread_node() as node:
        client = Client(node.url, KEY, spool=tmp_path)
        until(lambda: client.counts().recovered == 1000, "the recovery")
        assert client.flush(20)
        assert client.counts() == Counts(0, 1000, 1000, 0, {}, {}, 0, 0, 0)
        assert len(node.stored) == 1000
        client.close()
    assert not list(tmp_path.glob("*/*.jsonl"))


FORKS = """
import os, sys
from payflux.client import Client
from payflux.testing import make_event
client = Client(sys.argv[1], sys.argv[2], spool=sys.argv[3] or None)
for _ in range(300):
    client.send(make_event(channel="parent"))
pids = []
for number in range(3):
    pid = os.fork()
    if not pid:
        assert client.counts().sent == 0
        for _ in range(200):
            assert client.send(make_event(channel=f"child{number}"))
        assert client.flush(20) and client.counts().accepted == 200, client.counts()
        sys.exit(0)
    pids.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
for _ in range(300):
    client.send(make_event(channel="parent"))
assert client.flush(20) and client.counts().accepted == 600 and client.counts().duplicate == 0, client.counts()
sys.exit(max(codes))
"""


@pytest.mark.parametrize("spooling", [False, True])
def test_a_fork_sends_nothing_twice_and_loses_nothing(tmp_path: Path, spooling: bool) -> None:
    """Children begin with an empty client that works; what was queued is the parent's."""
    with thread_node() as node:
        process = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore::DeprecationWarning",
                "-c",
                FORKS,
                node.url,
                KEY,
                str(tmp_path) if spooling else "",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (process.returncode, process.stderr) == (0, "")
        assert len(node.stored) == 600 + 3 * 200
        assert sum(node.batches) == 600 + 3 * 200
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """A client that is closed leaves no thread and no file open."""
    before = len(list(Path("/dev/fd").iterdir())), threading.active_count()
    with nobody() as url:
        for _ in range(3):
            client = Client(url, KEY, spool=tmp_path)
            client.send(make_event())
            until(lambda: client.counts().spooled, "the spool")  # noqa: B023 - called at once
            client.close(0)
    assert (len(list(Path("/dev/fd").iterdir())), threading.active_count()) == before


@pytest.mark.process
def test_a_real_node_that_goes_down_and_comes_back_gets_everything(make_node: MakeNode, tmp_path: Path) -> None:
    """Killed while a client sends, and started again: every event taken is stored once, in order."""
    node = make_node()
    ids = []
    with Client(f"http://127.0.0.1:{node.port}", NODE_KEY, spool=tmp_path) as client:

        def send(events: int) -> None:
            for _ in range(events):
                event = make_event()
                ids.append(event["event_id"])
                assert client.send(event)

        send(1000)
        assert client.flush(20)
        until(lambda: node.line_count() == 1000, "the first lines")  # a kill would cost what is acked and not exported
        os.killpg(node.process.pid, signal.SIGKILL)
        node.process.wait(10)
        send(1000)
        until(lambda: client.counts().spooled == 1000, "the spool")
        node.environ["HTTP_ADDR"] = f"127.0.0.1:{node.port}"
        node.start()
        send(1000)
        assert client.flush(30)
        counts = client.counts()
        assert counts.accepted == 3000
        assert exact(counts)
    try:
        until(lambda: node.line_count() >= 3000, "the lines")
    except AssertionError:
        print(len(node.lines()), node.metrics(), *node.logs()[-40:], sep="\n")  # noqa: T201 - says why
        raise
    assert [line["event_id"] for line in node.lines()] == ids


def test_without_a_spool_memory_bridges_an_outage() -> None:
    """Events queued while nobody listens arrive, in order, when somebody does."""
    with thread_node() as node:
        client = Client(node.url, KEY)
        client.send(make_event())
        assert client.flush(10)
    events = [make_event() for _ in range(1000)]
    for event in events:
        assert client.send(event)
    until(lambda: client.counts().retried, "the outage")
    with thread_node(port=int(node.url.rpartition(":")[2])) as node:
        assert client.flush(20)
        assert list(node.stored) == [event["event_id"] for event in events]
        client.close()
    assert client.counts().accepted == 1001


@pytest.mark.process
def test_a_real_nodes_rate_limit_is_waited_for(make_node: MakeNode) -> None:
    """More than the burst at once: the client waits as told, and all of it is stored."""
    node = make_node({"PAYFLUX_RATELIMIT_RPS": "1000", "PAYFLUX_RATELIMIT_BURST": "500"})
    with Client(f"http://127.0.0.1:{node.port}", NODE_KEY) as client:
        for _ in range(1500):
            client.send(make_event())
        assert client.flush(30)
        assert client.counts().accepted == 1500
        assert client.counts().retried >= 100
    assert node.metrics()["ingest_accepted_total"] == 1500
