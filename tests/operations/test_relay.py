"""Answers of the operations child, passed on by whoever took the request."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from payflux.http.messages import NOT_MODIFIED, Request, Response
from payflux.operations.relay import UNANSWERED, Relay, response_of
from payflux.operations.routes import everybody

Answered = Callable[[bytes], Awaitable[tuple[Response, bytes]]]


async def ask(relay: Relay, request: Request) -> Response:
    """What a relay answers."""
    answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    relay.handle(request, answer.set_result)
    return await asyncio.wait_for(answer, 20)


@pytest.fixture
async def answered() -> AsyncIterator[Answered]:
    """Relays a request to a process that says what it is told to; the answer, and what that process was asked."""
    servers = []

    async def answered(message: bytes) -> tuple[Response, bytes]:
        asked = []

        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(message)
            writer.close()

        server = await asyncio.start_server(say, "127.0.0.1", 0)
        servers.append(server)
        request = Request("GET", "/v1/risk/stripe", "a=1", {b"if-none-match": b"W/1", b"cookie": b"secret"})
        response = await ask(Relay(server.sockets[0].getsockname()[1], "token", everybody), request)
        return response, asked[0]

    yield answered
    for server in servers:
        server.close()


async def test_an_answer_is_passed_on(answered: Answered) -> None:
    """Status, type, entity tag and body as they are; asked with the node's token, and nothing that is not needed."""
    message = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nETag: W/"1"\r\n\r\n{}'
    response, asked = await answered(message)
    assert (response.status, response.body) == (200, b"{}")
    assert b'etag: W/"1"' in response.head
    assert asked.startswith(b"GET /v1/risk/stripe?a=1 HTTP/1.1\r\n")
    assert b"x-payflux-node: token\r\n" in asked
    assert b"if-none-match: W/1\r\n" in asked
    assert b"secret" not in asked


@pytest.mark.parametrize(
    "message",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: a/b\r\n\r\nhalf", b"\r\n\r\n", b"HTTP/1.1 200"],
)
async def test_what_is_not_whole_is_no_answer(answered: Answered, message: bytes) -> None:
    """As when the process dies amid it."""
    assert (await answered(message))[0] is UNANSWERED


async def test_nobody_there_is_told() -> None:
    """With the advice to try again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert await ask(Relay(free.getsockname()[1], "token", everybody), Request("GET", "/x")) is UNANSWERED


def test_what_has_not_changed_has_no_body() -> None:
    """And tells no length, which would be that of another answer."""
    response = response_of(b'HTTP/1.1 304 Not Modified\r\nETag: W/"1"\r\n\r\n')
    assert (response.status, response.body) == (NOT_MODIFIED, b"")
    assert b"Content-Length" not in response.head
