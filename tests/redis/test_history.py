"""The stream read without its group: pages in both directions, waiting for more, and copying."""

import asyncio
from typing import Any

import pytest

from consumers import entries
from payflux.errors import StreamUnavailable
from payflux.redis.address import parse_url
from payflux.redis.history import StreamHistory
from servers import Server
from stream_keys import KEYS, STREAM
from streams import fill


def history(server: Server) -> StreamHistory:
    """One that is not connected."""
    return StreamHistory(parse_url(server.url), KEYS, "test")


async def test_pages_lie_side_by_side(every_server: Server) -> None:
    """Forwards both ends belong to a page, backwards its end does not; the newest id is that of the last entry."""
    await fill(every_server, 5)
    async with history(every_server) as read:
        every = await read.page(b"0-0", await read.newest())
        assert [d.seq for d in every] == [1, 2, 3, 4, 5]
        assert await read.page(every[1].id, every[3].id, 2) == every[1:3]
        assert await read.page_back(every[4].id, 3) == every[3:0:-1]
        assert await read.page_back(every[0].id) == []


async def test_a_stream_that_is_not_there_is_empty(server: Server) -> None:
    """And a connection that was never made, or is gone, is unavailability until it is made again."""
    read = history(server)
    with pytest.raises(StreamUnavailable):
        await read.newest()
    async with read:
        assert await read.newest() == b"0-0"
        assert await read.page(b"0-0", b"9-9") == []
        server.client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(StreamUnavailable):
            await read.read_after(b"0-0", 0.1)
        await read.connect()
        assert await read.read_after(b"0-0", 0.001) == []


async def test_who_waits_gets_what_comes(every_server: Server) -> None:
    """Without a trace in the stream: there is no group."""
    async with history(every_server) as read:
        waiting = asyncio.ensure_future(read.read_after(b"0-0", 5))
        sent = await fill(every_server, 1)
        assert [d.data for d in await waiting] == [one.data for one in sent]
        assert every_server.client.xinfo_groups(STREAM) == []


async def test_copies_are_marked_and_go_to_others_only(server: Server) -> None:
    """Data and number are the original's; no stream of PayFlux's own is written to."""
    await fill(server, 2)
    async with history(server) as read:
        found = await read.page(b"0-0", await read.newest())
        await read.copy_to("lab", found)
        assert [fields for _, fields in entries(server, "lab")] == [
            {b"data": d.data, b"seq": b"%d" % d.seq, b"replayed": b"1"} for d in found
        ]
        for name in (STREAM, "events_stream_dlq", "{events_stream}:dlq"):
            with pytest.raises(ValueError, match="own"):
                await read.copy_to(name, found)
        client: Any = server.client
        client.set("taken", "x")
        with pytest.raises(StreamUnavailable) as raised:
            await read.copy_to("taken", found)
        assert raised.value.code == "redis_wrong_type"
    assert len(entries(server)) == 2
