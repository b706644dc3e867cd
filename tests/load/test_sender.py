"""The sender: what it says on the wire, what it records, and how it waits."""

import asyncio
import json
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from one_answer import INVALID, ITEMS, once, one_answer, request_of
from payflux.event.intake import BATCH_PATH, EVENT_PATH, Form
from payflux.load.attempts import Attempt
from payflux.load.sender import Sender
from toy_node import KEYS, serving, toy_node


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return tmp_path / "lines.jsonl"


def ids_in(lines: Path) -> list[str]:
    return [json.loads(line)["event_id"] for line in lines.read_bytes().splitlines()]


async def test_a_single_event_is_stored_then_a_duplicate(lines: Path) -> None:
    """The record says which answer was which, under the id of the item."""
    async with toy_node(lines) as node, Sender(node.url, KEYS) as sender:
        first = await sender.send(ITEMS[:1])
        again = await sender.send(ITEMS[:1])
    assert first == [Attempt(ITEMS[0].event_id, 202, "accepted", "", 1)]
    assert again == [Attempt(ITEMS[0].event_id, 202, "duplicate", "", 2)]
    assert ids_in(lines) == [ITEMS[0].event_id]


async def test_a_refused_event_is_rejected_with_its_code(lines: Path) -> None:
    """A 400 is final: it is not sent again."""
    async with toy_node(lines) as node, Sender(node.url, KEYS) as sender:
        (attempt,) = await sender.send([INVALID])
        assert len(node.requests) == 1
    assert (attempt.status, attempt.verdict, attempt.settled) == (400, "rejected", True)
    assert attempt.code


@pytest.mark.parametrize(("form", "kind"), [("array", "application/json"), ("ndjson", "application/x-ndjson")])
async def test_a_batch_has_a_record_for_each_event(lines: Path, form: Form, kind: str) -> None:
    """Results come in the order of the items, all under one request."""
    items = [*ITEMS[:3], INVALID, ITEMS[0]]
    async with toy_node(lines) as node, Sender(node.url, KEYS) as sender:
        attempts = await sender.send(items, form)
        ((path, headers, _),) = node.requests
    assert (path, headers["content-type"]) == (BATCH_PATH, kind)
    assert [attempt.verdict for attempt in attempts] == ["accepted"] * 3 + ["rejected", "duplicate"]
    assert [attempt.event_id for attempt in attempts] == [item.event_id for item in items]
    assert {attempt.request for attempt in attempts} == {1}


async def test_connections_are_kept_and_keys_take_turns(lines: Path) -> None:
    """Forty events over two connections, half under each key."""
    async with toy_node(lines) as node, Sender(node.url, KEYS, connections=2) as sender:
        await asyncio.gather(*(sender.send([item]) for item in ITEMS))
        used = Counter(headers["authorization"] for _, headers, _ in node.requests)
        assert node.connections <= 2
    assert used == {f"Bearer {key}": 20 for key in KEYS}
    assert {path for path, _, _ in node.requests} == {EVENT_PATH}


@pytest.mark.parametrize(
    ("fault", "status", "verdict"),
    [("some_429", 429, "rejected"), ("some_503", 503, "unknown"), ("lost_answer", 0, "unknown")],
)
async def test_what_is_not_settled_is_sent_again(lines: Path, fault: str, status: int, verdict: str) -> None:
    """Each event ends stored, and every failed attempt is on record."""
    async with toy_node(lines, fault) as node, Sender(node.url, KEYS) as sender:
        attempts = [attempt for item in ITEMS for attempt in await sender.send([item])]
        assert len(node.requests) == len(attempts)
    last = {attempt.event_id: attempt.verdict for attempt in attempts}
    assert set(last.values()) <= {"accepted", "duplicate"}
    unsettled = {(attempt.status, attempt.verdict) for attempt in attempts if not attempt.settled}
    assert unsettled == {(status, verdict)}
    assert ids_in(lines) == [item.event_id for item in ITEMS]


async def test_of_a_batch_only_what_is_unconfirmed_is_sent_again() -> None:
    """Items whose code says that Redis did not confirm are unknown, and are retried alone."""
    results = [{"index": 0, "status": "accepted"}, {"index": 1, "status": "rejected", "code": "redis_down"}]
    both = json.dumps({"accepted": 1, "duplicates": 0, "rejected": 1, "results": results}).encode()
    one = json.dumps({"accepted": 1, "duplicates": 0, "rejected": 0, "results": results[:1]}).encode()
    bodies = iter([both, one])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in bodies:
            await request_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with serving(serve) as url, Sender(url, KEYS) as sender:
        attempts = await sender.send(ITEMS[:2], "array")
    assert [(a.event_id, a.verdict, a.request) for a in attempts] == [
        (ITEMS[0].event_id, "accepted", 1),
        (ITEMS[1].event_id, "unknown", 1),
        (ITEMS[1].event_id, "accepted", 2),
    ]


@pytest.mark.parametrize("fault", ["all_429", "all_503"])
async def test_patience_ends(lines: Path, fault: str) -> None:
    """A node that never takes the event does not hold the sender for ever."""
    async with toy_node(lines, fault) as node, Sender(node.url, KEYS, patience_seconds=0.3) as sender:
        attempts = await sender.send(ITEMS[:1])
    assert len(attempts) > 1
    assert not any(attempt.settled for attempt in attempts)


@pytest.mark.parametrize(("asked", "cap", "least"), [(b"1", 5.0, 0.9), (b"3600", 0.3, 0.25)])
async def test_retry_after_is_honoured_up_to_the_cap(asked: bytes, cap: float, least: float) -> None:
    """The wait is what the node asks for, and never longer than allowed."""
    begun = time.monotonic()
    limited = b"HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % asked
    patience = least
    attempts = await one_answer(
        lambda url: Sender(url, KEYS, patience_seconds=patience, longest_wait_seconds=cap), limited
    )
    assert len(attempts) == 2
    assert least <= time.monotonic() - begun < 5


async def test_a_429_holds_back_its_key(lines: Path) -> None:
    """Other events under the same key wait too, instead of adding to the pressure."""
    async with toy_node(lines, "all_429") as node, Sender(node.url, KEYS[:1], patience_seconds=0) as sender:
        await sender.send(ITEMS[:1])
        sender._hold[KEYS[0]] = time.monotonic() + 0.2
        node.faults.clear()
        begun = time.monotonic()
        await sender.send(ITEMS[1:2])
    assert time.monotonic() - begun >= 0.2


async def test_nobody_listening_is_an_unknown_attempt() -> None:
    """A refused connection is recorded with status 0 and not raised."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    async with once(f"http://127.0.0.1:{port}") as sender:
        (attempt,) = await sender.send(ITEMS[:1])
        assert (attempt.status, attempt.verdict) == (0, "unknown")
        with pytest.raises(ConnectionRefusedError):
            await sender.get("/metrics")


async def test_a_silent_node_times_out() -> None:
    """No answer in time is an unknown attempt."""
    accepted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()

    async with serving(silent) as url, Sender(url, KEYS, timeout_seconds=0.2, patience_seconds=0) as sender:
        (attempt,) = await sender.send(ITEMS[:1])
    assert accepted.is_set()
    assert attempt.status == 0
