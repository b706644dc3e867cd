"""What the HTTP server refuses by itself is counted as the handlers count their refusals: once, and for events only."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from http_client import App, Client, connected, on_both_loops, until
from http_client import Node as ServerNode
from ingesting import KEYS, Ingestion
from nodes import KEY
from payflux.event.intake import BATCH_PATH, EVENT_PATH
from payflux.http.limits import BODY_BYTES
from payflux.http.messages import Handler
from payflux.http.reader import BODY, CHUNKS
from payflux.http.router import Router
from payflux.http.server import HttpServer
from payflux.ingest.counters import RefusalCounter
from payflux.telemetry.metrics import Metrics
from real_parts import MakeNode

BEGUN = b"5\r\nab"
ENDLESS = b"%x\r\n%b\r\n" % (BODY_BYTES + 1, b" " * (BODY_BYTES + 1))


@dataclass
class Refusing:
    """A server over both handlers, and what it counts."""

    node: ServerNode
    ingestion: Ingestion
    said: list[dict[str, object]]


@asynccontextmanager
async def refusing() -> AsyncIterator[Refusing]:
    """A server whose handlers are those of a node, stopped at the end."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    ingestion = Ingestion()
    routes: dict[str, dict[str, Handler]] = {
        path: {"POST": handler}
        for path, handler in (
            (EVENT_PATH, ingestion.single),
            (BATCH_PATH, ingestion.batch),
            ("/checkout", ingestion.single),
        )
    }
    said: list[dict[str, object]] = []
    refused = RefusalCounter(
        Metrics(ingestion.slab, "ingest-0"),
        (EVENT_PATH, BATCH_PATH),
        lambda: node.time,
        lambda level, msg, **fields: said.append({"level": level, "msg": msg} | fields),
    )
    server = HttpServer(Router(routes), now=lambda: node.time, refused=refused)
    node = ServerNode(server, App(), sock.getsockname()[1])
    await node.server.start(sock)
    try:
        yield Refusing(node, ingestion, said)
    finally:
        await node.server.stop(0)


def head(path: str, *further: bytes, key: str = KEYS[0]) -> bytes:
    """The head of a request."""
    lines = [b"Host: a", b"Content-Type: application/json", b"Authorization: Bearer " + key.encode(), *further]
    return f"POST {path} HTTP/1.1\r\n".encode() + b"\r\n".join(lines) + b"\r\n\r\n"


CHUNKED = b"Transfer-Encoding: chunked"


async def timed_out(client: Client, node: ServerNode, data: bytes) -> int:
    """The status after the deadline of a request that stays unfinished."""
    client.writer.write(data)
    await until(lambda: node.reading(BODY, CHUNKS))
    node.pass_time(30)
    return (await client.answer()).status


@pytest.mark.parametrize("path", [EVENT_PATH, BATCH_PATH])
@on_both_loops
async def test_a_chunked_body_that_grows_too_large_is_counted(path: str) -> None:
    """413, counted once as `body_too_large`."""
    async with refusing() as one, connected(one.node) as client:
        client.writer.write(head(path, CHUNKED) + ENDLESS)
        assert (await client.answer()).status == 413
        assert one.ingestion.counted() == {
            "ingest_rejected body_too_large": 1,
            "http_refused body_too_large": 1,
        }


@pytest.mark.parametrize("path", [EVENT_PATH, BATCH_PATH])
@pytest.mark.parametrize("begun", [(CHUNKED, BEGUN), (b"Content-Length: 9", b"ab")])
@on_both_loops
async def test_a_body_that_does_not_arrive_is_counted(path: str, begun: tuple[bytes, bytes]) -> None:
    """408, counted once as `request_timeout`."""
    async with refusing() as one, connected(one.node) as client:
        assert await timed_out(client, one.node, head(path, begun[0]) + begun[1]) == 408
        assert one.ingestion.counted() == {
            "ingest_rejected request_timeout": 1,
            "http_refused request_timeout": 1,
        }


@on_both_loops
async def test_what_the_handler_refused_is_not_counted_twice() -> None:
    """A 401 is one, though its body never arrives or is far too large."""
    async with refusing() as one:
        async with connected(one.node) as client:
            assert await timed_out(client, one.node, head(EVENT_PATH, b"Content-Length: 9", key="wrong") + b"ab") == 401
        async with connected(one.node) as client:
            assert (await client.ask(head(EVENT_PATH, CHUNKED, key="wrong") + ENDLESS)).status == 401
        assert one.ingestion.counted() == {"ingest_rejected unauthorized": 2, "auth_denied invalid": 2}


@on_both_loops
async def test_what_no_handler_saw_is_counted_by_reason() -> None:
    """On any path; as refused events only where events are taken."""
    async with refusing() as one:
        async with connected(one.node) as client:
            assert await timed_out(client, one.node, head("/checkout", CHUNKED) + BEGUN) == 408
        async with connected(one.node) as client:
            assert (await client.ask(head("/elsewhere", CHUNKED) + ENDLESS)).status == 404
        async with connected(one.node) as client:
            assert (await client.ask(head("/elsewhere"))).status == 404
            assert (await client.ask(head("/checkout").replace(b"POST", b"PUT"))).status == 405
            assert (await client.ask(b"nonsense\r\n\r\n")).status == 400
        async with connected(one.node) as client:
            assert (await client.ask(head(EVENT_PATH, b"X: " + b"x" * 20_000))).status == 431
        assert one.ingestion.counted() == {
            "http_refused request_timeout": 1,
            "http_refused not_found": 2,
            "http_refused method_not_allowed": 1,
            "http_refused bad_request": 1,
            "http_refused head_too_large": 1,
        }


@on_both_loops
async def test_the_first_of_each_reason_a_minute_is_said() -> None:
    """With who sent it and which path was meant; never its query, nor a card number."""
    async with refusing() as one, connected(one.node) as client:
        peer = "{}:{}".format(*client.writer.get_extra_info("sockname"))
        for path in ("/v1/event/payment_exhaust?key=secret", "/other", "/4111111111111111"):
            await client.ask(head(path))
        await client.ask(head("/checkout").replace(b"POST", b"DELETE"))
        line = {"level": "warning", "msg": "http_refused", "peer": peer}
        assert one.said == [
            line | {"reason": "not_found", "method": "POST", "path": "/v1/event/payment_exhaust"},
            line | {"reason": "method_not_allowed", "method": "DELETE", "path": "/checkout"},
        ]
        one.node.time += 60
        await client.ask(head("/4111111111111111"))
        assert one.said[2:] == [line | {"reason": "not_found", "method": "POST", "path": ""}]


@pytest.mark.process
def test_a_node_counts_them(make_node: MakeNode) -> None:
    """A real node says so in its metrics."""
    node = make_node()
    with socket.create_connection(("127.0.0.1", node.port), 10) as sock:
        sock.sendall(head(EVENT_PATH, CHUNKED, key=KEY) + ENDLESS)
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")
    assert node.metrics()['ingest_rejected_total{reason="body_too_large"}'] == 1
