"""The client's queue: bounded in events and bytes, and what does not fit is counted."""

from client_node import KEY, exact, nobody
from payflux.client import Client
from payflux.client.event import encode
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
