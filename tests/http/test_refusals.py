"""The HTTP server over real sockets: what is refused, and heads, trailers and bodies that are too large."""

import contextlib

import pytest

from http_client import GET, LATER, connected, on_both_loops, post, serving, until
from payflux.http.messages import Response
from payflux.http.reader import BODY
from payflux.http.server import Limits

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
