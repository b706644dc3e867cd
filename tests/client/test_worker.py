"""The client's worker: refused, repeated, split and given up, each event by what its answer says."""

import json
import time
from collections.abc import Sequence

import pytest

from client_node import KEY, Reply, ThreadNode, problem, thread_node
from payflux.client import Client, Rejected
from payflux.testing import make_event
from servers import until


def test_refused_events_are_reported_and_the_others_stored() -> None:
    """Each item of a batch has its own fate; the callback gets event, code and words, and may itself fail."""
    refused: list[Rejected] = []

    def on_rejected(rejected: Rejected) -> None:
        refused.append(rejected)
        raise RuntimeError("a fault of the caller")

    bad, double = make_event(processor="No Slug"), make_event()
    doubled = json.dumps(double).encode()[:-1] + b',"processor":"stripe"}'
    with thread_node() as node, Client(node.url, KEY, on_rejected=on_rejected) as client:
        for event in (make_event(), bad, make_event(), doubled):
            client.send(event)
        assert client.flush(10)
        until(lambda: len(refused) == 2, "both callbacks")
        assert client.counts().rejected == {"invalid_event": 1, "duplicate_member": 1}
        assert client.counts().accepted == len(node.stored) == 2
    assert [json.loads(one.event)["event_id"] for one in refused] == [bad["event_id"], double["event_id"]]
    assert "processor" in refused[0].messages[0]


def test_reasons_are_bounded() -> None:
    """A strange server cannot fill the memory with reasons."""
    numbers = iter(range(10_000))

    def strange(_: ThreadNode, events: Sequence[bytes]) -> Reply:
        results = [{"index": i, "status": "rejected", "code": f"c{next(numbers)}"} for i in range(len(events))]
        return (
            200,
            {},
            json.dumps({"accepted": 0, "duplicates": 0, "rejected": len(events), "results": results}).encode(),
        )

    with thread_node(strange) as node, Client(node.url, KEY) as client:
        for _ in range(200):
            client.send(make_event())
        assert client.flush(10)
        rejected = client.counts().rejected
        assert sum(rejected.values()) == 200
        assert len(rejected) <= 51
        assert rejected["other"] >= 149


def test_items_not_confirmed_are_sent_again() -> None:
    """Of a batch answered half, only the open half goes again."""

    def half(node: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        if len(node.batches) > 1:
            return None
        known = len(events) // 2
        node.store(events[:known])
        results = [{"index": i, "status": "rejected", "code": "redis_timeout"} for i in range(known, len(events))]
        counts = {"accepted": known, "duplicates": 0, "rejected": len(results), "results": results}
        return 200, {}, json.dumps(counts).encode()

    with thread_node(half) as node, Client(node.url, KEY) as client:
        events = [make_event() for _ in range(10)]
        for event in events:
            client.send(event)
        assert client.flush(10)
        first = node.batches[0]
        counts = client.counts()
        assert (counts.accepted, counts.duplicate, counts.retried) == (10, 0, first - first // 2)
        assert set(node.stored) == {event["event_id"] for event in events}


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(status: int) -> None:
    """The next attempt comes after the time asked for, not before."""
    at: list[float] = []

    def busy(_: ThreadNode, __: Sequence[bytes]) -> Reply | None:
        at.append(time.monotonic())
        return problem(status, "busy", Retry_After="1") if len(at) == 1 else None

    with thread_node(busy) as node, Client(node.url, KEY) as client:
        client.send(make_event())
        assert client.flush(10)
        assert client.counts().accepted == len(node.stored) == 1
    assert 1.0 <= at[1] - at[0] < 3


@pytest.mark.parametrize(
    "reply",
    [
        (500, {}, b""),
        (200, {}, b"<html>"),
        (200, {}, b'{"accepted":9,"duplicates":0,"rejected":0,"results":[]}'),
        (200, {}, b'{"accepted":0,"duplicates":0,"rejected":1,"results":[{"index":7,"status":"rejected"}]}'),
        (400, {}, b"a proxy says no"),
        (302, {"Location": "http://elsewhere/"}, b""),
        (404, {}, b""),
        (0, {}, b""),
    ],
)
def test_an_answer_that_settles_nothing_is_followed_by_another_attempt(reply: Reply) -> None:
    """Whatever stands between client and node: events are kept until a node speaks."""

    def strange(node: ThreadNode, _: Sequence[bytes]) -> Reply | None:
        return reply if len(node.batches) <= 2 else None

    with thread_node(strange) as node, Client(node.url, KEY) as client:
        client.send(make_event())
        assert client.flush(10)
        assert client.counts().accepted == len(node.stored) == 1
        assert client.counts().retried == 2


def test_a_batch_that_is_too_large_for_a_proxy_is_split() -> None:
    """Down to the single event that is refused for good."""

    def small(_: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        if len(events) > 3 or any(b"huge" in event for event in events):
            return 413, {}, b"<html>too large</html>"
        return None

    with thread_node(small) as node, Client(node.url, KEY) as client:
        for number in range(40):
            client.send(make_event(channel="huge" if number == 17 else "web"))
        assert client.flush(20)
        assert client.counts().rejected == {"http_413": 1}
        assert client.counts().accepted == len(node.stored) == 39


def test_batches_stay_below_what_a_node_takes() -> None:
    """Large events go in requests of at most a mebibyte."""
    sizes: list[int] = []

    def measure(_: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        sizes.append(sum(len(event) + 1 for event in events))
        return None

    with thread_node(measure) as node, Client(node.url, KEY) as client:
        for _ in range(30):
            client.send(make_event(ignored="x" * 100_000))
        assert client.flush(20)
        assert client.counts().accepted == len(node.stored) == 30
    assert max(sizes) <= 1_048_576 < sum(sizes)
