"""The producer client: what it promises to the caller, and what becomes of every event, against many kinds of nodes."""

import json
import logging
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_node import KEY, Reply, ThreadNode, exact, nobody, problem, thread_node
from payflux.client import Client, Counts, Rejected
from payflux.client.event import encode, finished
from payflux.client.http import Answer, settle
from payflux.event.decode import decode_event
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


def test_what_is_missing_is_filled_in() -> None:
    """An id and the time of sending are added to members and to JSON, and what was given is not changed."""
    bare = {"event_type": "payment_failed", "processor": "stripe"}
    before = time.time()
    with thread_node() as node, Client(node.url, KEY) as client:
        client.send(bare)
        client.send(json.dumps(bare, indent=2).encode())
        client.send(b'{"event_type":"x","processor":"p","event_id":"%s"}' % str(uuid.uuid4()).encode())
        assert client.flush(10)
        assert client.counts().accepted == len(node.stored) == 3
        stamps = [json.loads(body)["event_timestamp"] for body in node.stored.values()]
    assert bare == {"event_type": "payment_failed", "processor": "stripe"}
    sent = [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]
    assert before - 0.001 <= min(sent) <= max(sent) <= time.time()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp) for stamp in stamps)


@given(st.sets(st.sampled_from(["event_id", "event_timestamp"])), st.booleans(), st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_what_is_encoded_is_one_line_with_both_members(missing: set[str], pretty: bool, text: str) -> None:
    """Members and JSON give the same event, on one line, whatever is in it."""
    event = {name: value for name, value in make_event(channel=text).items() if name not in missing}
    for given_as in (event, json.dumps(event, indent=2 if pretty else None).encode()):
        waiting = encode(given_as)
        body = finished(waiting)
        assert len(body) == len(waiting)
        assert finished(body) == body
        assert b"\n" not in body
        read = json.loads(body)
        assert uuid.UUID(read["event_id"]).version == 4
        assert read == event | {name: read[name] for name in ("event_id", "event_timestamp")}
    assert decode_event(finished(encode(make_event(channel="web")))).processor == "stripe"


def test_ids_made_are_different() -> None:
    """No two of many ids are the same, and each is a UUID version 4."""
    ids = {json.loads(finished(encode(one)))["event_id"] for one in [{}, {"processor": "p"}] for _ in range(2500)}
    assert len(ids) == 5000
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids)


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


def test_refused_events_are_reported_and_the_others_stored() -> None:
    """Each item of a batch has its own fate; the callback gets event, code and words, and may itself fail."""
    refused: list[Rejected] = []

    def on_rejected(rejected: Rejected) -> None:
        refused.append(rejected)
        raise RuntimeError("a fault of the caller")

    bad, card = make_event(processor="No Slug"), make_event(channel="4111 1111 1111 1111")
    with thread_node() as node, Client(node.url, KEY, on_rejected=on_rejected) as client:
        for event in (make_event(), bad, make_event(), card):
            client.send(event)
        assert client.flush(10)
        until(lambda: len(refused) == 2, "both callbacks")
        assert client.counts().rejected == {"invalid_event": 1, "pan_detected": 1}
        assert client.counts().accepted == len(node.stored) == 2
    assert [json.loads(one.event)["event_id"] for one in refused] == [bad["event_id"], card["event_id"]]
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


def test_a_connection_closed_while_idle_costs_nothing() -> None:
    """A node that closes idle connections is no outage: the next batch goes over a new one at once."""
    with thread_node() as node:
        client = Client(node.url, KEY)
        client.send(make_event())
        assert client.flush(10)
    with thread_node(port=int(node.url.rpartition(":")[2])) as again:
        client.send(make_event())
        assert client.flush(10)
        assert len(again.stored) == 1
        assert client.counts() == Counts(2, 0, 2, 0, {}, {}, 0, 0, 0)
        client.close()


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


@given(st.binary(max_size=200), st.sampled_from([200, 202, 204, 301, 400, 401, 403, 408, 413, 422, 429, 500, 503]))
def test_any_answer_settles_or_leaves_every_event(body: bytes, status: int) -> None:
    """Whatever a server says, each event of the batch is in exactly one part of the outcome."""
    outcome = settle(Answer(status, 0.0, body), 3)
    assert outcome.accepted + outcome.duplicate + len(outcome.refused) + len(outcome.unsettled) == 3


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
