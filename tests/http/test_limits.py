"""The limits of the HTTP server over real sockets: heads, trailers and bodies that are too large."""

import contextlib

import pytest

from http_client import GET, connected, on_both_loops, post, serving
from payflux.http.server import Limits

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


# bodies


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
