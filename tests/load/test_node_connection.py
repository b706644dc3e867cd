"""A connection to a node: whole answers to the requests they belong to, and usable addresses alone."""

import asyncio
import re

import pytest

from one_answer import INVALID, ITEMS, OK, once, one_answer, request_of
from payflux.load.node_connection import UrlError
from payflux.load.sender import Sender
from toy_node import KEYS, serving


@pytest.mark.parametrize("size", [1, 7])
async def test_an_answer_may_come_in_pieces(size: int) -> None:
    """However the answer is cut, it is read the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for at in range(0, len(OK), size):
            writer.write(OK[at : at + size])
            await writer.drain()

    async with serving(serve) as url, once(url) as sender:
        (attempt,) = await sender.send(ITEMS[:1])
    assert attempt.verdict == "accepted"


async def test_a_connection_the_node_closes_is_not_used_again() -> None:
    """After `Connection: close` the next event goes over a new one."""
    closing = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    assert [a.verdict for a in await one_answer(once, closing)] == ["accepted"]


async def test_a_late_answer_is_not_taken_for_that_of_the_next_request() -> None:
    """After a cancelled request its connection is cut, so that answers cannot slip."""
    asked, late = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        if not asked.is_set():
            asked.set()
            await late.wait()
            writer.write(OK)
        else:
            late.set()
            writer.write(b'HTTP/1.1 400 Bad\r\nContent-Length: 12\r\n\r\n{"code":"c"}')

    async with serving(serve) as url, Sender(url, KEYS, connections=1) as sender:
        sending = asyncio.create_task(sender.send(ITEMS[:1]))
        await asked.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        (attempt,) = await sender.send([INVALID])
    assert attempt.verdict == "rejected"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://payflux.example", "TLS ends at a proxy"),
        ("localhost:8080", "expected http://host:port"),
        ("http://", "expected http://host:port"),
        ("http://host:port", "host:port"),
        ("http://host:99999", "host:99999"),
        ("http://host/v1", "expected http://host:port"),
        ("ftp://host", "expected http://host:port"),
    ],
)
def test_only_plain_http_addresses_are_usable(url: str, why: str) -> None:
    """A wrong address is refused before anything is sent, with what to write instead."""
    with pytest.raises(UrlError, match=re.escape(why)):
        Sender(url, KEYS)
