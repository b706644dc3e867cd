"""The stream of every kind in turn, and readers of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from both_streams import Begin, InMemory, OnServer, Stream
from payflux.redis.address import parse_url
from payflux.redis.append import RedisAppender
from payflux.stream.deliveries import Ledger
from payflux.stream.protocol import GROUP, ReadStream
from real_parts import binary_or_skip
from servers import Server
from stream_keys import KEYS


@pytest.fixture(params=["memory", "redis-6.2", "redis-7", "valkey-9"])
async def stream(request: pytest.FixtureRequest) -> AsyncIterator[Stream]:
    """Each kind in turn."""
    if request.param == "memory":
        yield InMemory()
        return
    server = Server(binary_or_skip(request.param), request.getfixturevalue("directory"))
    appender = RedisAppender(parse_url(server.url), KEYS, maxlen=0, window_sec=1000)
    running = asyncio.create_task(appender.run())
    async with asyncio.timeout(10):
        while not appender.connected:  # noqa: ASYNC110 - it offers no event
            await asyncio.sleep(0.002)
    yield OnServer(server, appender)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    appender.close()
    server.stop()


@pytest.fixture
async def begin(stream: Stream) -> AsyncIterator[Begin]:
    """Makes connected readers; with lease and group unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def make(name: str, group: str = GROUP, *, lease: bool = True) -> tuple[ReadStream, Ledger]:
            reader = stream.reader(name, group)
            stack.push_async_callback(reader.leave)
            await reader.connect()
            ledger = Ledger(f"token-{name}")
            if lease:
                assert await reader.take_lease(ledger, fresh=True) is not None
                await reader.ensure_group(ledger)
            return reader, ledger

        yield make
