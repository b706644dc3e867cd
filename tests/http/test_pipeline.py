"""The requests of a connection over real sockets: their order, what is refused, and failures of handler and client."""

import functools
import json

import pytest

from http_client import GET, LATER, connected, on_both_loops, post, serving, until
from payflux.http.messages import Response
from payflux.http.reader import BODY
from payflux.http.server import Limits

# answers


@on_both_loops
async def test_head_gets_the_head_alone() -> None:
    """HEAD reaches the handler as such and is answered with the length of the body that is left out."""
    async with serving() as node, connected(node) as client:
        answer = await client.ask(b"HEAD /echo?12345 HTTP/1.1\r\nHost: a\r\n\r\n", head=True)
        assert answer.headers["content-length"] == "5"
        assert (await client.ask(GET)).body == b""
        assert node.app.seen[0].method == "HEAD"


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
            assert len(connection._pipeline._held) < 200
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
