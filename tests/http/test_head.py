"""What is a request and what is not: attacks on the framing, and spellings that must work; over sockets."""

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvloop

from http_attacks import ATTACKS, CHUNKED, END, POST, UPGRADE, App
from http_client import connected, on_both_loops, serving
from payflux.http.server import HttpServer


@dataclass
class Node:
    """A server on uvloop in a thread of its own."""

    app: App
    port: int

    def exchange(self, *pieces: bytes) -> bytes:
        """Send on a new connection, shut the sending side down, and take all until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in pieces:
                    sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def canary(self) -> bool:
        """Whether a new connection gets exactly its own answer."""
        return self.exchange(b"GET /canary HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"GET /canary  ")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One server for the whole table, so that an attack may hurt the next request if it can."""
    app = App()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    started, stop = threading.Event(), asyncio.Event()
    loop = uvloop.new_event_loop()

    async def serve() -> None:
        server = HttpServer(app)
        await server.start(sock)
        started.set()
        await stop.wait()
        await server.stop(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    yield Node(app, sock.getsockname()[1])
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize("raw", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_on_the_framing_is_answered_400_and_ends(node: Node, raw: bytes) -> None:
    """One 400, then the end; what follows is no request, and the next connection is unharmed."""
    known = b"GET /before HTTP/1.1\r\nHost: a\r\n\r\n"
    for pieces in ((raw,), (known + raw,), (known, raw)):
        node.app.seen.clear()
        answer = node.exchange(*pieces, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [request.path for request in node.app.seen] == ["/before"] * (pieces != (raw,))
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200"] * len(node.app.seen) + [b"400"]
        head, _, body = answer.rpartition(b"\r\n\r\n")
        assert head.endswith(b"Connection: close")
        assert json.loads(body)["code"] == "bad_request"
    assert node.canary()


SPELLINGS = {
    "blank lines first": (b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /x  "),
    "absolute form": (b"GET http://h:1/x?q=1 HTTP/1.1\r\nHost: h:1\r\n\r\n", b"GET /x q=1 "),
    "absolute form without path": (b"GET HTTPS://h?q HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / q "),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"OPTIONS *  "),
    "other methods": (b"PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n", b"PURGE /x  "),
    "empty host": (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", b"GET /x  "),
    "IPv6 host": (b"GET /x HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", b"GET /x  "),
    "odd paths": (b"GET //v1/%2e%2e;a?b?c HTTP/1.1\r\nHost: a\r\n\r\n", b"GET //v1/%2e%2e;a b?c "),
    "blanks around length": (POST + b"Content-Length: \t5 \r\n\r\nabcde", b"POST /x  abcde"),
    "leading zeros": (POST + b"Content-Length: 0005\r\n\r\nabcde", b"POST /x  abcde"),
    "coding in capitals": (POST + b"Transfer-Encoding: CHUNKED \r\n\r\n5\r\nabcde\r\n" + END, b"POST /x  abcde"),
    "chunk extensions": (CHUNKED + b'3;a=b\r\nabc\r\n02;c="d;e"\r\nde\r\n' + END, b"POST /x  abcde"),
    "trailers": (CHUNKED + b"5\r\nabcde\r\n0\r\nX: y\r\n\r\n", b"POST /x  abcde"),
    "upgrade": (b"GET /x HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n", b"GET /x  "),
    "upgrade with body": (POST + UPGRADE + b"Content-Length: 5\r\n\r\nabcde", b"POST /x  abcde"),
    "upgrade with chunks": (
        POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n" + END,
        b"POST /x  abcde",
    ),
    "websocket": (b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", b"GET /x  "),
}


@pytest.mark.parametrize(("raw", "answer"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_an_unusual_spelling_is_understood(node: Node, raw: bytes, answer: bytes) -> None:
    """It is answered, again when repeated, and so is the request that follows it on the connection."""
    follower = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
    for pieces in ((raw, raw, follower), (raw + raw + follower,), [bytes([b]) for b in raw + raw + follower]):
        got = node.exchange(*pieces)
        bodies = [part.split(b"HTTP/1.1 ")[0] for part in got.split(b"\r\n\r\n")[1:]]
        assert bodies == [answer, answer, b"GET /next  "]


@on_both_loops
async def test_query_and_headers_reach_the_handler() -> None:
    """The path comes without its query, header names in lower case, repeated ones joined, blanks around values cut."""
    async with serving() as node, connected(node) as client:
        await client.ask(b"GET /echo?a=%20b HTTP/1.1\r\nHost: a\r\nX-One:  1 \t\r\nx-one: 2\r\nX-Empty:\r\n\r\n")
        request = node.app.seen[0]
        assert (request.method, request.path, request.query) == ("GET", "/echo", "a=%20b")
        assert request.headers == {b"host": b"a", b"x-one": b"1, 2", b"x-empty": b""}
