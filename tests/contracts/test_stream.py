"""The contract of the stream, on every supported server: append, lease, name and group."""

import asyncio
from typing import Any

import pytest

from consumers import Node, consuming, entries, noted
from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.redis import follow as redis_read
from payflux.redis.append import RedisAppender
from payflux.stream.deliveries import Ledger
from payflux.stream.protocol import GROUP, GroupMissing, LeaseLost
from servers import Server, until
from stream_keys import CONSUMER, DEAD_LETTERS, LEASE, STREAM
from streams import append, appending, event, fill, wait_for

# append


async def test_a_new_event_becomes_one_entry(every_server: Server) -> None:
    """An entry has exactly `data` as given and `seq`, from 1 on."""
    events = await fill(every_server, 3)
    found = entries(every_server)
    assert [fields for _, fields in found] == [
        {b"data": one.data, b"seq": b"%d" % seq} for seq, one in enumerate(events, 1)
    ]
    raw: Any = every_server.client.execute_command("XRANGE", STREAM, "-", "+")  # type: ignore[no-untyped-call]
    assert [list(fields) for _, fields in raw] == [[b"data", b"seq"]] * 3


async def test_an_event_sent_again_is_a_duplicate(every_server: Server) -> None:
    """The id decides, not the data; across batches, within one, and for another appender."""
    one, other = event(1), event(2)
    same = StoredEvent(b'{"n":3}', one.event_id, one.uid, one.processor)
    async with appending(every_server) as first, appending(every_server) as second:
        assert await append(first, [one, same, other, one]) == (b"1010", "")
        assert await append(second, [same, other, event()]) == (b"001", "")
        assert await append(first, []) == (b"", "")
    assert [fields[b"data"] for _, fields in entries(every_server)] == [one.data, other.data, b'{"n":0}']


async def test_many_batches_of_two_appenders_are_numbered_without_gaps(every_server: Server) -> None:
    """Every caller gets its own results, the stream keeps each caller's order, and each id is there once."""
    events = [event(number) for number in range(600)]
    answers: list[tuple[list[StoredEvent], bytes]] = []

    async def send(appender: RedisAppender, batch: list[StoredEvent]) -> None:
        flags, code = await append(appender, batch)
        assert code == ""
        assert len(flags) == len(batch)
        answers.append((batch, flags))

    async with appending(every_server) as first, appending(every_server) as second:
        await asyncio.gather(
            *(
                send(appender, events[start : start + size])
                for start, size in ((n * 7, n % 11 + 1) for n in range(80))
                for appender in (first, second)
            )
        )
        await first.drain()
    sent = {one.event_id for batch, _ in answers for one in batch}
    stored = [fields for _, fields in entries(every_server)]
    assert [int(fields[b"seq"]) for fields in stored] == list(range(1, len(sent) + 1))
    assert len({fields[b"data"] for fields in stored}) == len(sent)
    assert sum(flags.count(b"1") for _, flags in answers) == len(sent)
    place = {fields[b"data"]: n for n, fields in enumerate(stored)}
    for batch, flags in answers:
        new = [place[one.data] for one, flag in zip(batch, flags, strict=True) if flag == ord("1")]
        assert new == sorted(new)


# lease and name


async def test_one_node_holds_a_consumer_name(every_server: Server) -> None:
    """A name is its node's until it leaves or its hold expires."""
    one, other = Node(every_server, token="a"), Node(every_server, token="b")
    await one.reader.connect()
    await other.reader.connect()
    assert [await one.reader.claim_name() for _ in range(2)] == [True, True]
    assert await other.reader.claim_name() is False
    assert 0 < every_server.client.pttl(CONSUMER + "one") <= redis_read.NAME_MS
    await one.reader.leave()
    assert await other.reader.claim_name() is True
    every_server.client.pexpire(CONSUMER + "one", 20)
    until(lambda: not every_server.client.exists(CONSUMER + "one"), "the name to expire")
    third = Node(every_server, token="c")
    await third.reader.connect()
    assert await third.reader.claim_name() is True
    await other.reader.leave()
    assert every_server.client.get(CONSUMER + "one") == b"c"  # nobody gives up what another holds
    await third.reader.leave()


async def test_one_node_holds_the_lease(every_server: Server) -> None:
    """The lease is exclusive, renewed by its holder, and free after it left or its lease expired."""
    async with consuming(every_server, "one", "two", "three") as (one, two, three):
        assert await two.reader.take_lease(two.ledger, fresh=True) is None
        every_server.client.pexpire(LEASE, 100)
        kept = await one.reader.take_lease(one.ledger, fresh=False)
        assert kept is one.ledger
        assert every_server.client.pttl(LEASE) > 1000
        await one.reader.leave()
        assert (await two.reader.take_lease(two.ledger, fresh=True)) is not None
        every_server.client.pexpire(LEASE, 20)
        until(lambda: not every_server.client.exists(LEASE), "the lease to expire")
        assert (await three.reader.take_lease(three.ledger, fresh=True)) is not None
        assert await two.reader.take_lease(two.ledger, fresh=False) is None
        await two.reader.leave()
        assert every_server.client.get(LEASE) == b"token-three"


async def test_a_new_holder_gets_the_former_ones_ledger(every_server: Server) -> None:
    """What the former holder acked, settled and left is told once, and its counts begin anew."""
    await fill(every_server, 5)
    async with consuming(every_server, "one", "two") as (one, two):
        found = await one.reader.read(10, 0.1)
        left = (found[1].id,)
        assert await one.ack([found[0], *found[2:]], expected=5, settled=2, unacked=left) == b"1111"
        await one.reader.leave()
        assert await two.reader.take_lease(two.ledger, fresh=True) == Ledger(
            "token-one", acked=4, settled=2, last_id=found[4].id, last_seq=5, unacked=left
        )
        assert noted(every_server) == {
            "owner": "token-two",
            "life": "0",
            "acked": "0",
            "settled": "0",
            "last_id": found[4].id.decode(),
            "last_seq": "5",
            "left": left[0].decode(),
        }


async def test_the_same_process_keeps_its_counts_and_a_new_one_does_not(every_server: Server) -> None:
    """`fresh` tells a new process of the same node from the old one: it gets the counts of its predecessor."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        await one.ack(await one.reader.read(10, 0.1))
        one.ledger.settled = 1
        every_server.client.delete(LEASE)  # it expired, and nobody took it
        assert await one.reader.take_lease(one.ledger, fresh=False) is one.ledger
        assert (noted(every_server)["acked"], noted(every_server)["settled"]) == ("3", "1")
        before = await one.reader.take_lease(Ledger("token-one"), fresh=True)
        assert before is not None
        assert (before.owner, before.acked, before.settled) == ("token-one", 3, 1)
        assert noted(every_server)["acked"] == "0"


# the group


async def test_the_group_is_made_once_from_the_first_entry(every_server: Server) -> None:
    """Without a ledger everything there is will be read; a group that exists is left alone."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        assert await one.reader.ensure_group(one.ledger) is False
        assert [d.seq for d in await one.reader.read(10, 0.1)] == [1, 2]


async def test_the_group_is_made_before_the_stream(every_server: Server) -> None:
    """A consumer that comes first waits for the first event."""
    async with consuming(every_server) as (one,):
        assert await one.reader.read(10, 0.001) == []
        reading = asyncio.ensure_future(one.reader.read(10, 5))
        (sent,) = await fill(every_server, 1)
        (found,) = await reading
        assert (found.seq, found.data, found.attempts, found.lost_to, found.gone) == (1, sent.data, 1, 0, False)
        assert found.at_ms == int(found.id.split(b"-")[0])


async def test_a_destroyed_group_is_made_again_where_it_was(every_server: Server) -> None:
    """After the newest entry that was acked, or before the oldest that was left."""
    await fill(every_server, 6)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(4, 0.1)
        await one.ack(found)
        every_server.client.xgroup_destroy(STREAM, GROUP)
        assert await one.reader.ensure_group(one.ledger) is True
        assert [d.seq for d in await one.reader.read(10, 0.1)] == [5, 6]
        every_server.client.xgroup_destroy(STREAM, GROUP)
        one.ledger.unacked = (found[1].id, found[3].id)
        assert await one.reader.ensure_group(one.ledger) is True
        assert [d.seq for d in await one.reader.read(10, 0.1)] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("oldest", ["5-0", "5-3"])
async def test_the_place_before_an_entry_is_exact(every_server: Server, oldest: str) -> None:
    """Also when the oldest entry left is the first of its millisecond."""
    for entry_id in ("4-9", "5-0", "5-3", "6-0"):
        every_server.client.xadd(STREAM, {"data": "{}", "seq": "1"}, id=entry_id)
    async with consuming(every_server) as (one,):
        every_server.client.xgroup_destroy(STREAM, GROUP)
        one.ledger.last_id, one.ledger.unacked = b"6-0", (oldest.encode(),)
        assert await one.reader.ensure_group(one.ledger) is True
        assert (await one.reader.read(1, 0.1))[0].id == oldest.encode()


@pytest.mark.parametrize("exists", [False, True])
async def test_another_stream_is_read_from_its_first_entry(every_server: Server, exists: bool) -> None:
    """A ledger ahead of the stream is of another life of it: nothing in the new one may be skipped."""
    if exists:
        await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        every_server.client.xgroup_destroy(STREAM, GROUP) if exists else every_server.client.delete(STREAM)
        one.ledger.last_id, one.ledger.unacked = b"9999999999999-0", (b"9999999999998-0",)
        assert await one.reader.ensure_group(one.ledger) is True
        assert one.ledger == Ledger("token-one")
        assert len(await one.reader.read(10, 0.01)) == (2 if exists else 0)


async def test_a_stream_of_the_wrong_type_is_unavailable(every_server: Server) -> None:
    """No method takes a foreign key for an empty stream."""
    async with consuming(every_server) as (one,):
        every_server.client.delete(STREAM)
        every_server.client.set(STREAM, "mine")
        for attempt in (
            one.reader.ensure_group(one.ledger),
            one.reader.read(1, 0.01),
            one.reader.pending(b"0-0", 0),
            one.reader.ack([b"1-0"], one.ledger, 1),
            one.reader.unread_tail(one.ledger),
        ):
            with pytest.raises(StreamUnavailable) as raised:
                await attempt
            assert raised.value.code == "redis_wrong_type"


@pytest.mark.parametrize("how", ["destroy", "delete", "flush"])
async def test_a_missing_group_is_told_to_every_method(every_server: Server, how: str) -> None:
    """GroupMissing, also to a read that waits; after FLUSHALL the lease is gone before the group is."""
    await fill(every_server, 1)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        reading = asyncio.ensure_future(one.reader.read(10, 10))
        client: Any = every_server.client
        await wait_for(lambda: any(c["cmd"] == "xreadgroup" for c in client.client_list()))
        if how == "destroy":
            client.xgroup_destroy(STREAM, GROUP)
        else:
            client.delete(STREAM) if how == "delete" else client.flushall()
        ended = await asyncio.wait([reading], timeout=0.2)
        if not ended[0]:  # some servers tell a waiting reader only when there is something to read again
            client.xadd(STREAM, {"data": "{}", "seq": "9"})
        with pytest.raises(GroupMissing):
            await asyncio.wait_for(reading, 5)
        with pytest.raises(GroupMissing):
            await one.reader.read(10, 0.01)
        with pytest.raises(GroupMissing):
            await one.reader.pending(b"0-0", 0)
        with pytest.raises(LeaseLost if how == "flush" else GroupMissing):
            await one.ack(found)
        with pytest.raises(LeaseLost if how == "flush" else GroupMissing):
            await one.reader.dead_letter(found[0], "invalid", one.ledger)
        assert every_server.client.exists(DEAD_LETTERS) == 0
