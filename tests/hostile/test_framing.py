"""Framing torture: whatever bytes come over a connection, a node answers what it should, and nothing slips through."""

import json
import random
import re
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from http_attacks import ATTACKS, POST
from mutations import damaged
from nodes import KEY, Node, event
from payflux.event.intake import BATCH_PATH, EVENT_PATH
from real_parts import binary_or_skip
from servers import Server

pytestmark = pytest.mark.process

DAMAGED = 600
"""Requests that are damaged, in a round."""

STATUSES = {b"100", b"200", b"202", b"400", b"401", b"404", b"405", b"408", b"413", b"415", b"431", b"501"}
"""What a node may answer to whatever comes: never 500, and 503 for nothing that is sent."""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One that meets all of it, with a server of its own."""
    with tempfile.TemporaryDirectory(prefix="pf-") as path:
        server = Server(binary_or_skip("valkey-9"), Path(path))
        node = Node(Path(path) / "node", server.url, {"PAYFLUX_WORKERS": "1"})
        yield node
        node.stop()
        server.stop()


def posted(path: str, body: bytes, kind: bytes = b"application/json", *further: bytes) -> bytes:
    """A request that stores events."""
    head = [b"POST " + path.encode() + b" HTTP/1.1", b"Host: a", b"Authorization: Bearer " + KEY.encode()]
    head += [b"Content-Type: " + kind, b"Content-Length: %d" % len(body), *further, b"", b""]
    return b"\r\n".join(head) + body


def chunked(body: bytes) -> bytes:
    """The same in chunks."""
    whole = posted(EVENT_PATH, body).replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    head, _, _ = whole.partition(b"\r\n\r\n")
    return b"%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)


def spoken(node: Node, data: bytes) -> list[bytes]:
    """The statuses of the answers to what is sent at once over a connection of its own."""
    with socket.create_connection(("127.0.0.1", node.port), 20) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: _some(sock), b""))
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", received)


def _some(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65_536)
    except ConnectionResetError:  # it does not wait for what it will not read
        return b""


def seeds() -> Iterator[bytes]:
    """Requests as producers and operators send them."""
    one = json.dumps(event()).encode()
    yield posted(EVENT_PATH, one)
    yield posted(EVENT_PATH, one) + posted(EVENT_PATH, json.dumps(event()).encode())
    yield chunked(one)
    yield posted(BATCH_PATH, one + b"\n" + json.dumps(event()).encode(), b"application/x-ndjson")
    yield posted(BATCH_PATH, b"[" + one + b"]", b"application/json", b"Expect: 100-continue", b"Connection: close")
    yield b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /openapi.json HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("count", [DAMAGED], ids=f"{len(ATTACKS) * 2 + DAMAGED:,} inputs".format)
def test_no_bytes_get_past_the_framing(node: Node, rng: random.Random, count: int) -> None:
    """Attacks before and behind a request, and damaged requests: each is answered as it may be, events are counted."""
    one = posted(EVENT_PATH, json.dumps(event()).encode())
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    for name, attack in ATTACKS.items():
        raw = attack.replace(POST, posted(EVENT_PATH, b"").partition(b"Content-Length")[0])
        assert spoken(node, raw + smuggled) in ([b"400"], []), name
        assert spoken(node, one + raw + smuggled) in ([b"202", b"400"], [b"202"], []), name
    for raw in damaged([*seeds()], rng, count):
        assert {*spoken(node, raw)} <= STATUSES, raw
    _is_well(node)


def _is_well(node: Node) -> None:
    """It works, nothing of it died or failed, and what it stored is what it says it took."""
    assert node.post(event()) == 202
    assert node.get("/health") == (200, b"ok\n")
    metrics = node.metrics()
    assert (metrics["child_deaths_total"], metrics["stream_length"]) == (0, metrics["ingest_accepted_total"])
    assert not [line for line in node.logs() if line["level"] == "error"]


SLOW: Sequence[tuple[str, bytes]] = (
    ("says nothing", b""),
    ("begins a request line", b"POST /v1/ev"),
    ("never ends its headers", b"POST /v1/events/payment_exhaust HTTP/1.1\r\nHost: a\r\nX-Slow: "),
    ("never ends its body", posted(EVENT_PATH, b"x" * 1000)[:-500]),
    ("never ends a chunk", chunked(b"x" * 1000)[:-500]),
    ("never ends its chunks", chunked(b"{}")[:-5]),
    ("announces much", posted(EVENT_PATH, b"").replace(b"Length: 0", b"Length: 1048576")),
    ("is idle after an answer", b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("reads no answer", b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 30),
    ("ends within its head", b"GET /livez HTTP/1.1\r\nHo"),
)
"""What slow clients send, and then no more but a byte now and then."""

CLIENTS = 400


@pytest.mark.parametrize("count", [CLIENTS], ids="{:,} clients".format)
def test_slow_clients_cost_nobody_else(node: Node, rng: random.Random, count: int) -> None:
    """Hundreds of them, of every kind, each with a byte now and then: a producer's events are taken all the while."""
    clients = []
    try:
        for number in range(count):
            sock = socket.create_connection(("127.0.0.1", node.port), 20)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(SLOW[number % len(SLOW)][1])
            clients.append(sock)
        for _ in range(10):
            for sock in rng.sample(clients, 40):
                _drip(sock, rng)
            assert [node.post(event()) for _ in range(5)] == [202] * 5
            assert node.get("/livez") == (200, b"ok\n")
    finally:
        for sock in clients:
            sock.close()
    _is_well(node)


def _drip(sock: socket.socket, rng: random.Random) -> None:
    try:
        sock.send(bytes([rng.randrange(256)]))
    except (ConnectionError, BlockingIOError):  # it was refused by now, as it should be
        return


def test_the_documentation_says_how_much_is_tried() -> None:
    """As it is tried in a round."""
    said = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    for number in (DAMAGED, CLIENTS, len(SLOW)):
        assert f" {number:,} " in said
