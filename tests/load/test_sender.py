"""The sender: what it says on the wire, what it records, and how it waits."""

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from payflux.load.sender import BATCH_PATH, SINGLE_PATH, AnswerError, Attempt, Form, Item, Sender, UrlError
from payflux.load.traffic import Traffic
from toy_node import KEYS, serving, toy_node

EVENTS = [event for _, event in islice(Traffic(1, 1_767_960_000.0).arrivals(20), 40)]
ITEMS = [Item(str(event["event_id"]), msgspec.json.encode(event)) for event in EVENTS]
INVALID = Item("bad", b'{"event_type":"x"}')
OK = b'HTTP/1.1 202 Accepted\r\nContent-Length: 21\r\n\r\n{"status":"accepted"}'


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return tmp_path / "lines.jsonl"


async def one_answer(sender_of: Callable[[str], Sender], answer: bytes, form: Form = "single") -> list[Attempt]:
    """Send one event to a server that always says the same, and closes the connection when that says so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closes = b"Connection: close" in answer
        while await request_of(reader):
            writer.write(answer)
            if closes:
                return

    async with serving(serve) as url, sender_of(url) as sender:
        return await sender.send(ITEMS[:1], form)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.split(b"Content-Length: ")[1]))


def ids_in(lines: Path) -> list[str]:
    return [json.loads(line)["event_id"] for line in lines.read_bytes().splitlines()]


def once(url: str) -> Sender:
    return Sender(url, KEYS, patience_seconds=0, timeout_seconds=2)


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
    assert {path for path, _, _ in node.requests} == {SINGLE_PATH}


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


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok",
        b'HTTP/1.1 202 Accepted\r\nContent-Length: 18\r\n\r\n{"status":"maybe"}',
        b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
async def test_unexpected_answers_fail(answer: bytes) -> None:
    """What no node says is an error, not a count."""
    with pytest.raises(AnswerError):
        await one_answer(once, answer)


@pytest.mark.parametrize(
    "body",
    [
        b'{"accepted":1,"duplicates":0,"rejected":0,"results":[]}',
        b'{"accepted":1,"duplicates":0,"rejected":0,"results":[{"index":1,"status":"accepted"}]}',
        b'{"accepted":0,"duplicates":0,"rejected":0,"results":[{"index":0,"status":"accepted"}]}',
        b'{"accepted":1,"duplicates":0,"rejected":0,"results":[{"index":0,"status":"fine"}]}',
        b"[]",
    ],
)
async def test_a_batch_answer_must_account_for_every_event(body: bytes) -> None:
    """Missing, misplaced or miscounted results are unexpected answers."""
    with pytest.raises(AnswerError):
        await one_answer(once, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), "array")


async def test_a_202_without_a_body_is_stored() -> None:
    """Whether it was a duplicate is then unknown, and the record does not pretend otherwise."""
    (attempt,) = await one_answer(once, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    assert (attempt.verdict, attempt.settled) == ("stored", True)


@pytest.mark.parametrize("size", [1, 7])
async def test_an_answer_may_come_in_pieces(size: int) -> None:
    """However the answer is cut, it is read the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for at in range(0, len(OK), size):
            writer.write(OK[at : at + size])
            await writer.drain()

    async with serving(serve) as url, once(url) as sender:
        (attempt,) = await sender.send(ITEMS[:1])
    assert attempt.verdict == "accepted"


async def test_a_connection_the_node_closes_is_not_used_again() -> None:
    """After `Connection: close` the next event goes over a new one."""
    closing = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    assert [a.verdict for a in await one_answer(once, closing)] == ["accepted"]


async def test_a_late_answer_is_not_taken_for_that_of_the_next_request() -> None:
    """After a cancelled request its connection is cut, so that answers cannot slip."""
    asked, late = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        if not asked.is_set():
            asked.set()
            await late.wait()
            writer.write(OK)
        else:
            late.set()
            writer.write(b'HTTP/1.1 400 Bad\r\nContent-Length: 12\r\n\r\n{"code":"c"}')

    async with serving(serve) as url, Sender(url, KEYS, connections=1) as sender:
        sending = asyncio.create_task(sender.send(ITEMS[:1]))
        await asked.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        (attempt,) = await sender.send([INVALID])
    assert attempt.verdict == "rejected"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://payflux.example", "TLS ends at a proxy"),
        ("localhost:8080", "expected http://host:port"),
        ("http://", "expected http://host:port"),
        ("http://host:port", "host:port"),
        ("http://host:99999", "host:99999"),
        ("http://host/v1", "expected http://host:port"),
        ("ftp://host", "expected http://host:port"),
    ],
)
def test_only_plain_http_addresses_are_usable(url: str, why: str) -> None:
    """A wrong address is refused before anything is sent, with what to write instead."""
    with pytest.raises(UrlError, match=re.escape(why)):
        Sender(url, KEYS)
