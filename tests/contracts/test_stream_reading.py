"""The contract of the stream, on every supported server: reading and taking over."""

import asyncio
from typing import Any

import pytest

from consumers import consuming, ids_of, pending_ids
from payflux.errors import StreamUnavailable
from payflux.stream.protocol import GROUP
from servers import Server, until
from stream_keys import STREAM
from streams import fill, wait_for

# reading and taking over


async def test_a_read_takes_at_most_its_count_in_order(every_server: Server) -> None:
    """Each entry is delivered once by `read`, whoever asks, the oldest first."""
    await fill(every_server, 5)
    async with consuming(every_server, "one", "two") as (one, two):
        assert [d.seq for d in await one.reader.read(2, 0.1)] == [1, 2]
        assert [d.seq for d in await two.reader.read(2, 0.1)] == [3, 4]
        assert [d.seq for d in await one.reader.read(2, 0.1)] == [5]
        assert await one.reader.read(2, 0.01) == []


async def test_what_an_unanswered_read_took_is_found_pending(every_server: Server) -> None:
    """A read whose reply was lost has delivered: the entries are taken up without using up an attempt."""
    async with consuming(every_server) as (one,):
        client: Any = every_server.client
        reading = asyncio.ensure_future(one.reader.read(10, 10))
        await wait_for(lambda: any(c["cmd"] == "xreadgroup" for c in client.client_list()))
        reading.cancel()  # the command is on its way all the same
        await fill(every_server, 3)
        until(lambda: client.xpending(STREAM, GROUP)["pending"], "the read to take place")
        found = await one.reader.pending(b"0-0", 0)
        assert [(d.seq, d.attempts) for d in found] == [(1, 1), (2, 1), (3, 1)]
        await fill(every_server, 1)
        assert [d.seq for d in await one.reader.read(10, 0.1)] == [4]  # the connection is still in step


async def test_a_silent_server_ends_the_read_and_the_next_connect_mends_it(every_server: Server) -> None:
    """A killed connection is unavailability, and `connect` alone brings everything back."""
    await fill(every_server, 1)
    async with consuming(every_server) as (one,):
        every_server.client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(StreamUnavailable) as raised:
            await one.reader.read(10, 0.1)
        assert raised.value.code == "redis_down"
        with pytest.raises(StreamUnavailable):
            await one.reader.unread_tail(one.ledger)
        await one.reader.connect()
        assert [d.seq for d in await one.reader.read(10, 0.1)] == [1]


async def test_another_consumers_entries_are_taken_over_when_idle(every_server: Server) -> None:
    """Only what has been idle so long, in order, after an id; it is the new consumer's then."""
    await fill(every_server, 4)
    async with consuming(every_server, "one", "two") as (one, two):
        found = await one.reader.read(10, 0.1)
        assert await two.reader.pending(b"0-0", 60) == []
        taken = await two.reader.pending(found[1].id, 0)
        assert [(d.seq, d.data) for d in taken] == [(d.seq, d.data) for d in found[2:]]
        client: Any = every_server.client
        rows = client.xpending_range(STREAM, GROUP, "-", "+", 10)
        assert [row["consumer"] for row in rows] == [b"one", b"one", b"two", b"two"]
        assert await two.reader.pending(found[3].id, 0) == []
        client.xclaim(STREAM, GROUP, "one", 0, [found[0].id], idle=61_000, justid=True)
        assert ids_of(await two.reader.pending(b"0-0", 60)) == [found[0].id]


async def test_taking_over_is_done_in_slices(every_server: Server) -> None:
    """More pending entries than one slice come in several, without gap or overlap."""
    await fill(every_server, 450)
    async with consuming(every_server) as (one,):
        await one.reader.read(1000, 0.1)
        after, seqs, sizes = b"0-0", [], []
        while part := await one.reader.pending(after, 0):
            after = part[-1].id
            seqs += [delivery.seq for delivery in part]
            sizes.append(len(part))
        assert seqs == list(range(1, 451))
        assert sizes == [200, 200, 50]


async def test_attempts_are_counted_only_when_asked(every_server: Server) -> None:
    """The first delivery is attempt 1; taking over is none, as most of a slice is not tried when one entry kills."""
    await fill(every_server, 1)
    async with consuming(every_server) as (one,):
        assert [d.attempts for d in await one.reader.read(10, 0.1)] == [1]
        attempts = []
        for counted in (False, True, True, False, True):
            (delivery,) = await one.reader.pending(b"0-0", 0)
            if counted:
                await one.reader.attempt([delivery.id])
            attempts.append(delivery.attempts)
        assert attempts == [1, 1, 2, 3, 3]


async def test_deleted_entries_are_delivered_as_gone(every_server: Server) -> None:
    """A pending entry that was deleted is told so, can be acked, and disturbs no other one."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.xdel(STREAM, found[1].id)
        taken = await one.reader.pending(b"0-0", 0)
        assert ids_of(taken) == ids_of(found)
        assert [d.gone for d in taken] == [False, True, False]
        assert taken[1].data is None
        assert await one.ack(taken) == b"111"
        assert pending_ids(every_server) == []


@pytest.mark.parametrize(
    ("fields", "data", "seq", "lost_to"),
    [
        ({"other": "x"}, None, 0, 0),
        ({"data": "x"}, b"x", 0, 0),
        ({"seq": "7", "data": "x"}, b"x", 7, 0),
        ({"data": "x", "seq": "-1"}, b"x", 0, 0),
        ({"data": "x", "seq": "many"}, b"x", 0, 0),
        ({"data": "x", "seq": "9" * 5000}, b"x", 0, 0),
        ({"data": "x", "seq": "9" * 17, "lost_to": "9" * 5000}, b"x", 0, 0),
        ({"data": "x", "seq": "\u0663"}, b"x", 0, 0),
        ({"data": "", "seq": "3", "lost_to": "9"}, b"", 3, 9),
        ({"seq": "3", "lost_to": "9", "more": "y", "data": "z"}, b"z", 3, 9),
    ],
)
async def test_anybody_may_write_anything(
    server: Server, fields: dict[str, str], data: bytes | None, seq: int, lost_to: int
) -> None:
    """An entry of any shape is delivered, with what of it can be understood."""
    client: Any = server.client
    client.xadd(STREAM, fields)
    async with consuming(server) as (one,):
        (found,) = await one.reader.read(10, 0.1)
        assert (found.data, found.seq, found.lost_to) == (data, seq, lost_to)
        (again,) = await one.reader.pending(b"0-0", 0)
        assert (again.data, again.seq, again.lost_to) == (data, seq, lost_to)


async def test_a_consumer_that_leaves_is_taken_out_of_the_group(every_server: Server) -> None:
    """Its name does not pile up, unless it has pending entries, which would be lost with it."""
    await fill(every_server, 2)
    async with consuming(every_server, "one") as (one,):
        (first, second) = await one.reader.read(2, 0.1)
        await one.ack([first], expected=2)
        await one.reader.leave()
        assert [consumer["pending"] for consumer in every_server.client.xinfo_consumers(STREAM, GROUP)] == [1]
        await one.begin()
        await one.ack([second])
        await one.reader.leave()
        assert every_server.client.xinfo_consumers(STREAM, GROUP) == []
