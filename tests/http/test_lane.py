"""The lane, over real sockets: the body behind a head that was let in before goes directly to its handler."""

import functools
import json

import pytest

from http_client import GET, LATER, Client, Node, connected, on_both_loops, post, serving, until
from payflux.http.messages import Response
from payflux.http.reader import DEAF

ECHO, KEPT = "/direct/echo", "/direct/later"


@on_both_loops
async def test_the_body_behind_a_head_seen_before_goes_directly_to_its_handler() -> None:
    """The first request is handled as usual, the next ones of any connection directly, each with its own body."""
    async with serving() as node, connected(node) as one, connected(node) as two:
        for client, body in ((one, b"a"), (one, b"b"), (two, b"c"), (one, b"d")):
            answer = await client.ask(post(ECHO, body))
            assert answer.body == body
            assert "connection" not in answer.headers
            assert answer.headers["date"].endswith(" gmt")
        assert [request.body for request in node.app.seen] == [b"a"]
        assert [body for body, _ in node.app.direct] == [b"b", b"c", b"d"]


@on_both_loops
async def test_another_head_is_handled_as_usual() -> None:
    """Another length, another header, a body that is not there yet, two requests in one read: handled as usual."""
    async with serving() as node, connected(node) as client:
        await client.ask(post(ECHO, b"a"))
        assert (await client.ask(post(ECHO, b"bb"))).body == b"bb"
        assert (await client.ask(post(ECHO, b"c", "X: 1"))).body == b"c"
        whole = post(ECHO, b"d")
        client.writer.write(whole[:-1])
        await until(lambda: client.writer.transport.get_write_buffer_size() == 0)
        assert (await client.ask(whole[-1:])).body == b"d"
        client.writer.write(post(ECHO, b"e") + post(ECHO, b"f"))
        assert [(await client.answer()).body for _ in range(2)] == [b"e", b"f"]
        assert len(node.app.seen) == 6 - len(node.app.direct)


@on_both_loops
async def test_what_follows_a_direct_request_waits_for_its_answer() -> None:
    """Answers keep the order of the requests, by whichever way they came."""
    async with serving() as node, connected(node) as client:
        client.writer.write(post(KEPT, b"0"))
        assert (await client.answer()).status == 200
        client.writer.write(post(KEPT, b"1"))
        await until(lambda: len(node.app.direct) == 1)
        client.writer.write(GET + post(ECHO, b"2") + LATER)
        await until(lambda: node.app.has(1))
        node.app.later[0][1](Response(200, b"3"))
        node.app.direct[0][1](Response(202, b"1"))
        assert [(await client.answer()).body for _ in range(4)] == [b"1", b"", b"2", b"3"]
        client.writer.write(post(KEPT, b"4"))
        await until(lambda: len(node.app.direct) == 2)  # directly again
        node.app.direct[1][1](Response(202, b"4"))
        assert (await client.answer()).body == b"4"


async def kept(node: Node, client: Client) -> None:
    """Bring a request to the body handler that keeps it."""
    await client.ask(post(KEPT, b"0"))
    client.writer.write(post(KEPT, b"1"))
    await until(lambda: len(node.app.direct) == 1)


@on_both_loops
async def test_a_stop_waits_for_what_a_body_handler_has() -> None:
    """The answer says that the connection closes, and it does."""
    async with serving() as node, connected(node) as client:
        await kept(node, client)
        node.server._shared.drain()
        for connection in node.server._all():
            connection.drain()
        node.app.direct[0][1](Response(202, b"late"))
        answer = await client.answer()
        assert (answer.body, answer.headers["connection"]) == (b"late", "close")
        assert await client.ended() == b""


@on_both_loops
async def test_a_client_that_sends_no_more_gets_its_answer() -> None:
    """Half a connection closed while a body handler has the request."""
    async with serving() as node, connected(node) as client:
        await kept(node, client)
        client.writer.write_eof()
        await until(lambda: node.reading(DEAF))
        node.app.direct[0][1](Response(202, b"late"))
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.ended() == b""


@on_both_loops
async def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    """It neither raises nor disturbs anybody else."""
    async with serving() as node:
        async with connected(node) as client:
            await kept(node, client)
            client.reset()
            await until(lambda: node.server.connections == 0)
        node.app.direct[0][1](Response(202))
        async with connected(node) as client:
            assert (await client.ask(post(ECHO, b"x"))).status == 200


@pytest.mark.parametrize("path", ["/direct/breaks", "/direct/twice"])
@on_both_loops
async def test_a_defect_of_a_body_handler_costs_one_request(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A body handler that raises is a 500, a second answer is ignored, and the connection goes on."""
    async with serving() as node, connected(node) as client:
        await client.ask(post(path, b"0"))
        answer = await client.ask(post(path, b"1"))
        assert answer.status == (500 if path == "/direct/breaks" else 202)
        assert (await client.ask(post(ECHO, b"x"))).body == b"x"
    errors = [json.loads(line)["error"] for line in capsys.readouterr().err.splitlines()]
    assert errors == (["ValueError"] if path == "/direct/breaks" else [])


@on_both_loops
async def test_direct_requests_keep_a_connection_alive() -> None:
    """The idle deadline counts from the last request, though a direct one reads no clock; in flight it has none."""
    async with serving() as node, connected(node) as client:
        await client.ask(post(KEPT, b"0"))

        def came(number: int) -> bool:
            return len(node.app.direct) == number

        for number in range(4):
            node.pass_time(60)
            client.writer.write(post(KEPT, b"1"))
            await until(functools.partial(came, number + 1))
            node.pass_time(200)
            node.app.direct[-1][1](Response(202))
            assert (await client.answer()).status == 202
        node.pass_time(74.9)
        assert node.server.connections == 1
        node.pass_time(0.2)
        assert await client.ended() == b""
