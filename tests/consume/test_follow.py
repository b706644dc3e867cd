"""Reading ahead with a backlog: larger reads, the next one under way, nothing left out or read twice; and with care."""

import asyncio
import gc

import pytest
from msgspec.structs import replace

from consumer_parts import Parts, good, put
from consumers import consuming
from payflux.consume.follow import BATCH, MOST, READ_BYTES, CarefulReader, ReadAhead
from payflux.errors import StreamUnavailable
from payflux.testing import MemoryStream
from servers import Server
from streams import append, appending, event, fill, several, wait_for


async def test_reads_grow_with_the_backlog(server: Server) -> None:
    """Doubling up to the most, in order and each entry once; and small again when it is caught up."""
    total = 5 * MOST
    async with appending(server) as appender:
        for _ in range(total // BATCH):
            assert (await append(appender, several(BATCH)))[1] == ""
    async with consuming(server) as (one,):
        ahead = ReadAhead(one.reader)
        sizes: list[int] = []
        seen, after = 0, b"0-0"
        while seen < total:
            found = await ahead.read(after)
            assert [delivery.seq for delivery in found] == [*range(seen + 1, seen + 1 + len(found))]
            sizes.append(len(found))
            seen, after = seen + len(found), found[-1].id
        assert sizes[:4] == [BATCH, 2 * BATCH, MOST, MOST]
        following = asyncio.create_task(ahead.read(after))
        await fill(server, BATCH + 1)
        found = await following
        assert len(found) <= BATCH
        while seen + len(found) < total + BATCH + 1:
            found += await ahead.read(found[-1].id)
        assert found[-1].seq == total + BATCH + 1


async def test_the_next_read_is_sent_before_the_last_is_worked_on(server: Server) -> None:
    """Whoever builds lines for a while without a turn of the loop finds it answered."""
    await fill(server, 2 * BATCH)
    async with consuming(server) as (one,):
        ahead = ReadAhead(one.reader)
        assert len(await ahead.read(b"0-0")) == BATCH
        stats = server.client.info("commandstats")  # by a connection that blocks, as the work would
        assert stats["cmdstat_xread"]["calls"] == 2


async def test_large_events_are_read_in_smaller_numbers(server: Server) -> None:
    """What is in memory at once is limited in bytes."""
    large = [replace(one, data=b"x" * (READ_BYTES // 1500)) for one in several(4 * BATCH)]
    async with appending(server) as appender:
        for at in range(0, len(large), 500):
            assert (await append(appender, large[at : at + 500]))[1] == ""
    async with consuming(server) as (one,):
        ahead = ReadAhead(one.reader)
        after = b"0-0"
        sizes: list[int] = []
        while sum(sizes) < len(large):
            found = await ahead.read(after)
            sizes.append(len(found))
            after = found[-1].id
        assert sizes == [BATCH, 1500, 1500]


async def test_reading_goes_on_elsewhere(server: Server) -> None:
    """What was read ahead is not given for another place, and does not disturb what is read there."""
    await fill(server, BATCH)
    await fill(server, BATCH)
    async with consuming(server) as (one,):
        ahead = ReadAhead(one.reader)
        first = await ahead.read(b"0-0")
        assert len(first) == BATCH
        again = await ahead.read(first[9].id)
        assert [delivery.seq for delivery in again[:2]] == [11, 12]
        assert [delivery.seq for delivery in await ahead.probe(first[-1].id, 3)] == [1001, 1002, 1003]
        assert len(await ahead.read(b"0-0")) == BATCH
        ahead.forget()
        assert (await ahead.read(first[-1].id))[0].seq == BATCH + 1


async def test_a_connection_that_is_lost_meanwhile(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It is told with the next read; and one that is forgotten fails in silence."""
    await fill(server, BATCH)
    async with consuming(server) as (one,):
        ahead = ReadAhead(one.reader)
        for read_on in (True, False):
            first = await ahead.read(b"0-0")
            (blocked,) = [c for c in server.client.client_list() if c["name"] == "payflux-reader"]
            server.client.client_kill_filter(_id=blocked["id"])
            if read_on:
                with pytest.raises(StreamUnavailable):
                    await ahead.read(first[-1].id)
                ahead.forget()
            else:
                reading = ahead._ahead
                assert reading is not None
                await wait_for(reading.reply.done)
                ahead.forget()
                del reading
                gc.collect()
            await one.reader.connect()
        await fill(server, 1)
        assert (await ahead.read(first[-1].id))[0].seq == BATCH + 1
    assert "never retrieved" not in caplog.text


async def test_one_event_is_enough(server: Server) -> None:
    """Without a backlog a read ends with the first event."""
    async with consuming(server) as (one,), appending(server) as appender:
        ahead = ReadAhead(one.reader)
        following = asyncio.create_task(ahead.read(b"0-0"))
        await append(appender, [event()])
        assert [delivery.seq for delivery in await following] == [1]


async def test_with_care_so_much_and_no_more() -> None:
    """What is owed becomes less with what is read; nothing to read ends it; whoever is behind goes on."""
    one = await Parts(MemoryStream()).join()
    await put(one.stream, *(good() for _ in range(6)))
    careful = CarefulReader(one.stream, one.ledger, alone=False)
    careful.owe(5)
    careful.owe(3)
    assert [delivery.seq for delivery in await careful.read(2)] == [1, 2]
    assert careful.due == 3
    one.ledger.passed(b"9999999999999-0")
    assert len(await careful.read(3)) == 3
    assert careful.due == 1
    assert len(await careful.read(3)) == 1
    assert careful.due == 1
    assert await careful.read(3) == []
    assert careful.due == 0
    assert one.stream.backlog().pending == 6


async def test_with_care_one_by_one() -> None:
    """With a budget of one delivery no entry is read beside another that may kill us."""
    one = await Parts(MemoryStream()).join()
    await put(one.stream, good(), good())
    assert len(await CarefulReader(one.stream, one.ledger, alone=True).read(1000)) == 1
