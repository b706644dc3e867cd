"""The HTTP server over real sockets: answers, their order, bodies, and failures of handler and client."""

import functools
import json
import socket

import pytest

from http_client import GET, LATER, connected, on_both_loops, post, serving, until
from payflux.http.messages import Response
from payflux.http.reader import DEAF
from payflux.http.server import Limits

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
