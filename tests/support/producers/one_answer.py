"""Events to send, and a server that always gives the same answer: for the tests of the sender."""

import asyncio
from collections.abc import Callable
from itertools import islice

import msgspec

from payflux.event.intake import Form
from payflux.load.attempts import Attempt, Item
from payflux.load.sender import Sender
from payflux.load.traffic import Traffic
from toy_node import KEYS, serving

EVENTS = [event for _, event in islice(Traffic(1, 1_767_960_000.0).arrivals(20), 40)]

ITEMS = [Item(str(event["event_id"]), msgspec.json.encode(event)) for event in EVENTS]

INVALID = Item("bad", b'{"event_type":"x"}')

OK = b'HTTP/1.1 202 Accepted\r\nContent-Length: 21\r\n\r\n{"status":"accepted"}'


async def one_answer(sender_of: Callable[[str], Sender], answer: bytes, form: Form = "single") -> list[Attempt]:
    """Send one event to a server that always says the same, and closes the connection when that says so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closes = b"Connection: close" in answer
        while await request_of(reader):
            writer.write(answer)
            if closes:
                return

    async with serving(serve) as url, sender_of(url) as sender:
        return await sender.send(ITEMS[:1], form)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.split(b"Content-Length: ")[1]))


def once(url: str) -> Sender:
    return Sender(url, KEYS, patience_seconds=0, timeout_seconds=2)
