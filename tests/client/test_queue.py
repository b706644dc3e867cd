"""The client's queue: bounded in events and bytes, and what does not fit is counted."""

import pytest

from client_node import KEY, exact, nobody
from payflux.client import Client
from payflux.client.event import encode, finished
from payflux.client.queue import Queue
from payflux.testing import make_event


def test_an_overflowing_queue_is_counted_exactly() -> None:
    """With the node down, exactly as many events stay as fit, and every other one is dropped and counted."""
    with nobody() as url:
        client = Client(url, KEY, max_events=700)
        taken = [client.send(make_event()) for _ in range(2000)]
        assert taken == [True] * 700 + [False] * 1300
        counts = client.counts()
        assert (counts.queued, counts.dropped) == (700, {"queue_full": 1300})
        assert exact(counts)
        assert client.close(0.1) is False
        assert client.counts().dropped == {"queue_full": 1300, "unsent": 700}
        assert client.send(make_event()) is False
        assert client.counts().dropped["closed"] == 1
        assert exact(client.counts())


def test_the_queue_is_bounded_in_bytes() -> None:
    """Large events fill it sooner."""
    event = make_event()
    size = len(encode(event))
    with nobody() as url, Client(url, KEY, max_bytes=10 * size + 1) as client:
        assert sum(client.send(event) for _ in range(30)) == 10
        client.close(0)


def test_a_batch_on_its_way_leaves_less_room() -> None:
    """Half of what is left is the limit after which events go to disk, or the queue would be full before."""
    queue = Queue(600, 1 << 20)
    for _ in range(500):
        queue.put(b"{}")
    assert queue.pressed
    assert len(queue.take(500, 1 << 20)) == 500
    for waiting in range(1, 60):
        assert queue.put(b"{}")
        assert queue.pressed == (waiting >= 50)
    queue.end()


def test_what_is_given_back_while_it_is_finished_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a process: it waits again as one event with one id, and nobody else has it with another."""
    queue = Queue(10, 10_000)
    queue.put(encode({"processor": "stripe"}))

    def finished_late(event: bytes) -> bytes:
        queue.give_back()
        return finished(event)

    with monkeypatch.context() as patch:
        patch.setattr("payflux.client.queue.finished", finished_late)
        assert queue.take(10, 10_000) == ()
    assert queue.counts().queued == 1
    [event] = queue.take(10, 10_000)
    queue.give_back()
    assert queue.take(10, 10_000) == [event]


def test_nothing_in_memory_overtakes_what_is_on_its_way_to_the_spool() -> None:
    """The courier gets nothing while older events are with the keeper or in the spool."""
    queue = Queue(100, 1 << 20)
    for number in range(3):
        assert queue.put(b'{"n":%d,"event_id":"x","event_timestamp":"t"}' % number)
    (oldest,) = queue.take_some(1)
    assert queue.take(10, 10_000, overtake=False) == ()
    queue.put_back([], [oldest])
    assert queue.take(10, 10_000, overtake=False) == ()
    assert queue.record([oldest], 1, 0, [], [])
    assert len(queue.take(10, 10_000, overtake=False)) == 2
