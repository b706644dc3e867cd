"""The HTTP server over real sockets: how many connections it has, and how they end when it stops."""

import asyncio
import contextlib
import socket
import subprocess
import sys

import pytest

from http_client import GET, LATER, App, Client, connected, on_both_loops, post, serving, until
from payflux.http.messages import Response
from payflux.http.reader import BODY, HEAD
from payflux.http.server import SPARE, HttpServer, Limits

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
from payflux.http.messages import Response
from payflux.http.server import HttpServer

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


# who begins and does not finish

HALF = b"GET /echo HTTP/1.1\r\nHost:"


@on_both_loops
async def test_the_slowest_head_goes_before_a_producer() -> None:
    """Over the cap the oldest unfinished head makes room; a connection that was served stays, however idle."""
    async with (
        serving(Limits(connections=3)) as node,
        connected(node) as producer,
        connected(node) as slow,
        connected(node) as slower,
    ):
        await producer.ask(GET)
        node.time = 1
        slower.writer.write(HALF)
        await until(lambda: node.reading(HEAD))
        node.time = 2
        slow.writer.write(HALF)
        await until(lambda: sum(c._reader.phase == HEAD for c in node.server._all()) == 2)
        async with connected(node) as new:
            assert (await new.ask(GET)).status == 200
            with contextlib.suppress(ConnectionResetError):
                assert await slower.ended() == b""
            assert (await slow.ask(b" a\r\n\r\n")).status == 200
            assert (await producer.ask(GET)).status == 200


@on_both_loops
async def test_one_address_has_a_share_of_unfinished_heads() -> None:
    """What is beyond it is closed at the next look, the slowest first; a producer that waits does not count."""
    async with serving(Limits(unfinished_per_peer=2)) as node, connected(node) as producer, connected(node) as first:
        await producer.ask(GET)
        first.writer.write(HALF)
        await until(lambda: node.reading(HEAD))
        node.time = 1
        async with connected(node) as second, connected(node) as third:
            second.writer.write(HALF)
            third.writer.write(HALF)
            await until(lambda: sum(c._reader.phase == HEAD for c in node.server._all()) == 3)
            node.pass_time(0.5)
            with contextlib.suppress(ConnectionResetError):
                assert await first.ended() == b""
            for served in (second, third):
                assert (await served.ask(b" a\r\n\r\n")).status == 200
            assert (await producer.ask(GET)).status == 200
