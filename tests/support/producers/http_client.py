"""An HTTP server with a handler to try it with, and a client that sends raw bytes: for the tests of the server."""

import asyncio
import contextlib
import functools
import inspect
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from payflux.http.messages import Request, Respond, Response
from payflux.http.server import HttpServer, Limits

GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
LATER = b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = Response(401, b'{"code":"unauthorized"}')
BIG = Response(200, b"x" * 200_000)


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """Run a test on uvloop, as in production, and on the standard loop; an error in a callback fails it."""

    @functools.wraps(test)
    def run(*, new_loop: Callable[[], asyncio.AbstractEventLoop], **arguments: object) -> None:
        problems: list[object] = []
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: problems.append(context))
            runner.run(test(**arguments))
        assert problems == []

    own = inspect.signature(test)
    extra = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), extra])  # type: ignore[attr-defined]
    loops = [uvloop.new_event_loop, asyncio.new_event_loop]
    return pytest.mark.parametrize("new_loop", loops, ids=["uvloop", "asyncio"])(run)


@dataclass
class App:
    """A handler that echoes, keeps `/later` requests, refuses `/refused` ones, and takes bodies alone on `/direct/…`.

    Attributes:
        seen: the requests handled as such.
        later: those kept, with their answers to come.
        direct: the bodies that went directly to their handler, with their answers where those are kept.
    """

    seen: list[Request] = field(default_factory=list)
    later: list[tuple[Request, Respond]] = field(default_factory=list)
    direct: list[tuple[bytes, Respond]] = field(default_factory=list)

    def has(self, number: int) -> bool:
        """Whether it keeps exactly so many."""
        return len(self.later) == number

    def admit(self, request: Request) -> Response | None:
        """Refuse or break by path."""
        assert request.body == b""
        if request.path == "/admit-breaks":
            raise RuntimeError
        if request.path.startswith("/direct/"):
            request.body_handler = functools.partial(self._take_body, request.path)
        return REFUSED if request.path == "/refused" else None

    def _take_body(self, path: str, body: bytes, respond: Respond) -> None:
        self.direct.append((body, respond))
        if path == "/direct/breaks":
            raise ValueError
        if path != "/direct/later":
            respond(Response(202, body))
        if path == "/direct/twice":
            respond(Response(202, b"again"))

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer by path."""
        self.seen.append(request)
        if request.path == "/later":
            self.later.append((request, respond))
        elif request.path == "/breaks":
            raise ValueError
        elif request.path == "/twice":
            respond(Response(200, b"first"))
            respond(Response(200, b"second"))
        elif request.path == "/big":
            respond(BIG)
        else:
            respond(Response(200, request.body or request.query.encode()))


@dataclass
class Node:
    """A running server and its surroundings."""

    server: HttpServer
    app: App
    port: int
    time: float = 0.0

    def pass_time(self, seconds: float) -> None:
        """Let time pass, then look at the deadlines."""
        self.time += seconds
        self.server.sweep()

    def knows(self, address: object) -> bool:
        """Whether it has accepted the connection from this address."""
        transports = [c._transport for c in self.server._all()]
        return any(t is not None and t.get_extra_info("peername") == address for t in transports)

    def reading(self, *phases: int) -> bool:
        """Whether some connection is in one of these phases."""
        return any(c._reader.phase in phases for c in self.server._all())


@contextlib.asynccontextmanager
async def serving(limits: Limits | None = None) -> AsyncIterator[Node]:
    """A server on a port of its own, stopped at the end."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    app = App()
    node = Node(HttpServer(app, limits or Limits(), now=lambda: node.time), app, sock.getsockname()[1])
    await node.server.start(sock)
    try:
        yield node
    finally:
        await node.server.stop(0)
        assert node.server.connections == 0


@dataclass
class Answer:
    """One parsed answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> object:
        """The problem's code."""
        return json.loads(self.body)["code"]


class Client:
    """A connection that sends raw bytes and parses answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes, *, head: bool = False) -> Answer:
        """Send, then take one answer."""
        self.writer.write(data)
        return await self.answer(head=head)

    async def answer(self, *, head: bool = False) -> Answer:
        """Take one answer; one to a HEAD request has no body."""
        async with asyncio.timeout(10):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = text[:-4].split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            size = 0 if head or " 100 " in status else int(headers["content-length"])
            return Answer(int(status.split()[1]), headers, await self.reader.readexactly(size))

    async def ended(self) -> bytes:
        """What still comes until the server closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    def reset(self) -> None:
        """Disconnect with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(node: Node) -> AsyncIterator[Client]:
    """A client of the node, known to its server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=2**22)
    client = Client(reader, writer)
    try:
        await until(lambda: node.knows(writer.get_extra_info("sockname")))
        yield client
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells of a socket's far end
            await asyncio.sleep(0.001)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A POST with an announced body."""
    lines = "".join(f"{h}\r\n" for h in headers)
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body
