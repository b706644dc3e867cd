"""What is found in our own keys that cannot be ours, and what is put in its place."""

from typing import Any

import pytest

from consumers import consuming, noted
from payflux.redis.address import parse_url
from payflux.redis.repair import Oddity, mend, oddities
from payflux.stream.protocol import GROUP
from redis_links import linked
from servers import Server
from stream_keys import KEYS, LEDGER, STATE, STREAM
from streams import append, appending, fill, several


async def found(server: Server) -> list[Oddity]:
    """What is odd there."""
    async with linked(parse_url(server.url)) as link:
        return await oddities(link, KEYS, GROUP)


async def repair(server: Server) -> None:
    """Put all of it right."""
    async with linked(parse_url(server.url)) as link:
        for odd in await oddities(link, KEYS, GROUP):
            assert await mend(link, odd)


async def test_what_is_ours_is_not_odd(every_server: Server) -> None:
    """Nothing yet, a stream, one that is consumed, one that was trimmed, and the end of one deleted by hand."""
    client: Any = every_server.client
    assert await found(every_server) == []
    await fill(every_server, 5)
    assert await found(every_server) == []
    async with consuming(every_server) as (one,):
        await one.ack(await one.reader.read(3, 0.1))
        assert await found(every_server) == []
        client.xdel(STREAM, client.xrevrange(STREAM, count=1)[0][0])
        assert await found(every_server) == []
        client.xtrim(STREAM, maxlen=0, approximate=False)
        assert await found(every_server) == []


@pytest.mark.parametrize("value", ["many", "-5", "1.5", "1" * 400, "5000000", "3", ""])
async def test_the_number_is_that_of_the_newest_entry(every_server: Server, value: str) -> None:
    """A stranger's entry with a number of its own does not count; with an empty stream the ledger tells."""
    client: Any = every_server.client
    await fill(every_server, 7)
    client.xadd(STREAM, {"data": "{}", "seq": "70"})
    client.hset(STATE, "seq", value)
    assert await found(every_server) == [Oddity(STATE, "seq", value.encode(), b"7")]
    await repair(every_server)
    assert client.hget(STATE, "seq") == b"7"
    assert await found(every_server) == []


async def test_with_an_empty_stream_the_ledger_tells_the_number(every_server: Server) -> None:
    """Until then no event can be numbered, and each is refused; afterwards they go on."""
    client: Any = every_server.client
    await fill(every_server, 4)
    async with consuming(every_server) as (one,):
        await one.ack(await one.reader.read(4, 0.1))
    client.xtrim(STREAM, maxlen=0, approximate=False)
    client.hset(STATE, "seq", "many")
    async with appending(every_server) as appender:
        assert await append(appender, several(1)) == (b"", "redis_bad_value")
        await repair(every_server)
        assert await append(appender, several(1)) == (b"1", "")
    assert client.hget(STATE, "seq") == b"5"


@pytest.mark.parametrize("value", ["rubbish", "1,99,5,0,5,0", "", None])
async def test_the_layers_are_found_by_their_sets(every_server: Server, value: str | None) -> None:
    """Afterwards the same events are known again, and none is stored twice."""
    client: Any = every_server.client
    events = await fill(every_server, 30)
    client.hdel(STATE, "layers") if value is None else client.hset(STATE, "layers", value)
    (odd,) = await found(every_server)
    assert (odd.key, odd.field, odd.value) == (STATE, "layers", (value or "").encode())
    await repair(every_server)
    assert client.hget(STATE, "layers").endswith(b",0,30,0")
    async with appending(every_server) as appender:
        assert await append(appender, events) == (b"0" * 30, "")


async def test_the_ledger_is_put_where_the_group_is(every_server: Server) -> None:
    """Its place, the number there, and nothing left behind."""
    client: Any = every_server.client
    await fill(every_server, 5)
    async with consuming(every_server) as (one,):
        await one.ack(await one.reader.read(3, 0.1))
        right = noted(every_server)
        for field, value in (
            ("last_id", "x"),
            ("last_id", "18446744073709551615-1"),
            ("last_seq", "-1"),
            ("left", "y"),
        ):
            client.hset(LEDGER, field, value)
            (odd,) = await found(every_server)
            assert (odd.key, odd.field, odd.value) == (LEDGER, field, value.encode())
            await repair(every_server)
            assert noted(every_server) == right


async def test_what_has_changed_meanwhile_is_left_alone(every_server: Server) -> None:
    """Somebody else may have put it right, and gone on."""
    client: Any = every_server.client
    await fill(every_server, 3)
    client.hset(STATE, "seq", "many")
    async with linked(parse_url(every_server.url)) as link:
        (odd,) = await oddities(link, KEYS, GROUP)
        client.hset(STATE, "seq", "9")
        assert not await mend(link, odd)
        assert client.hget(STATE, "seq") == b"9"
        assert await mend(link, Oddity(STATE, "seq", b"9", None))
        assert client.hget(STATE, "seq") is None
