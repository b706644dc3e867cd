"""One connection to Redis: the order of replies, and what ends it."""

import asyncio
import signal
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.errors import StreamUnavailable
from payflux.redis.address import parse_url
from payflux.redis.dial import connect
from payflux.redis.link import pack
from redis_links import linked, refused, speaking
from servers import Server


async def test_replies_come_in_order(every_server: Server) -> None:
    """Each of many concurrent callers gets its own reply, whatever the others send, errors included."""
    async with linked(parse_url(every_server.url)) as link:

        async def one(number: int) -> None:
            if number % 7 == 0:
                with pytest.raises(hiredis.ReplyError):
                    await link.call("NONSENSE")
            text = b"%d " % number * (number % 50) * (number % 40)
            assert await link.call("ECHO", text) == text
            assert await link.calls([("ECHO", number), ("ECHO", b"x")]) == [b"%d" % number, b"x"]

        await asyncio.gather(*(one(number) for number in range(300)))


async def test_any_bytes_go_over_the_wire(server: Server) -> None:
    """Commands are length-prefixed: nothing in an argument is read as protocol."""
    async with linked(parse_url(server.url)) as link:
        for value in (b"", b"\r\n$-1\r\n*3\r\n", bytes(range(256)), "é ", 2**63 - 1, -1):
            sent = str(value).encode() if isinstance(value, int | str) else value
            assert await link.call("ECHO", value) == sent


@given(st.lists(st.one_of(st.binary(max_size=40), st.text(max_size=40), st.integers(0, 2**63 - 1)), min_size=1))
def test_packing_is_the_protocol(command: list[str | bytes | int]) -> None:
    """An array of bulk strings, as the protocol says."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    wanted = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    assert pack(command) == wanted


async def test_the_first_error_of_several_is_raised(server: Server) -> None:
    """The other replies are taken off the connection all the same."""
    async with linked(parse_url(server.url)) as link:
        with pytest.raises(hiredis.ReplyError, match="NONSENSE"):
            await link.calls([("ECHO", "1"), ("NONSENSE",), ("INCR",), ("ECHO", "2")])
        assert await link.call("ECHO", "3") == b"3"


async def test_a_cancelled_call_keeps_the_order(server: Server) -> None:
    """The reply of a caller who has gone is nobody else's."""
    async with linked(parse_url(server.url)) as link:
        gone = asyncio.ensure_future(link.call("ECHO", "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await link.call("ECHO", "here") == b"here"
        assert gone.cancelled()


async def test_a_late_reply_ends_the_connection(server: Server) -> None:
    """After a time-out everyone who waits is told, and no later reply can be taken for an earlier one."""
    lost: list[bool] = []
    link = await connect(parse_url(server.url), "test", lambda: lost.append(True))
    server.process.send_signal(signal.SIGSTOP)
    try:
        patient = asyncio.ensure_future(link.call("ECHO", "1", timeout=30))
        results = await asyncio.gather(patient, link.call("ECHO", "2", timeout=0.05), return_exceptions=True)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert [type(result) for result in results] == [StreamUnavailable] * 2
    assert {result.code for result in results if isinstance(result, StreamUnavailable)} == {"redis_timeout"}
    assert link.lost
    assert lost == [True]
    with pytest.raises(StreamUnavailable):
        await link.call("ECHO", "3")
    link.close()
    assert lost == [True]


async def test_a_killed_server_fails_all_who_wait(server: Server) -> None:
    """Everyone is told that the connection was lost, also who asks afterwards."""
    async with linked(parse_url(server.url)) as link:
        waiting = [asyncio.ensure_future(link.call("BLPOP", "nothing", 0, timeout=30)) for _ in range(5)]
        await asyncio.sleep(0)
        server.kill()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [getattr(result, "code", result) for result in results] == ["redis_down"] * 5
        settled: list[Any] = []
        link.send(pack(["PING"]), settled.append)
        assert [error.code for error in settled] == ["redis_down"]


async def test_a_reply_nobody_asked_for_ends_the_connection() -> None:
    """A server out of step is not believed any more."""
    async with speaking(b"+OK\r\n+HELLO\r\n+MORE\r\n") as address:
        link = await connect(address, "test")
        assert link.lost


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n", b"*-5\r\n", b"$99999999999999999999\r\n"])
async def test_a_server_that_speaks_something_else_is_refused(junk: bytes) -> None:
    """An answer that is not the protocol is unavailability, no defect of ours, and nobody waits for ever."""
    defects: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    async with speaking(junk) as address:
        error = await refused(address)
    assert error.code == "redis_protocol"
    assert "Redis" in str(error)
    assert defects == []
