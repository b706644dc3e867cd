"""One connection over real sockets: how long it waits for silent, slow and deaf clients, and how it ends."""

import asyncio
import errno
import socket

import pytest

from http_client import GET, LATER, connected, on_both_loops, post, serving, until
from payflux.http.connection import LINGER_SECONDS
from payflux.http.messages import Response
from payflux.http.reader import BODY, CHUNKS, DEAF, HEAD


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
            await until(lambda: connection.blocked_since is not None)
            assert connection._paused
            assert len(node.app.seen) < 200
            node.pass_time(29.9)
            assert node.server.connections == 1
            node.pass_time(0.1)
            await until(lambda: node.server.connections == 0)
            await until(lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)


@on_both_loops
async def test_a_client_that_reads_late_gets_everything() -> None:
    """Reading goes on where it stopped when the client takes its answers."""
    async with serving() as node, connected(node) as client:
        client.writer.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 300)
        (connection,) = node.server._connections
        await until(lambda: connection.blocked_since is not None)
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


# its requests and its end


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
async def test_each_connection_remembers_for_itself() -> None:
    """Requests of one connection share a dictionary, those of another have another."""
    async with serving() as node, connected(node) as one, connected(node) as two:
        for client in (one, one, two):
            await client.ask(GET)
        first, second, other = (request.connection for request in node.app.seen)
        assert first is second
        assert first is not other


CONNECTIONS = [("", False), ("keep-alive", True), ("close, keep-alive", False), ("Keep-Alive ,CLOSE", False)]


@pytest.mark.parametrize(("option", "kept"), CONNECTIONS)
@on_both_loops
async def test_http_1_0_closes_unless_asked_to_stay(option: str, kept: bool) -> None:
    """An HTTP/1.0 client needs no Host, and is told what becomes of the connection; `close` outweighs the other."""
    header = f"Connection: {option}\r\n" if option else ""
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
