"""The contract of the stream, on every supported server: what ingest and consumer may rely on."""

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from conftest import binary_or_skip
from payflux import redis_read
from payflux.errors import StreamUnavailable
from payflux.event import StoredEvent
from payflux.redis_append import RedisAppender
from payflux.redis_keys import CONSUMER, DEAD_LETTERS, GROUP, LEASE, LEDGER, STATE, STREAM
from payflux.redis_link import parse_url
from payflux.redis_read import RedisReader
from payflux.stream import Delivery, GroupMissing, LeaseLost, Ledger
from servers import Server, until

Answer = tuple[bytes, str]


def event(number: int = 0) -> StoredEvent:
    """An event with an id of its own."""
    uid = uuid.uuid4()
    return StoredEvent(b'{"n":%d}' % number, str(uid), uid.bytes, "stripe")


async def wait_for(condition: Callable[[], object]) -> None:
    """Wait for a condition; fails the test when it does not come true in time."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.002)


@asynccontextmanager
async def appending(server: Server) -> AsyncIterator[RedisAppender]:
    """A connected appender."""
    appender = RedisAppender(parse_url(server.url), maxlen=0, window_sec=1000)
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


class Node:
    """A consumer as its node sees it: the reader, its ledger and what it believes to be pending."""

    def __init__(self, server: Server, name: str = "one", token: str = "") -> None:
        self.token = token or f"token-{name}"
        self.reader = RedisReader(parse_url(server.url), name, self.token)
        self.ledger = Ledger(self.token)

    async def begin(self) -> "Node":
        """Connect, take lease and group."""
        await self.reader.connect()
        before = await self.reader.take_lease(self.ledger, fresh=True)
        assert before is not None
        self.ledger = Ledger(self.token, last_id=before.last_id, last_seq=before.last_seq, left=before.left)
        await self.reader.ensure_group(self.ledger)
        return self

    async def ack(self, deliveries: Sequence[Delivery], expected: int | None = None, **noted: Any) -> bytes:
        """Ack them and note the newest."""
        self.ledger.last_id, self.ledger.last_seq = deliveries[-1].id, deliveries[-1].seq
        for name, value in noted.items():
            setattr(self.ledger, name, value)
        ids = [delivery.id for delivery in deliveries]
        return await self.reader.ack(ids, self.ledger, len(ids) if expected is None else expected)


@asynccontextmanager
async def consuming(server: Server, *names: str) -> AsyncIterator[list[Node]]:
    """Connected consumers, the first of them with lease and group."""
    async with AsyncExitStack() as stack:
        nodes = [Node(server, name) for name in names or ("one",)]
        for node in nodes:
            stack.push_async_callback(node.reader.leave)
            await node.reader.connect()
        await nodes[0].begin()
        yield nodes


def noted(server: Server) -> dict[str, str]:
    """The ledger as it stands in Redis."""
    found: Any = server.client.hgetall(LEDGER)
    return {name.decode(): value.decode() for name, value in found.items()}


def entries(server: Server, stream: str = STREAM) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """All entries of a stream."""
    found: Any = server.client.xrange(stream)
    return list(found)


def pending_ids(server: Server) -> list[bytes]:
    """What is pending in the group."""
    found: Any = server.client.xpending_range(STREAM, GROUP, "-", "+", 10_000)
    return [row["message_id"] for row in found]


def ids_of(deliveries: Sequence[Delivery]) -> list[bytes]:
    """Their ids."""
    return [delivery.id for delivery in deliveries]


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
        assert await one.ack([found[0], *found[2:]], expected=5, settled=2, left=left) == b"1111"
        await one.reader.leave()
        assert await two.reader.take_lease(two.ledger, fresh=True) == Ledger(
            "token-one", acked=4, settled=2, last_id=found[4].id, last_seq=5, left=left
        )
        assert noted(every_server) == {
            "owner": "token-two",
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
        one.ledger.left = (found[1].id, found[3].id)
        assert await one.reader.ensure_group(one.ledger) is True
        assert [d.seq for d in await one.reader.read(10, 0.1)] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("oldest", ["5-0", "5-3"])
async def test_the_place_before_an_entry_is_exact(every_server: Server, oldest: str) -> None:
    """Also when the oldest entry left is the first of its millisecond."""
    for entry_id in ("4-9", "5-0", "5-3", "6-0"):
        every_server.client.xadd(STREAM, {"data": "{}", "seq": "1"}, id=entry_id)
    async with consuming(every_server) as (one,):
        every_server.client.xgroup_destroy(STREAM, GROUP)
        one.ledger.last_id, one.ledger.left = b"6-0", (oldest.encode(),)
        assert await one.reader.ensure_group(one.ledger) is True
        assert (await one.reader.read(1, 0.1))[0].id == oldest.encode()


@pytest.mark.parametrize("exists", [False, True])
async def test_another_stream_is_read_from_its_first_entry(every_server: Server, exists: bool) -> None:
    """A ledger ahead of the stream is of another life of it: nothing in the new one may be skipped."""
    if exists:
        await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        every_server.client.xgroup_destroy(STREAM, GROUP) if exists else every_server.client.delete(STREAM)
        one.ledger.last_id, one.ledger.left = b"9999999999999-0", (b"9999999999998-0",)
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
            one.reader.pending(b"0-0", 0, count_attempt=True),
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
            await one.reader.pending(b"0-0", 0, count_attempt=True)
        with pytest.raises(LeaseLost if how == "flush" else GroupMissing):
            await one.ack(found)
        with pytest.raises(LeaseLost if how == "flush" else GroupMissing):
            await one.reader.dead_letter(found[0], "invalid", one.ledger)
        assert every_server.client.exists(DEAD_LETTERS) == 0


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
        found = await one.reader.pending(b"0-0", 0, count_attempt=False)
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
        assert await two.reader.pending(b"0-0", 60, count_attempt=True) == []
        taken = await two.reader.pending(found[1].id, 0, count_attempt=True)
        assert [(d.seq, d.data) for d in taken] == [(d.seq, d.data) for d in found[2:]]
        client: Any = every_server.client
        rows = client.xpending_range(STREAM, GROUP, "-", "+", 10)
        assert [row["consumer"] for row in rows] == [b"one", b"one", b"two", b"two"]
        assert await two.reader.pending(found[3].id, 0, count_attempt=True) == []
        client.xclaim(STREAM, GROUP, "one", 0, [found[0].id], idle=61_000, justid=True)
        assert ids_of(await two.reader.pending(b"0-0", 60, count_attempt=True)) == [found[0].id]


async def test_taking_over_is_done_in_slices(every_server: Server) -> None:
    """More pending entries than one slice come in several, without gap or overlap."""
    await fill(every_server, 450)
    async with consuming(every_server) as (one,):
        await one.reader.read(1000, 0.1)
        after, seqs, sizes = b"0-0", [], []
        while part := await one.reader.pending(after, 0, count_attempt=False):
            after = part[-1].id
            seqs += [delivery.seq for delivery in part]
            sizes.append(len(part))
        assert seqs == list(range(1, 451))
        assert sizes == [200, 200, 50]


async def test_attempts_are_counted_only_when_asked(every_server: Server) -> None:
    """The first delivery is attempt 1; taking over counts one more, unless it was no attempt."""
    await fill(every_server, 1)
    async with consuming(every_server) as (one,):
        assert [d.attempts for d in await one.reader.read(10, 0.1)] == [1]
        attempts = []
        for counted in (False, True, True, False, True):
            (delivery,) = await one.reader.pending(b"0-0", 0, count_attempt=counted)
            attempts.append(delivery.attempts)
        assert attempts == [1, 2, 3, 3, 4]


async def test_deleted_entries_are_delivered_as_gone(every_server: Server) -> None:
    """A pending entry that was deleted is told so, can be acked, and disturbs no other one."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.xdel(STREAM, found[1].id)
        taken = await one.reader.pending(b"0-0", 0, count_attempt=True)
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
        (again,) = await one.reader.pending(b"0-0", 0, count_attempt=True)
        assert (again.data, again.seq, again.lost_to) == (data, seq, lost_to)


# ack


async def test_an_ack_notes_the_ledger_and_renews_the_lease(every_server: Server) -> None:
    """One step: acked, counted, noted, renewed; an ack of nothing notes all the same."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.pexpire(LEASE, 200)
        assert await one.ack(found[:2], expected=3, settled=1, left=(found[2].id,)) == b"11"
        assert every_server.client.pttl(LEASE) > 1000
        assert pending_ids(every_server) == [found[2].id]
        assert noted(every_server) == {
            "owner": "token-one",
            "acked": "2",
            "settled": "1",
            "last_id": found[1].id.decode(),
            "last_seq": "2",
            "left": found[2].id.decode(),
        }
        one.ledger.settled = 2
        assert await one.reader.ack([], one.ledger, 1) == b""
        assert (noted(every_server)["acked"], noted(every_server)["settled"]) == ("2", "2")


async def test_an_ack_of_an_ack_finds_nothing(every_server: Server) -> None:
    """Each id is `1` once; nothing acked is counted twice."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        assert await one.ack(found[:1], expected=3) == b"1"
        assert await one.ack(found, expected=3) == b"011"
        assert await one.ack(found, expected=3) == b"000"
        assert noted(every_server)["acked"] == "3"


async def test_the_flags_are_right_when_somebody_else_acks(every_server: Server) -> None:
    """Foreign interference with the group is seen entry by entry."""
    await fill(every_server, 4)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.xack(STREAM, GROUP, found[0].id, found[2].id)
        assert await one.ack(found) == b"0101"
        assert noted(every_server)["acked"] == "2"


@pytest.mark.parametrize("stolen", [1, 2, 3])
async def test_a_thief_who_keeps_the_count_is_seen(every_server: Server, stolen: int) -> None:
    """Somebody acks of ours and reads as many others: the number of pending entries is the same, the flags are not."""
    await fill(every_server, 6)
    client: Any = every_server.client
    async with consuming(every_server) as (one,):
        found = await one.reader.read(3, 0.1)
        client.xack(STREAM, GROUP, *ids_of(found[:stolen]))
        client.xreadgroup(GROUP, "thief", {STREAM: ">"}, count=stolen)
        assert len(pending_ids(every_server)) == 3
        assert await one.ack(found) == b"0" * stolen + b"1" * (3 - stolen)
        assert noted(every_server)["acked"] == str(3 - stolen)
        assert len(pending_ids(every_server)) == stolen


@pytest.mark.parametrize("taker", [None, "another"])
async def test_without_the_lease_nothing_is_changed(every_server: Server, taker: str | None) -> None:
    """LeaseLost: a former holder acks nothing, buries nothing and notes nothing."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.set(LEASE, taker) if taker else every_server.client.delete(LEASE)
        before = noted(every_server)
        with pytest.raises(LeaseLost):
            await one.ack(found)
        with pytest.raises(LeaseLost):
            await one.reader.dead_letter(found[0], "invalid", one.ledger)
        assert pending_ids(every_server) == ids_of(found)
        assert noted(every_server) == before
        assert every_server.client.exists(DEAD_LETTERS) == 0


async def test_flushed_scripts_are_sent_again(every_server: Server) -> None:
    """NOSCRIPT is no failure of lease, ack or dead letter."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.script_flush()
        assert await one.reader.take_lease(one.ledger, fresh=False) is one.ledger
        every_server.client.script_flush()
        assert await one.ack(found[:1], expected=2) == b"1"
        every_server.client.script_flush()
        assert await one.reader.dead_letter(found[1], "invalid", one.ledger) is True


# dead letters


@pytest.mark.parametrize("data", [b"", b"\x00\xff\r\n{}", b'{"n": 1 }' * 20_000])
async def test_a_dead_letter_is_the_original_byte_for_byte(every_server: Server, data: bytes) -> None:
    """With its id, the reason and the time; acked then, and not buried twice."""
    client: Any = every_server.client
    client.xadd(STREAM, {"data": data, "seq": "1"})
    async with consuming(every_server) as (one,):
        (found,) = await one.reader.read(10, 0.1)
        one.ledger.last_id, one.ledger.last_seq = found.id, 1
        assert await one.reader.dead_letter(found, "invalid_json", one.ledger) is True
        assert await one.reader.dead_letter(found, "invalid_json", one.ledger) is False
        ((_, fields),) = entries(every_server, DEAD_LETTERS)
        stamp = fields.pop(b"timestamp").decode()
        assert fields == {b"data": data, b"original_id": found.id, b"reason": b"invalid_json"}
        assert (len(stamp), stamp[10], stamp[-1]) == (20, "T", "Z")
        assert pending_ids(every_server) == []
        assert noted(every_server)["last_id"] == found.id.decode()


async def test_a_dead_letter_is_left_behind_no_longer(every_server: Server) -> None:
    """The ledger's list of what was left loses the entry with the same step, and keeps the others."""
    await fill(every_server, 4)
    async with consuming(every_server, "one", "two") as (one, two):
        found = await one.reader.read(10, 0.1)
        await one.ack([found[0], found[3]], expected=4, left=(found[1].id, found[2].id))
        assert await one.reader.dead_letter(found[1], "invalid", one.ledger) is True
        await one.reader.leave()
        before = await two.reader.take_lease(two.ledger, fresh=True)
        assert before is not None
        assert before.left == (found[2].id,)
        assert pending_ids(every_server) == [found[2].id]


async def test_a_broken_dead_letter_stream_keeps_the_entry(every_server: Server) -> None:
    """With a key of the wrong type nothing is acked, and afterwards it can be buried."""
    await fill(every_server, 1)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.set(DEAD_LETTERS, "mine")
        with pytest.raises(StreamUnavailable) as raised:
            await one.reader.dead_letter(found[0], "invalid", one.ledger)
        assert raised.value.code == "redis_wrong_type"
        assert pending_ids(every_server) == ids_of(found)
        every_server.client.delete(DEAD_LETTERS)
        assert await one.reader.dead_letter(found[0], "invalid", one.ledger) is True


async def test_the_unread_tail_is_told_from_a_deleted_one(every_server: Server) -> None:
    """The last number when nothing follows, whatever was deleted; None while something follows."""
    async with consuming(every_server) as (one,):
        assert await one.reader.unread_tail(one.ledger) == 0
        await fill(every_server, 3)
        assert await one.reader.unread_tail(one.ledger) is None
        found = await one.reader.read(1, 0.1)
        await one.ack(found)
        every_server.client.xtrim(STREAM, maxlen=1, approximate=False)
        assert await one.reader.unread_tail(one.ledger) is None
        every_server.client.xtrim(STREAM, maxlen=0, approximate=False)
        assert await one.reader.unread_tail(one.ledger) == 3


async def test_a_node_that_never_connected_can_leave(server: Server) -> None:
    """Unconnected, every method says unavailable, and leaving is no error."""
    reader = RedisReader(parse_url(server.url), "one", "token")
    with pytest.raises(StreamUnavailable):
        await reader.read(1, 0.1)
    with pytest.raises(StreamUnavailable):
        await reader.claim_name()
    await reader.leave()


async def test_any_consumer_name_connects(server: Server) -> None:
    """Redis takes no blanks and no letters beyond ASCII in the name of a connection; ours is made to fit."""
    reader = RedisReader(parse_url(server.url), "Büro 1\n" * 20, "token")
    await reader.connect()
    assert await reader.claim_name() is True
    await reader.leave()


# a model of the stream


@pytest.fixture(scope="module", params=["redis-6.2", "redis-7", "valkey-9"])
def modelled(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for all examples of the model."""
    with tempfile.TemporaryDirectory(prefix="pf-") as directory:
        server = Server(binary_or_skip(request.param), Path(directory))
        yield server
        server.stop()


class StreamModel(RuleBasedStateMachine):
    """Appends, reads, acks, crashes and take-overs in any order, against lists that say what must be so."""

    server: Server  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.server.client.flushall()
        self.sent: list[StoredEvent] = []
        self.in_hand: dict[bytes, Delivery] = {}  # of the consumer that lives
        self.acked: set[bytes] = set()
        self.dead: set[bytes] = set()
        self.delivered: set[bytes] = set()
        self.crashes = 0

    def do(self, coroutine: Any) -> Any:
        """Run one step."""
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 20))

    @initialize()
    def start(self) -> None:
        """Two appenders and a consumer."""

        async def begin() -> None:
            self.stack = AsyncExitStack()
            self.appenders = [await self.stack.enter_async_context(appending(self.server)) for _ in range(2)]
            self.node = await Node(self.server, "0").begin()

        self.do(begin())

    @rule(count=st.integers(1, 6), old=st.integers(0, 3), which=st.integers(0, 1))
    def append(self, count: int, old: int, which: int) -> None:
        """New events, with some that are there already between them."""
        new = [event(len(self.sent) + n) for n in range(count)]
        batch = [*self.sent[:old], *new, *new[:1]]
        wanted = b"0" * min(old, len(self.sent)) + b"1" * count + b"0"
        assert self.do(append(self.appenders[which], batch)) == (wanted, "")
        self.sent += new

    @rule(count=st.integers(1, 5))
    def read(self, count: int) -> None:
        """New entries for the consumer: none that was ever delivered before."""
        found = self.do(self.node.reader.read(count, 0.001))
        assert self.delivered.isdisjoint(ids_of(found))
        assert len(found) == min(count, len(self.sent) - len(self.delivered))
        self.delivered.update(ids_of(found))
        self.in_hand |= {delivery.id: delivery for delivery in found}

    @precondition(lambda self: self.in_hand)
    @rule(picks=st.data())
    def ack(self, picks: st.DataObject) -> None:
        """Some of what is in hand, and perhaps something acked before."""
        ids = picks.draw(st.lists(st.sampled_from(sorted(self.in_hand)), min_size=1, unique=True))
        again = picks.draw(st.lists(st.sampled_from(sorted(self.acked)), max_size=2, unique=True)) if self.acked else []
        flags = self.do(self.node.reader.ack([*ids, *again], self.node.ledger, len(self.in_hand) + len(again)))
        assert flags == b"1" * len(ids) + b"0" * len(again)
        for entry_id in ids:
            del self.in_hand[entry_id]
        self.acked.update(ids)

    @precondition(lambda self: self.in_hand)
    @rule()
    def bury(self) -> None:
        """The oldest in hand becomes a dead letter."""
        entry_id = min(self.in_hand, key=lambda i: tuple(map(int, i.split(b"-"))))
        assert self.do(self.node.reader.dead_letter(self.in_hand.pop(entry_id), "invalid", self.node.ledger)) is True
        self.dead.add(entry_id)

    @rule(polite=st.booleans(), count_attempt=st.booleans())
    def crash(self, polite: bool, count_attempt: bool) -> None:
        """The consumer dies, or leaves; another one gets exactly what was in hand."""
        if polite:
            self.do(self.node.reader.leave())
        else:
            self.server.client.delete(LEASE)  # its time is up
            with pytest.raises(LeaseLost):
                self.do(self.node.reader.ack(sorted(self.in_hand), self.node.ledger, len(self.in_hand)))
            self.do(self.node.reader.leave())
        self.crashes += 1
        self.node = Node(self.server, str(self.crashes))
        self.do(self.node.begin())
        taken = self.do(self.node.reader.pending(b"0-0", 0, count_attempt=count_attempt))
        assert {d.id: (d.seq, d.data) for d in taken} == {d.id: (d.seq, d.data) for d in self.in_hand.values()}
        assert [d.seq for d in taken] == sorted(d.seq for d in taken)
        self.in_hand = {delivery.id: delivery for delivery in taken}

    @rule()
    def flush_scripts(self) -> None:
        """Redis forgets all scripts."""
        self.server.client.script_flush()

    @invariant()
    def nothing_is_lost_doubled_or_returns(self) -> None:
        """Each event has one entry, in order and numbered without gap; what is pending is what is in hand."""
        found = entries(self.server)
        assert [fields for _, fields in found] == [
            {b"data": one.data, b"seq": b"%d" % seq} for seq, one in enumerate(self.sent, 1)
        ]
        assert {entry_id for entry_id, _ in found} >= self.acked | self.dead | set(self.in_hand)
        assert self.delivered == self.acked | self.dead | set(self.in_hand)
        if hasattr(self, "node"):
            assert set(pending_ids(self.server)) == set(self.in_hand)
            dead = {fields[b"original_id"] for _, fields in entries(self.server, DEAD_LETTERS)}
            assert dead == self.dead
            assert int(self.server.client.hget(STATE, "seq") or 0) == len(self.sent)

    def teardown(self) -> None:
        """End what was started."""
        if hasattr(self, "node"):
            self.do(self.node.reader.leave())
            self.do(self.stack.aclose())
        self.loop.close()


def test_the_stream_behaves_as_its_model(modelled: Server) -> None:
    """Nothing appended is lost, nothing acked returns, no number is doubled or skipped."""
    StreamModel.server = modelled
    phases = (Phase.reuse, Phase.generate)  # shrinking would take minutes with a real server
    few = settings(max_examples=12, stateful_step_count=25, deadline=None, phases=phases)
    run_state_machine_as_test(StreamModel, settings=few)
