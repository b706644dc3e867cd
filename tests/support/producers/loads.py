"""A server that answers a load as it is told, for the tests of the load generator."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from payflux.event.decode import decode_event
from payflux.event.intake import Form
from payflux.load.answers import Report
from payflux.load.generator import LoadGenerator
from payflux.load.requests import Requests
from payflux.testing import make_event
from toy_node import serving

EVENT = json.dumps(make_event(event_id="@", event_type="test"))


class Server:
    """Answers every request as it is told, and keeps the ids."""

    def __init__(self, *answers: bytes, stall: float = 0.0) -> None:
        self.answers = answers
        self.stall = stall
        self.ids: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
            body = await reader.readexactly(length)
            items = json.loads(body) if body[:1] == b"[" else [json.loads(line) for line in body.splitlines()]
            self.ids += [decode_event(json.dumps(item).encode()).event_id for item in items]
            if self.stall and len(self.ids) == 20:
                await asyncio.sleep(self.stall)
            answer = self.answers[len(self.ids) % len(self.answers)]
            if not answer:
                writer.close()
                return
            writer.write(answer)


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


ACCEPTED = answer(202, b'{"status":"accepted"}')

BATCH = answer(200, b'{"accepted":10,"duplicates":0,"rejected":0,"results":[]}')


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[tuple[str, int]]:
    async def until_it_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await server.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with serving(until_it_ends) as url:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        yield parts.hostname, parts.port


async def put(  # noqa: PLR0917 - a load has so many sides
    server: Server,
    size: int = 1,
    form: Form = "single",
    connections: int = 4,
    rate: float | None = None,
    depth: int = 1,
    seconds: float = 0.2,
) -> Report:
    async with served(server) as (host, port):
        requests = Requests(EVENT, f"{host}:{port}", "k", size=size, form=form)
        load = LoadGenerator(host, port, requests, connections=connections, seconds=seconds, rate=rate, depth=depth)
        return await load.run()
