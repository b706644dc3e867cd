"""The HTTP server over real sockets: order, limits, deadlines, refusals and the end of connections."""

import asyncio
import contextlib
import functools
import inspect
import json
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from payflux.http import Request, Respond, Response
from payflux.http_connection import LINGER_SECONDS
from payflux.http_reader import BODY, CHUNKS, DEAF, HEAD
from payflux.http_server import SPARE, HttpServer, Limits

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
    """A handler that echoes, keeps `/later` requests, and refuses `/refused` ones."""

    seen: list[Request] = field(default_factory=list)
    later: list[tuple[Request, Respond]] = field(default_factory=list)

    def has(self, number: int) -> bool:
        """Whether it keeps exactly so many."""
        return len(self.later) == number

    def admit(self, request: Request) -> Response | None:
        """Refuse or break by path."""
        assert request.body == b""
        if request.path == "/admit-breaks":
            raise RuntimeError
        return REFUSED if request.path == "/refused" else None

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


# answers


@on_both_loops
async def test_a_connection_is_kept_for_the_next_request() -> None:
    """Two requests on one connection get their own bodies, a date, and no mention of the connection or the server."""
    async with serving() as node, connected(node) as client:
        for body in (b"one", b"two", b"three"):
            answer = await client.ask(post("/echo", body))
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["date"].endswith(" gmt")
            assert not {"server", "connection"} & set(answer.headers)


@on_both_loops
async def test_query_and_headers_reach_the_handler() -> None:
    """The path comes without its query, header names in lower case, repeated ones joined, blanks around values cut."""
    async with serving() as node, connected(node) as client:
        await client.ask(b"GET /echo?a=%20b HTTP/1.1\r\nHost: a\r\nX-One:  1 \t\r\nx-one: 2\r\nX-Empty:\r\n\r\n")
        request = node.app.seen[0]
        assert (request.method, request.path, request.query) == ("GET", "/echo", "a=%20b")
        assert request.headers == {b"host": b"a", b"x-one": b"1, 2", b"x-empty": b""}


@on_both_loops
async def test_each_connection_remembers_for_itself() -> None:
    """Requests of one connection share a dictionary, those of another have another."""
    async with serving() as node, connected(node) as one, connected(node) as two:
        for client in (one, one, two):
            await client.ask(GET)
        first, second, other = (request.connection for request in node.app.seen)
        assert first is second
        assert first is not other


@pytest.mark.parametrize(("header", "kept"), [("", False), ("Connection: keep-alive\r\n", True)])
@on_both_loops
async def test_http_1_0_closes_unless_asked_to_stay(header: str, kept: bool) -> None:
    """An HTTP/1.0 client needs no Host, and is told what becomes of the connection."""
    async with serving() as node, connected(node) as client:
        answer = await client.ask(f"GET /echo HTTP/1.0\r\n{header}\r\n".encode())
        assert answer.headers["connection"] == ("keep-alive" if kept else "close")
        if kept:
            assert (await client.ask(GET)).status == 200
        else:
            assert await client.ended() == b""


@on_both_loops
async def test_connection_close_is_obeyed() -> None:
    """What a client sends after `Connection: close` is not a request any more."""
    async with serving() as node, connected(node) as client:
        answer = await client.ask(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
        assert answer.headers["connection"] == "close"
        assert await client.ended() == b""
        assert len(node.app.seen) == 1


@on_both_loops
async def test_head_gets_the_head_alone() -> None:
    """HEAD reaches the handler as such and is answered with the length of the body that is left out."""
    async with serving() as node, connected(node) as client:
        answer = await client.ask(b"HEAD /echo?12345 HTTP/1.1\r\nHost: a\r\n\r\n", head=True)
        assert answer.headers["content-length"] == "5"
        assert (await client.ask(GET)).body == b""
        assert node.app.seen[0].method == "HEAD"


@on_both_loops
async def test_a_half_closed_client_gets_its_answer() -> None:
    """A client that shuts its sending side down is still answered, then the connection closes."""
    async with serving() as node, connected(node) as client:
        client.writer.write(LATER + GET)
        client.writer.write_eof()
        await until(lambda: node.app.later and node.reading(DEAF))
        node.app.later[0][1](Response(200, b"late"))
        assert (await client.answer()).body == b"late"
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.ended() == b""


@on_both_loops
async def test_a_client_that_leaves_within_its_body_is_forgotten() -> None:
    """A request that ends with the connection never reaches the handler."""
    async with serving() as node, connected(node) as client:
        client.writer.write(post("/echo", b"12345")[:-1])
        client.writer.write_eof()
        assert await client.ended() == b""
        assert node.app.seen == []


@on_both_loops
async def test_nodelay_is_set() -> None:
    """Small answers do not wait for the client's acknowledgement."""
    async with serving() as node, connected(node):
        (connection,) = node.server._connections
        assert connection._transport is not None
        assert connection._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# pipelining


@on_both_loops
async def test_pipelined_answers_keep_the_order_of_the_requests() -> None:
    """Answers given in any order, some at once and some later, leave in the order of their requests."""
    async with serving() as node, connected(node) as client:
        client.writer.write(b"".join(LATER.replace(b"later", b"later?%d" % i) + GET for i in range(5)))
        await until(lambda: len(node.app.seen) == 10)
        for request, respond in reversed(node.app.later):
            respond(Response(202, request.query.encode()))
        got = [await client.answer() for _ in range(10)]
        assert [a.body for a in got] == [b"0", b"", b"1", b"", b"2", b"", b"3", b"", b"4", b""]


@on_both_loops
async def test_reading_pauses_at_the_pipeline_limit() -> None:
    """The handler has never more than `pipeline` requests of one connection; the others follow, and none is lost."""
    async with serving(Limits(pipeline=4)) as node, connected(node) as client:
        total = 600
        client.writer.write(b"".join(LATER.replace(b"later", b"later?%d" % i) for i in range(total)))
        for answered in range(0, total, 4):
            await until(functools.partial(node.app.has, answered + 4))
            (connection,) = node.server._connections
            assert len(connection._held) < 200
            for request, respond in node.app.later[answered:]:
                respond(Response(202, request.query.encode()))
        assert [int((await client.answer()).body) for _ in range(total)] == list(range(total))


@on_both_loops
async def test_bodies_are_read_to_their_end_at_the_limit() -> None:
    """A request whose body is still coming is no reason to stop reading it, even where one at a time is allowed."""
    async with serving(Limits(pipeline=1)) as node, connected(node) as client:
        client.writer.write(post("/later", b"x" * 500_000) * 3)
        for number in range(3):
            await until(functools.partial(node.app.has, number + 1))
            request, respond = node.app.later[number]
            respond(Response(202, b"%d" % len(request.body)))
            assert (await client.answer()).body == b"500000"


@on_both_loops
async def test_a_burst_answered_at_once_never_stalls() -> None:
    """Far more pipelined requests than the limit, each answered within `handle`, are all answered."""
    async with serving(Limits(pipeline=4)) as node, connected(node) as client:
        client.writer.write(GET * 5000)
        for _ in range(5000):
            assert (await client.answer()).status == 200


# bodies


@on_both_loops
async def test_a_chunked_body_arrives_whole_and_its_trailers_do_not() -> None:
    """Chunks are joined; a trailer named like a header cannot pass for one."""
    async with serving() as node, connected(node) as client:
        answer = await client.ask(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2;ext=1\r\nde\r\nA\r\n0123456789\r\n0\r\nAuthorization: Bearer stolen\r\n\r\n" + GET
        )
        assert answer.body == b"abcde0123456789"
        assert node.app.seen[0].content_length is None
        assert b"authorization" not in node.app.seen[0].headers
        assert (await client.answer()).status == 200


@on_both_loops
async def test_a_body_of_exactly_the_limit_passes() -> None:
    """`body_bytes` is allowed, announced or chunked."""
    async with serving(Limits(body_bytes=5000)) as node, connected(node) as client:
        assert (await client.ask(post("/echo", b"x" * 5000))).status == 200
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (await client.ask(head + b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n")).status == 200


@on_both_loops
async def test_a_chunked_body_over_the_limit_is_cut_off() -> None:
    """413, and nothing of it reaches the handler."""
    async with serving(Limits(body_bytes=5000)) as node, connected(node) as client:
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await client.ask(head + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 2)
        assert (answer.status, answer.code, answer.headers["connection"]) == (413, "body_too_large", "close")
        assert node.app.seen == []


@on_both_loops
async def test_an_announced_body_over_the_limit_is_refused_unread() -> None:
    """413 comes before the body, also when the handler would have let it in, and a client still sending sees it."""
    async with serving(Limits(body_bytes=5000)) as node, connected(node) as client:
        client.writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
        client.writer.write(b"x" * 8_000_000)
        answer = await client.answer()
        assert (answer.status, answer.code) == (413, "body_too_large")
        await client.writer.drain()
        assert await client.ended() == b""


# refusals


@on_both_loops
async def test_a_refused_small_body_is_drained_and_the_connection_kept() -> None:
    """The refusal follows the body, which the handler never sees."""
    async with serving() as node, connected(node) as client:
        for _ in range(3):
            answer = await client.ask(post("/refused", b"x" * 3000))
            assert (answer.status, "connection" in answer.headers) == (401, False)
        assert (await client.ask(GET)).status == 200
        assert len(node.app.seen) == 1


@pytest.mark.parametrize("framing", ["Content-Length: 2000000", "Transfer-Encoding: chunked"])
@on_both_loops
async def test_a_refused_large_or_unannounced_body_closes(framing: str) -> None:
    """The refusal comes at once, and the connection ends."""
    async with serving() as node, connected(node) as client:
        answer = await client.ask(f"POST /refused HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert await client.ended() == b""


@on_both_loops
async def test_the_refusal_is_the_answer_when_draining_takes_too_long() -> None:
    """A refused request whose body does not come gets its 401, not a 408."""
    async with serving() as node, connected(node) as client:
        client.writer.write(post("/refused", b"x" * 3000)[:-1])
        await until(lambda: node.reading(BODY))
        node.pass_time(30)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")


@on_both_loops
async def test_expect_is_answered_when_the_handler_let_the_request_in() -> None:
    """100 Continue comes before the body, the answer after it."""
    async with serving() as node, connected(node) as client:
        head, body = post("/echo", b"12345", "Expect: 100-continue")[:-5], b"12345"
        assert (await client.ask(head)).status == 100
        assert (await client.ask(body)).body == body
        assert (await client.ask(head + body)).status == 200  # it did not wait, so there is nothing to tell it


@on_both_loops
async def test_expect_waits_for_its_turn() -> None:
    """100 Continue never overtakes the answer to an earlier request."""
    async with serving() as node, connected(node) as client:
        client.writer.write(LATER + post("/echo", b"12345", "Expect: 100-continue")[:-5])
        await until(lambda: node.app.later and node.reading(BODY))
        node.app.later[0][1](Response(202, b"late"))
        assert [(await client.answer()).status for _ in range(2)] == [202, 100]
        assert (await client.ask(b"12345")).body == b"12345"


@on_both_loops
async def test_expect_is_refused_without_100() -> None:
    """A refused request that asked first gets its answer and no 100 Continue."""
    async with serving() as node, connected(node) as client:
        answer = await client.ask(post("/refused", b"12345", "Expect: 100-continue")[:-5])
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert await client.ended() == b""


@on_both_loops
async def test_an_unknown_expectation_counts_as_none() -> None:
    """The request is dealt with as if it expected nothing."""
    async with serving() as node, connected(node) as client:
        assert (await client.ask(post("/echo", b"12345", "Expect: the-unexpected"))).body == b"12345"


# heads


def padded(size: int) -> bytes:
    """A GET whose head has exactly this size."""
    start = b"GET /echo HTTP/1.1\r\nHost: a\r\nX: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


@on_both_loops
async def test_a_head_of_the_limit_passes_and_one_beyond_does_not() -> None:
    """431 once start line and headers exceed `head_bytes`."""
    async with serving() as node:
        async with connected(node) as client:
            assert (await client.ask(padded(16_384))).status == 200
        for data in (padded(16_900), padded(300_000), b"GET /" + b"x" * 20_000):
            async with connected(node) as client:
                answer = await client.ask(data)
                assert (answer.status, answer.code, answer.headers["connection"]) == (431, "head_too_large", "close")
        assert len(node.app.seen) == 1


@on_both_loops
async def test_many_small_headers_are_too_large_together() -> None:
    """The limit holds for the sum of the headers, not for each."""
    async with serving() as node, connected(node) as client:
        lines = b"".join(b"X-%d: y\r\n" % i for i in range(3000))
        assert (await client.ask(b"GET /echo HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")).status == 431


@on_both_loops
async def test_a_dripped_head_is_too_large_too() -> None:
    """The limit holds however the head is cut, and no more than it is ever kept."""
    async with serving(Limits(head_bytes=500)) as node, connected(node) as client:
        client.writer.write(GET + b"GET /echo HTTP/1.1\r\n")
        await client.answer()
        with contextlib.suppress(ConnectionError):
            for _ in range(500):
                client.writer.write(b"X: yyyy\r\n")
                await client.writer.drain()
        assert (await client.answer()).status == 431


@pytest.mark.parametrize(
    "excess", [b"0\r\n" + b"X: yyyy\r\n" * 4000, b"5;" + b"x" * 40_000, b"0\r\nX: " + b"x" * 40_000]
)
@on_both_loops
async def test_trailers_and_chunk_extensions_are_bounded(excess: bytes) -> None:
    """A chunked body cannot make the server keep, or read for ever, what is not body."""
    async with serving() as node, connected(node) as client:
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (await client.ask(head + excess)).status == 431


# deadlines


@on_both_loops
async def test_a_silent_connection_is_closed_without_a_word() -> None:
    """One that never sent a byte ends after `head_seconds`, and not before."""
    async with serving() as node, connected(node) as client:
        node.pass_time(9.9)
        assert node.server.connections == 1
        node.pass_time(0.1)
        assert await client.ended() == b""


@on_both_loops
async def test_an_idle_connection_is_closed_without_a_word() -> None:
    """After a request `idle_seconds` hold; blank lines sent meanwhile do not count."""
    async with serving() as node, connected(node) as client:
        await client.ask(GET)
        node.pass_time(74)
        client.writer.write(b"\r\n")
        assert (await client.ask(GET)).status == 200
        node.pass_time(74.9)
        assert node.server.connections == 1
        node.pass_time(0.1)
        assert await client.ended() == b""


@pytest.mark.parametrize("start", [b"G", b"GET /ec", b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Half"])
@on_both_loops
async def test_an_unfinished_head_is_timed_out(start: bytes) -> None:
    """408 after `head_seconds`, however many bytes drip in meanwhile."""
    async with serving() as node, connected(node) as client:
        client.writer.write(GET + start)
        await client.answer()
        await until(lambda: node.reading(HEAD))
        for _ in range(9):
            node.pass_time(1.1)
            client.writer.write(b"x")
        assert node.server.connections == 1
        node.pass_time(0.2)
        answer = await client.answer()
        assert (answer.status, answer.code, answer.headers["connection"]) == (408, "request_timeout", "close")


@pytest.mark.parametrize(
    ("data", "phase"),
    [
        (post("/echo", b"x" * 100)[:-1], BODY),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", CHUNKS),
    ],
)
@on_both_loops
async def test_an_unfinished_body_is_timed_out(data: bytes, phase: int) -> None:
    """408 after `body_seconds` since the request's first byte."""
    async with serving() as node, connected(node) as client:
        client.writer.write(data)
        await until(lambda: node.reading(phase))
        node.pass_time(29.9)
        assert node.reading(phase)
        node.pass_time(0.1)
        assert (await client.answer()).status == 408
        assert node.app.seen == []


@on_both_loops
async def test_waiting_for_the_handler_is_not_idleness() -> None:
    """A slow handler costs the client neither its answer nor its idle time afterwards."""
    async with serving() as node, connected(node) as client:
        client.writer.write(LATER)
        await until(lambda: node.app.later)
        node.pass_time(500)
        node.app.later[0][1](Response(202))
        assert (await client.answer()).status == 202
        node.pass_time(74.9)
        assert (await client.ask(GET)).status == 200


@on_both_loops
async def test_a_time_out_waits_for_earlier_answers() -> None:
    """The 408 of a pipelined half request follows the answer still owed."""
    async with serving() as node, connected(node) as client:
        client.writer.write(LATER + b"GET /ec")
        await until(lambda: node.app.later and node.reading(HEAD))
        node.pass_time(10)
        node.app.later[0][1](Response(202))
        assert [(await client.answer()).status for _ in range(2)] == [202, 408]


@on_both_loops
async def test_a_client_that_does_not_read_is_cut_off() -> None:
    """Answers pile up to a bound, reading stops, and after `write_seconds` the connection is aborted."""
    async with serving() as node:
        with socket.create_connection(("127.0.0.1", node.port)) as sock:
            sock.setblocking(False)
            await until(lambda: node.server.connections)
            await asyncio.get_running_loop().sock_sendall(sock, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 2000)
            (connection,) = node.server._connections
            await until(lambda: connection._blocked_since is not None)
            assert connection._paused
            assert len(node.app.seen) < 200
            node.pass_time(29.9)
            assert node.server.connections == 1
            node.pass_time(0.1)
            await until(lambda: node.server.connections == 0)


@on_both_loops
async def test_a_client_that_reads_late_gets_everything() -> None:
    """Reading goes on where it stopped when the client takes its answers."""
    async with serving() as node, connected(node) as client:
        client.writer.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 300)
        (connection,) = node.server._connections
        await until(lambda: connection._blocked_since is not None)
        for _ in range(300):
            assert len((await client.answer()).body) == 200_000


@on_both_loops
async def test_a_refused_client_is_not_waited_for_longer_than_a_moment() -> None:
    """After the refusal the server hangs up even when the client does not."""
    async with serving() as node, connected(node) as client:
        assert (await client.ask(b"nonsense\r\n\r\n")).status == 400
        assert node.server.connections == 1
        node.pass_time(LINGER_SECONDS)
        await until(lambda: node.server.connections == 0)


# the number of connections


@on_both_loops
async def test_the_longest_idle_connection_makes_room() -> None:
    """Over the cap the one that has been idle longest is closed, one that is answered is not."""
    async with (
        serving(Limits(connections=3)) as node,
        connected(node) as busy,
        connected(node) as old,
        connected(node) as young,
    ):
        busy.writer.write(LATER)
        await until(lambda: node.app.later)
        await old.ask(GET)
        node.time = 1
        await young.ask(GET)
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        new = Client(reader, writer)
        assert (await new.ask(GET)).status == 200
        with contextlib.suppress(ConnectionResetError):
            assert await old.ended() == b""
        assert (await young.ask(GET)).status == 200
        node.app.later[0][1](Response(202))
        assert (await busy.answer()).status == 202
        writer.close()


@on_both_loops
async def test_a_full_house_answers_503() -> None:
    """When no connection is idle a new one is told to come back, and room is found again later."""
    async with serving(Limits(connections=1)) as node, connected(node) as busy:
        busy.writer.write(LATER)
        await until(lambda: node.app.later)
        async with connected(node) as client:
            answer = await client.answer()
            assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too_many_connections", "1")
            assert await client.ended() == b""
        node.app.later[0][1](Response(202))
        await busy.answer()
        node.pass_time(1)
        async with connected(node) as client:
            assert (await client.ask(GET)).status == 200


@on_both_loops
async def test_refused_connections_are_bounded_as_well() -> None:
    """A flood of connections against a full house cannot hold more than the spare ones."""
    async with serving(Limits(connections=1)) as node, connected(node) as busy:
        busy.writer.write(LATER)
        await until(lambda: node.app.later)
        flood = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(2 * SPARE)]
        await until(lambda: node.knows(flood[0].getsockname()))
        await until(lambda: node.server.connections <= 1 + SPARE)
        for sock in flood:
            sock.close()


APP_OF_A_CHILD = """
import asyncio, resource, socket, sys, time, uvloop
from payflux.http import Response
from payflux.http_server import HttpServer

class App:
    def admit(self, request):
        return None

    def handle(self, request, respond):
        respond(Response(200, b"%.3f" % time.process_time()))

async def main():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    await HttpServer(App()).start(sock)
    print(sock.getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
uvloop.run(main())
"""


def test_running_out_of_descriptors_is_survived() -> None:
    """With every descriptor in use the server hangs up on the next, does not spin, and serves again later."""
    with contextlib.ExitStack() as stack:
        pipe = subprocess.PIPE
        process = stack.enter_context(subprocess.Popen([sys.executable, "-c", APP_OF_A_CHILD], stdin=pipe, stdout=pipe))
        assert process.stdin is not None
        assert process.stdout is not None
        stack.enter_context(process.stdin)  # the child ends when it closes
        address = ("127.0.0.1", int(process.stdout.readline()))
        flood = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(80)]
        with contextlib.suppress(ConnectionResetError):
            assert flood[-1].recv(1) == b""
        before = _cpu_seconds(flood[0])
        with pytest.raises(TimeoutError):
            _cpu_seconds(flood[0], b"", patience=0.3)
        assert _cpu_seconds(flood[0]) - before < 0.1
        for sock in flood[1:]:
            sock.close()
        assert _cpu_seconds(flood[0]) > 0
        with socket.create_connection(address, 10) as sock:
            assert _cpu_seconds(sock) > 0


def _cpu_seconds(sock: socket.socket, question: bytes = GET, patience: float = 10) -> float:
    """What the child answers: the CPU time it has used."""
    sock.settimeout(patience)
    sock.sendall(question)
    return float(sock.recv(4096).rpartition(b"\r\n")[2])


# failures


@on_both_loops
async def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    """Responding after a reset neither raises nor disturbs anybody else."""
    async with serving() as node:
        async with connected(node) as client:
            client.writer.write(LATER * 3)
            await until(lambda: len(node.app.later) == 3)
            client.reset()
            await until(lambda: node.server.connections == 0)
        for _, respond in node.app.later:
            respond(Response(202))
        async with connected(node) as client:
            assert (await client.ask(GET)).status == 200


@on_both_loops
async def test_a_second_answer_is_ignored() -> None:
    """The first one counts, and the next request gets its own."""
    async with serving() as node, connected(node) as client:
        assert (await client.ask(GET.replace(b"echo", b"twice"))).body == b"first"
        assert (await client.ask(GET)).body == b""


@pytest.mark.parametrize("path", ["/breaks", "/admit-breaks"])
@on_both_loops
async def test_a_defect_of_the_handler_costs_one_request(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """500, one log line that names the kind of error, and the connection goes on."""
    async with serving() as node, connected(node) as client:
        answer = await client.ask(post(path, b"body"))
        assert (answer.status, answer.code) == (500, "internal_error")
        assert (await client.ask(GET)).status == 200
    line = json.loads(capsys.readouterr().err)
    assert line["msg"] == "handler_failed"
    assert line["error"] in {"ValueError", "RuntimeError"}


# stopping


@on_both_loops
async def test_stop_finishes_what_has_begun() -> None:
    """Idle connections end, requests being read or answered are finished and say close, nobody new comes in."""
    async with (
        serving() as node,
        connected(node) as idle,
        connected(node) as slow,
        connected(node) as half,
        connected(node) as head,
    ):
        await idle.ask(GET)
        slow.writer.write(LATER)
        half.writer.write(post("/echo", b"12345")[:-2])
        head.writer.write(GET[:-9])
        await until(lambda: node.app.later and node.reading(BODY) and node.reading(HEAD))
        stopping = asyncio.ensure_future(node.server.stop(10))
        assert await idle.ended() == b""
        with pytest.raises(OSError):
            await until(lambda: socket.create_connection(("127.0.0.1", node.port)).close())
        answer = await half.ask(b"45" + GET)
        assert (answer.body, answer.headers["connection"]) == (b"12345", "close")
        assert await half.ended() == b""
        assert (await head.ask(GET[-9:] + GET)).headers["connection"] == "close"
        assert await head.ended() == b""
        assert not stopping.done()
        node.app.later[0][1](Response(202))
        assert (await slow.answer()).headers["connection"] == "close"
        await asyncio.wait_for(stopping, 10)


@on_both_loops
async def test_a_server_that_never_started_can_be_stopped() -> None:
    """Stopping what failed to start is no error."""
    server = HttpServer(App())
    await server.stop(0)
    assert server.connections == 0


@on_both_loops
async def test_stop_aborts_what_outlasts_the_grace() -> None:
    """A request that is never answered does not hold the process."""
    async with serving() as node, connected(node) as client:
        client.writer.write(LATER)
        await until(lambda: node.app.later)
        await node.server.stop(0.05)
        assert node.server.connections == 0
        with contextlib.suppress(ConnectionResetError):
            assert await client.ended() == b""
