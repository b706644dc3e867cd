"""One connection of a load: what it takes for an answer, and what becomes of requests when it ends."""

import asyncio
from itertools import count
from urllib.parse import urlsplit

import pytest

from loads import ACCEPTED, EVENT, Server, put
from payflux.load.generator import LoadGenerator
from payflux.load.requests import Requests
from toy_node import serving


async def test_connections_that_end_are_counted_and_replaced() -> None:
    """Each answer that did not come is told, and the load goes on."""
    server = Server(ACCEPTED, ACCEPTED, ACCEPTED, b"")
    report = await put(server, connections=1, seconds=0.35)
    assert report.broken == report.unanswered == report.codes["no_answer"] >= 2
    assert report.accepted + report.unanswered == len(server.ids)


async def test_a_broken_connection_takes_no_paced_request_with_it() -> None:
    """At a constant rate too: sent ones are answered or told to be lost, the others go over the next connection."""
    server = Server(ACCEPTED, ACCEPTED, ACCEPTED, b"")
    report = await put(server, connections=1, rate=50, seconds=0.5)
    assert report.accepted + report.unanswered == pytest.approx(25, abs=1)
    assert report.broken >= 2


async def test_what_is_no_http_is_no_answer() -> None:
    """Another server on the port has nothing accepted."""
    report = await put(Server(b"SSH-2.0-x\r\n\r\n"), connections=1)
    assert report.requests == 0
    assert report.broken > 0


async def test_an_idle_connection_that_ends_takes_nothing_with_it() -> None:
    """Paced, with more connections than are needed: it is replaced, and nothing was lost."""
    opened = count()

    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(opened) < 20:
            await asyncio.sleep(0.02)
            if not reader._buffer:  # type: ignore[attr-defined]  # nothing was sent yet
                writer.close()
                return
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r")[0]))
                writer.write(ACCEPTED)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with serving(impatient) as url:
        port = urlsplit(url).port
        assert port is not None
        requests = Requests(EVENT, "localhost", "k", size=1, form="single")
        report = await LoadGenerator("127.0.0.1", port, requests, connections=20, seconds=0.5, rate=10).run()
    assert report.broken > 0
    assert report.accepted == report.requests == pytest.approx(5, abs=1)
    assert (report.unanswered, report.codes) == (0, {})
