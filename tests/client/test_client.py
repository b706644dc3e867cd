"""The producer client: what it promises to the caller, and what becomes of every event, against many kinds of nodes."""

import logging
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from client_node import KEY, Reply, ThreadNode, exact, nobody, thread_node
from payflux.client import AsyncClient, Client, Counts
from payflux.testing import make_event
from servers import until


def test_events_arrive_once_in_order_in_batches() -> None:
    """All are stored in order, in far fewer requests than events, over one connection."""
    events = [make_event() for _ in range(2000)]
    with thread_node() as node, Client(node.url, KEY) as client:
        for event in events:
            assert client.send(event)
        assert client.flush(10)
        assert list(node.stored) == [event["event_id"] for event in events]
        assert max(node.batches) <= 500
        assert len(node.batches) < 200
        assert node.connections == 1
        assert client.counts() == Counts(2000, 0, 2000, 0, {}, {}, 0, 0, 0)


class _Hostile:
    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"a": object()}, "unencodable"),
        (b"[]", "unencodable"),
        (b"{", "unencodable"),
        (b'{"a":"\n"}', "unencodable"),
        ("text", "unencodable"),
        (None, "unencodable"),
        (_Hostile(), "unencodable"),
        ({"a": "\ud800"}, "unencodable"),
        ({"a": "x" * 1_048_576}, "too_large"),
    ],
)
def test_what_cannot_be_sent_is_counted_and_never_raises(event: object, reason: str) -> None:
    """The caller gets False, the counters a reason."""
    with nobody() as url, Client(url, KEY) as client:
        assert client.send(event) is False  # type: ignore[arg-type]
        assert client.counts() == Counts(1, 0, 0, 0, {}, {reason: 1}, 0, 0, 0)


def test_threads_may_share_a_client() -> None:
    """Nothing is lost and nothing is counted twice when many threads send and overflow at once."""
    with thread_node() as node, Client(node.url, KEY, max_events=1000) as client:
        taken = [0] * 4

        def send(number: int) -> None:
            taken[number] = sum(client.send(make_event()) for _ in range(1500))

        threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(20)
        counts = client.counts()
        assert counts.sent == 6000
        assert counts.accepted == len(node.stored) == sum(taken)
        assert exact(counts)


INTERRUPTED = """
import signal, sys
from payflux.client import Client
from payflux.testing import make_event
client = Client(sys.argv[1], sys.argv[2], max_events=5000)
calls = [0, 0]
def handler(number, frame):
    calls[0] += 1
    client.send(make_event())
signal.signal(signal.SIGVTALRM, handler)
signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
while calls[0] < 100:
    client.send(make_event())
    calls[1] += 1
signal.setitimer(signal.ITIMER_VIRTUAL, 0)
assert client.flush(20)
counts = client.counts()
assert counts.sent == sum(calls) == counts.accepted + sum(counts.dropped.values()), (calls, counts)
"""


def test_a_signal_handler_may_send_while_its_own_thread_is_sending() -> None:
    """It neither waits for itself nor spoils a count."""
    with thread_node() as node:
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED, node.url, KEY], capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_node_that_hangs_holds_nobody_up() -> None:
    """Callers go on, the request ends by its time-out, and close ends by its own."""
    hang = threading.Event()

    def slow(_: ThreadNode, __: Sequence[bytes]) -> Reply | None:
        hang.wait(10)
        return None

    with thread_node(slow) as node:
        client = Client(node.url, KEY, timeout_seconds=0.3)
        client.send(make_event())
        until(lambda: client.counts().retried >= 1, "the time-out")
        client.send(make_event())
        begun = time.monotonic()
        assert client.close(0.2) is False
        assert time.monotonic() - begun < 2
        assert client.counts().dropped == {"unsent": 2}
        hang.set()


def test_the_key_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in logs, not in reprs, not in errors; a refused key is a warning and keeps the events."""
    caplog.set_level(logging.DEBUG)
    secret = "secret-0123456789"
    with thread_node() as node:
        client = Client(node.url, secret)
        client.send(make_event())
        until(lambda: client.counts().retried, "the refusal")
        shown = repr(client) + repr(vars(client)) + caplog.text
        assert client.counts().queued == 1
        client.close(0)
    assert "HTTP 401 unauthorized" in caplog.text
    assert secret not in shown + caplog.text
    with pytest.raises(ValueError, match="key") as raised:
        Client("http://x", f"{secret}\r\n")
    assert secret not in str(raised.value)


@pytest.mark.parametrize("option", ["max_events", "max_bytes", "timeout_seconds"])
def test_unusable_bounds_are_refused(option: str) -> None:
    """All of them are positive."""
    with pytest.raises(ValueError, match=option):
        Client("http://x", KEY, **{option: 0})  # type: ignore[arg-type]


async def test_the_asynchronous_client_is_the_same() -> None:
    """`send` is a plain call, `flush` and `close` are awaited."""
    with thread_node() as node:
        async with AsyncClient(node.url, KEY) as client:
            for _ in range(100):
                assert client.send(make_event())
            assert await client.flush(10)
            assert client.counts().accepted == len(node.stored) == 100
            assert repr(client).startswith("<AsyncClient 127.0.0.1:")
        assert client.send(make_event()) is False


def test_send_takes_microseconds() -> None:
    """The caller's time for an event, undisturbed, is far below what a payment would notice."""
    event = make_event()
    with nobody() as url, Client(url, KEY, max_events=50_000, max_bytes=100_000_000) as client:
        times = []
        for _ in range(20):
            begun = time.perf_counter()
            for _ in range(500):
                client.send(event)
            times.append((time.perf_counter() - begun) / 500)
        assert statistics.median(times) < 50e-6
        assert client.counts().queued == 10_000
        client.close(0)
