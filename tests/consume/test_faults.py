"""A consumer on a real server whose data or keys are not as they should be: all comes out or is counted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consumer_parts import Parts, bad, good
from consumers import pending_ids
from faulty import NodeInTest, State, clock_ahead, lost_of
from payflux.consume.consumer import Consumer
from payflux.consume.follow import BATCH
from payflux.redis.address import parse_url
from payflux.redis.follow import RedisReader
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import DEAD_LETTERED, PROCESSED, STREAM_LOST
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS, LEASE, STREAM
from streams import append, appending, wait_for


def parts(server: Server, name: str = "one") -> Parts[RedisReader]:
    """The parts of a consumer on a server, with the clock that runs."""
    return Parts(RedisReader(parse_url(server.url), KEYS, GROUP, name, name), token=name)


@asynccontextmanager
async def at_work(one: Parts[RedisReader]) -> AsyncIterator[Consumer]:
    """A consumer that runs, and ends in peace."""
    consumer = one.consumer(Consumer)
    running = asyncio.ensure_future(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        await asyncio.wait_for(running, 10)
        await consumer.leave()


def lost(*several: Parts[RedisReader]) -> dict[str, float]:
    """What was counted as lost, by reason."""
    reasons = ("trimmed", "reset", "crash")
    return {reason: sum(one.count(STREAM_LOST, reason) for one in several) for reason in reasons}


NOTHING = {"trimmed": 0, "reset": 0, "crash": 0}


async def test_an_unusable_dead_letter_key_stops_no_good_event(every_server: Server) -> None:
    """The bad entry waits, the good ones come out, nothing counts as lost; healed, it is dead-lettered in seconds."""
    every_server.client.set(DEAD_LETTERS, "x")
    one = parts(every_server)
    async with appending(every_server) as appender, at_work(one):
        await append(appender, [bad()])
        await append(appender, [good() for _ in range(500)])
        await wait_for(lambda: one.count(PROCESSED) == 500)
        assert len(pending_ids(every_server)) == 1
        every_server.client.delete(DEAD_LETTERS)
        await wait_for(lambda: one.count(DEAD_LETTERED, "invalid_json") == 1)
        assert pending_ids(every_server) == []
        assert every_server.client.xlen(DEAD_LETTERS) == 1
        await append(appender, [good() for _ in range(BATCH)])
        await wait_for(lambda: one.count(PROCESSED) == 500 + BATCH)
    assert lost(one) == NOTHING


@asynccontextmanager
async def nodes(server: Server, *names: str, export_first: bool = False) -> AsyncIterator[list[NodeInTest]]:
    """Nodes that were started in this order; the first of them is active."""
    made = []
    try:
        for name in names or ("one",):
            made.append(NodeInTest(server, name, export_first=export_first))
            made[-1].start()
            await wait_for(lambda: server.client.exists(LEASE))
        yield made
    finally:
        for one in made:
            await one.end()


async def exported(node: NodeInTest, ids: list[str]) -> None:
    """These lines, in this order and no others, within five seconds."""
    async with asyncio.timeout(5):
        while len(node.lines) < len(ids):  # noqa: ASYNC110 - a thread of its own writes them
            await asyncio.sleep(0.01)
    assert node.lines == ids


@pytest.mark.parametrize("export_first", [False, True])
@pytest.mark.parametrize("cut", [True, False])
async def test_a_primary_whose_clock_is_behind(every_server: Server, export_first: bool, cut: bool) -> None:
    """Ten of 110 entries are not in the state it comes back with; the 50 it accepts come out, and none is counted."""
    async with nodes(every_server, export_first=export_first) as (one,):
        ids = await one.send(100)
        await exported(one, ids)
        await wait_for(lambda: one.processed == 100)
        state = State(every_server)
        clock_ahead(every_server)
        ids += await one.send(10)
        await exported(one, ids)
        await wait_for(lambda: one.processed == 110)
        state.restore(cut=cut)
        ids += await one.send(25)
        ids += await one.send(25)
        await exported(one, ids)
        assert one.lost() == {}
        await wait_for(lambda: pending_ids(every_server) == [])
    seqs = [json.loads(line)["seq"] for line in one.exporter.lines]
    assert seqs == [*range(1, 111), *range(101, 151)]


@pytest.mark.parametrize("export_first", [False, True])
async def test_a_primary_whose_clock_is_behind_meets_a_new_consumer(every_server: Server, export_first: bool) -> None:
    """It reads as any member does until it has caught up, and is given lower ids than those it has seen."""
    one = NodeInTest(every_server, export_first=export_first)
    one.start()
    one.reader.once = True
    one.reader.gate.clear()
    ids = await one.send(100)
    one.reader.gate.set()
    await wait_for(lambda: one.processed == 100)
    state = State(every_server)
    clock_ahead(every_server)
    ids += await one.send(10)
    one.reader.gate.set()
    await wait_for(lambda: one.processed == 110)
    state.restore(cut=False)
    ids += await one.send(50)
    one.reader.once = False
    one.reader.gate.set()
    await exported(one, ids)
    assert one.lost() == {}
    await one.end()


async def test_what_was_not_read_of_the_lost_state_is_counted(every_server: Server) -> None:
    """Of 110 entries rolled back to 100, 104 had been exported: six are lost, and counted once for all workers."""
    async with nodes(every_server) as (one,):
        ids = await one.send(100)
        await exported(one, ids)
        state = State(every_server)
        clock_ahead(every_server)
        ids += await one.send(4)
        await exported(one, ids)
        await one.reader.hold()
        await one.send(6)
        state.restore()
        ids += await one.send(3)
        one.reader.gate.set()
        await exported(one, ids)
        await wait_for(lambda: one.lost() == {"reset": 6})
        ids += await one.send(20)
        await exported(one, ids)
        assert one.lost() == {"reset": 6}


async def test_what_was_handled_and_is_there_again_is_not_repeated(every_server: Server) -> None:
    """The acks of forty entries are rolled back, and ten of them with their entries."""
    async with nodes(every_server) as (one,):
        ids = await one.send(100)
        await exported(one, ids)
        await one.reader.hold()
        later = await one.send(30)
        state = State(every_server)
        one.reader.gate.set()
        ids += later + await one.send(10)
        await exported(one, ids)
        await wait_for(lambda: one.processed == 140)
        state.restore()
        ids += await one.send(5)
        await exported(one, ids)
        assert one.lost() == {}
        assert pending_ids(every_server) == []


@pytest.mark.parametrize("export_first", [False, True])
async def test_rolled_back_and_killed_at_once(every_server: Server, export_first: bool) -> None:
    """The successor knows from the node's memory what was handled: no line is repeated, and nothing counted."""
    async with nodes(every_server, export_first=export_first) as (one,):
        ids = await one.send(100)
        await exported(one, ids)
        await one.reader.hold()
        later = await one.send(1200)
        state = State(every_server)
        clock_ahead(every_server)
        one.reader.gate.set()
        ids += later + await one.send(600)
        await exported(one, ids)
        await wait_for(lambda: one.processed == 1900)
        await one.kill()
        state.restore()
        ids += await one.send(50)
        one.start()
        async with asyncio.timeout(15):
            while len(one.lines) < len(ids):  # noqa: ASYNC110 - a thread of its own writes them
                await asyncio.sleep(0.01)
        assert one.lines == ids
        assert one.lost() == {}


async def succeeded(one: NodeInTest, server: Server) -> tuple[list[str], State]:
    """Let a process export ten events and be killed, and another begin; the events, and the state between the two."""
    ids = await one.send(10)
    await exported(one, ids)
    await wait_for(lambda: one.processed == 10)
    await one.kill()
    state = State(server)
    one.start()
    await wait_for(lambda: server.client.hget(KEYS.ledger(GROUP), "acked") == b"0")
    return ids, state


@pytest.mark.parametrize("export_first", [False, True])
async def test_the_ledger_of_a_former_process_comes_back(every_server: Server, export_first: bool) -> None:
    """It stands where ours does and counts other acks, so that the next process must not take these for lost lines."""
    async with nodes(every_server, export_first=export_first) as (one,):
        ids, state = await succeeded(one, every_server)
        state.restore()
        ids += await one.send(8)
        await exported(one, ids)
        await wait_for(lambda: one.processed == 18)
        await one.kill()
        one.start()
        ids += await one.send(1)
        await exported(one, ids)
        assert one.lost() == {}


@pytest.mark.parametrize("export_first", [False, True])
async def test_the_ledger_of_a_former_process_comes_back_and_ours_dies(
    every_server: Server, export_first: bool
) -> None:
    """What that process had acked was settled when its successor began, so the third must not count it as lost."""
    async with nodes(every_server, export_first=export_first) as (one,):
        ids, state = await succeeded(one, every_server)
        await one.reader.hold()
        await one.send(3)
        await one.kill()
        state.restore()
        one.start()
        ids += await one.send(1)
        await exported(one, ids)
        await wait_for(lambda: one.lost() == {"reset": 3})
        ids += await one.send(4)
        await exported(one, ids)
        await one.kill()
        one.start()
        ids += await one.send(1)
        await exported(one, ids)
        assert one.lost() == {"reset": 3}


@pytest.mark.parametrize("busy", [False, True])
async def test_everything_flushed_with_two_nodes(every_server: Server, busy: bool) -> None:
    """Everything was exported, so nothing is lost, whichever of the two takes the lease after it."""
    async with nodes(every_server, "one", "other") as both:
        one, other = both
        ids = await one.send(500)
        await exported(one, ids)
        await wait_for(lambda: one.processed == 500)
        await wait_for(lambda: other.has_looked if busy else other.has_seen(one))
        every_server.client.flushall()
        ids += await one.send(20)
        async with asyncio.timeout(5):
            while len(one.lines + other.lines) < len(ids):  # noqa: ASYNC110 - threads of their own write them
                await asyncio.sleep(0.01)
        assert one.lines + other.lines == ids
        assert lost_of(both) == 0


async def test_flushed_and_its_holder_dead(every_server: Server) -> None:
    """The standby remembers how far the dead one was, waits for it in vain, and counts nothing that was exported."""
    async with nodes(every_server, "one", "other") as both:
        one, other = both
        ids = await one.send(500)
        await exported(one, ids)
        await wait_for(lambda: one.processed == 500)
        await wait_for(lambda: other.has_seen(one))
        await one.kill()
        every_server.client.flushall()
        ids = await one.send(20)
        await exported(other, ids)
        assert lost_of(both) == 0


@pytest.mark.parametrize("export_first", [False, True])
async def test_flushed_and_killed_again_and_again(every_server: Server, export_first: bool) -> None:
    """Each time numbers begin anew below those exported before, whose lines must not be taken for those to come."""
    async with nodes(every_server, export_first=export_first) as (one,):
        ids = await one.send(3)
        await exported(one, ids)
        for count in (9, 5, 3):
            await wait_for(lambda: one.processed == len(one.lines))
            await one.kill()
            every_server.client.flushall()
            one.start()
            ids += await one.send(count)
            await exported(one, ids)
        assert one.lost() == {}


async def test_in_the_file_and_not_acked_when_all_is_lost(every_server: Server) -> None:
    """Lines that were safe before their ack are not lost with it, nor written again."""
    async with nodes(every_server, export_first=True) as (one,):
        ids = await one.send(20)
        await exported(one, ids)
        await wait_for(lambda: one.processed == 20)
        one.reader.deaf = True
        ids += await one.send(16)
        await exported(one, ids)
        every_server.client.flushall()
        every_server.client.client_kill_filter(_type="normal", skipme=True)
        one.reader.deaf = False
        ids += await one.send(5)
        await exported(one, ids)
        assert one.lost() == {}


@pytest.mark.parametrize("acked", [0, 5])
@pytest.mark.parametrize("killed", [False, True])
async def test_in_the_file_and_not_acked_when_a_state_without_it_comes_back(
    every_server: Server, acked: int, killed: bool
) -> None:
    """Redis has the place that is known, and nothing behind it: what was exported behind it is not lost."""
    async with nodes(every_server, export_first=True) as (one,):
        ids = await one.send(acked) if acked else []
        await wait_for(lambda: one.processed == acked)
        state = State(every_server)
        one.reader.deaf = True
        ids += await one.send(3)
        await exported(one, ids)
        await wait_for(lambda: len(one.consumer._ledger.handled.safe) == 3)
        if killed:
            await one.kill()
        state.restore()
        if killed:
            one.start()
        one.reader.deaf = False
        ids += await one.send(2)
        await exported(one, ids)
        await wait_for(lambda: not one.consumer._ledger.handled.safe)
        await one.kill()
        one.start()
        ids += await one.send(1)
        await exported(one, ids)
        assert one.lost() == {}


@pytest.mark.parametrize("number", [5, 5_000_000, 1011])
async def test_a_foreign_number_is_not_believed(every_server: Server, number: int) -> None:
    """Seen before, never given, or the next one: it counts nothing as lost, and hides nothing."""
    client: Any = every_server.client
    async with nodes(every_server) as (one,):
        ids = await one.send(1010)
        await exported(one, ids)
        client.xadd(STREAM, {"data": good().data, "seq": number})
        await wait_for(lambda: one.processed == 1011)
        await one.send(10)
        await wait_for(lambda: one.processed == 1021)
        assert one.lost() == {}


@pytest.mark.parametrize("number", [1011, 1030, 1061])
async def test_a_foreign_number_hides_no_loss(every_server: Server, number: int) -> None:
    """Fifty entries are trimmed unread, and one that somebody put there bears a number of theirs, or the next one."""
    client: Any = every_server.client
    async with nodes(every_server) as (one,):
        await exported(one, await one.send(1010))
        await one.reader.hold()
        await one.send(50)
        client.xadd(STREAM, {"data": good().data, "seq": number})
        client.xtrim(STREAM, maxlen=1, approximate=False)
        one.reader.gate.set()
        await wait_for(lambda: one.processed == 1011)
        await one.send(10)
        await wait_for(lambda: one.processed == 1021 and one.lost() == {"trimmed": 50})
        await one.send(10)
        await wait_for(lambda: one.processed == 1031)
        assert one.lost() == {"trimmed": 50}
