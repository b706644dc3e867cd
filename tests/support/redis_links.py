"""Connections to Redis, and servers that only seem to be one."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from payflux.errors import StreamUnavailable
from payflux.redis.address import RedisAddress
from payflux.redis.dial import connect
from payflux.redis.link import RedisLink


@asynccontextmanager
async def linked(address: RedisAddress, client: str = "test") -> AsyncIterator[RedisLink]:
    """A connection, closed in the end."""
    link = await connect(address, client)
    try:
        yield link
    finally:
        link.close()


async def refused(address: RedisAddress) -> StreamUnavailable:
    """Why a connection to it cannot be had."""
    with pytest.raises(StreamUnavailable) as raised:
        await connect(address, "test")
    return raised.value


@asynccontextmanager
async def speaking(answer: bytes) -> AsyncIterator[RedisAddress]:
    """A server that answers the first thing it is told so, or hangs up at once when the answer is empty."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, suppress(OSError):
                peer.settimeout(5)
                if answer:
                    peer.recv(100)
                    peer.sendall(answer)
                    peer.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        yield RedisAddress("127.0.0.1", listener.getsockname()[1])
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()
