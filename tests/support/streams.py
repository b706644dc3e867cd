"""Appending to a real stream, for tests of either side."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from payflux.event.decode import StoredEvent
from payflux.redis.address import parse_url
from payflux.redis.append import RedisAppender
from servers import Server
from stream_keys import KEYS

WINDOW = 1000
Answer = tuple[bytes, str]
"""What `settle` got: the flags, and the code of the error or an empty text."""


def event(number: int = 0) -> StoredEvent:
    """An event with an id of its own."""
    uid = uuid.uuid4()
    return StoredEvent(b'{"n":%d}' % number, str(uid), uid.bytes, "stripe")


async def wait_for(condition: Callable[[], object]) -> None:
    """Wait for a condition; fails the test when it does not come true in time."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what is waited for is often another process
            await asyncio.sleep(0.002)


@asynccontextmanager
async def appending(server: Server, maxlen: int = 0, window: int = WINDOW, **more: Any) -> AsyncIterator[RedisAppender]:
    """A connected appender."""
    appender = RedisAppender(parse_url(server.url), KEYS, maxlen=maxlen, window_sec=window, **more)
    task = asyncio.ensure_future(appender.run())
    try:
        await wait_for(lambda: appender.connected)
        yield appender
    finally:
        task.cancel()
        appender.close()


async def append(appender: RedisAppender, events: Sequence[StoredEvent]) -> Answer:
    """Append, and wait for what `settle` is told."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    appender.append(events, lambda flags, error: future.set_result((flags, error.code if error else "")))
    return await asyncio.wait_for(future, 15)


async def fill(server: Server, count: int) -> list[StoredEvent]:
    """Append that many new events."""
    events = [event(number) for number in range(count)]
    async with appending(server) as appender:
        assert await append(appender, events) == (b"1" * count, "")
    return events


def several(count: int) -> list[StoredEvent]:
    """So many events."""
    return [event(number) for number in range(count)]
