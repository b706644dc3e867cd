"""The consumer on a real server: entries that kill it, members that read ahead of it, acks without a reply."""

import asyncio
import functools
import json
import os
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from consumers import entries, pending_ids
from payflux.consume.consumer import Consumer
from payflux.consume.follow import BATCH, MOST
from payflux.consume.line import Enricher, Line
from payflux.event.decode import StoredEvent, decode_event
from payflux.exporters.fanout import ExporterQueue, FanOut, former_settled
from payflux.redis.address import parse_url
from payflux.redis.follow import RedisReader
from payflux.risk.scoring import Scorer
from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import STREAM_LOST, Metrics, create_slab
from payflux.testing import CapturingExporter, make_event
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS, LEASE, LEDGER, STREAM
from streams import append, appending, wait_for


class Death(BaseException):
    """What a killing entry does to the process that reads it."""


class Mortal(Enricher):
    """An enricher that dies of some events."""

    def __init__(self, metrics: Metrics, deadly: set[str]) -> None:
        super().__init__("one", Scorer().score, metrics)
        self._deadly = deadly

    def line(self, delivery: Delivery, processed_at: bytes) -> Line:
        """Make a line, or die."""
        if json.loads(delivery.data or b"{}").get("event_id") in self._deadly:
            raise Death
        return super().line(delivery, processed_at)


class Stalling(CapturingExporter):
    """An exporter that waits, once it was told to, until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.stall, self.stalled, self.go_on = threading.Event(), threading.Event(), threading.Event()

    def write(self, data: bytes) -> None:
        """Take whole lines, perhaps later."""
        if self.stall.is_set() and not self.stalled.is_set():
            self.stalled.set()
            assert self.go_on.wait(20)
        super().write(data)


class Life:
    """One process of a node after the other, on one server; `lines` outlives them."""

    def __init__(
        self,
        server: Server,
        *,
        deadly: set[str] | None = None,
        max_deliveries: int = 5,
        claim_idle: float = 30,
        export_first: bool = False,
    ) -> None:
        self.exporter = Stalling()
        self.claim_idle, self.export_first = claim_idle, export_first
        self.server, self.deadly, self.max_deliveries = server, deadly or set(), max_deliveries
        self.slab = create_slab(["consumer"])
        self.metrics = Metrics(self.slab, "consumer")
        self.reader: RedisReader | None = None
        self.reads_with = RedisReader

    def lines(self) -> list[str]:
        """The events exported, by id."""
        return [json.loads(line)["event_id"] for line in self.exporter.lines]

    def pending(self) -> list[bytes]:
        """What is pending in the group, once there is one."""
        return pending_ids(self.server) if self.server.client.exists(STREAM) else []

    def lost(self, reason: str) -> float:
        """What was counted as lost."""
        return self.metrics.values[self.metrics.slot(STREAM_LOST, reason)]

    async def live(self, until: Callable[[], object]) -> bool:
        """Consume until a condition holds, or to the death; whether it lived."""
        settled = former_settled(self.metrics, ["file"]) if self.reader else None
        fan_out = FanOut([ExporterQueue("file", self.exporter, self.metrics, 1 << 26)])
        self.reader = self.reads_with(parse_url(self.server.url), KEYS, GROUP, "one", "node")
        consumer = Consumer(
            self.reader,
            Mortal(self.metrics, self.deadly),
            fan_out,
            self.metrics,
            token="node",
            claim_idle=self.claim_idle,
            export_first=self.export_first,
            max_deliveries=self.max_deliveries,
            former_settled=settled,
        )
        running = asyncio.ensure_future(consumer.run())
        async with asyncio.timeout(30):
            while not until() and not running.done():
                await asyncio.wait({running}, timeout=0.01)
        consumer.stop()
        try:
            await running
        except Death:
            consumer._ahead.forget()  # a task that nobody asked would complain in another test
            await asyncio.to_thread(fan_out.end, 5.0)
            for dialler in (self.reader._dialler, self.reader._read_dialler):
                dialler.close()  # as the kernel does for a dead process
            return False
        await asyncio.to_thread(fan_out.end, 5.0)
        await consumer.leave()
        return True

    def close(self) -> None:
        """Let go of the shared memory."""
        os.close(self.slab.fd)


async def send(server: Server, count: int, ids: list[str] | None = None) -> list[str]:
    """So many events; their ids in order."""
    ids = ids or [str(uuid.uuid4()) for _ in range(count)]
    async with appending(server) as appender:
        events = [decode_event(json.dumps(make_event(event_id=event_id)).encode()) for event_id in ids]
        assert await append(appender, events) == (b"1" * count, "")
    return ids


@pytest.mark.parametrize("max_deliveries", [1, 2, 3, 5])
async def test_an_entry_that_kills_is_dead_lettered_alone(every_server: Server, max_deliveries: int) -> None:
    """Its neighbours come out once each, however few deliveries an entry has; the killer has used up its own."""
    ids = await send(every_server, 60)
    life = Life(every_server, deadly={ids[25]}, max_deliveries=max_deliveries)
    deaths = 0
    healthy = [event_id for event_id in ids if event_id != ids[25]]
    while not await life.live(lambda: len(life.exporter.lines) == 59 and not life.pending()):
        deaths += 1
        assert deaths <= max_deliveries + 1
    assert deaths == max_deliveries
    assert life.lines() == healthy
    ((_, letter),) = entries(every_server, DEAD_LETTERS)
    assert json.loads(letter[b"data"])["event_id"] == ids[25]
    assert letter[b"reason"] == b"max_deliveries"
    assert [life.lost(reason) for reason in ("crash", "trimmed", "reset")] == [0, 0, 0]
    life.close()


@pytest.mark.parametrize("at", [BATCH + 500, 2 * MOST - 100])
async def test_a_killer_far_into_a_backlog(server: Server, at: int) -> None:
    """However large the read it was in, the next life comes upon it with care."""
    first = await send(server, 3)
    ids = [str(uuid.uuid4()) for _ in range(2 * MOST)]
    life = Life(server, deadly={ids[at]})

    async def feed() -> None:
        await wait_for(lambda: life.lines() == first)
        await send(server, len(ids), ids)

    feeding = asyncio.ensure_future(feed())
    deaths = 0
    while not await life.live(
        lambda: feeding.done() and len(life.exporter.lines) == len(ids) + 2 and not life.pending()
    ):
        deaths += 1
        assert deaths <= life.max_deliveries + 1
    await feeding
    assert life.lines() == [event_id for event_id in first + ids if event_id != ids[at]]
    ((_, letter),) = entries(server, DEAD_LETTERS)
    assert json.loads(letter[b"data"])["event_id"] == ids[at]
    life.close()


async def test_with_one_delivery_a_start_reads_little_one_by_one(server: Server) -> None:
    """What may have been in hand, and no more: with a backlog it would fall behind for good."""
    await send(server, 4 * BATCH)
    life = Life(server, max_deliveries=1)
    assert await life.live(lambda: len(life.exporter.lines) == 4 * BATCH)
    one_by_one = server.client.info("commandstats")["cmdstat_xreadgroup"]["calls"]
    assert 2 * BATCH <= one_by_one <= 2 * BATCH + 10
    life.close()


async def test_a_killer_among_followed_entries(every_server: Server) -> None:
    """Met while following the stream it costs one death more: entries that are followed have no deliveries."""
    first = await send(every_server, 3)
    ids = [str(uuid.uuid4()) for _ in range(20)]
    life = Life(every_server, deadly={ids[10]})

    async def feed() -> None:
        client: Any = every_server.client
        await wait_for(lambda: life.lines() == first)
        await wait_for(lambda: any(one["cmd"] == "xread" for one in client.client_list()))
        await send(every_server, 20, ids)

    feeding = asyncio.ensure_future(feed())
    deaths = 0
    while not await life.live(lambda: feeding.done() and len(life.exporter.lines) == 22 and not life.pending()):
        deaths += 1
        assert deaths <= life.max_deliveries + 1
    await feeding
    assert deaths == life.max_deliveries + 1
    assert life.lines() == [event_id for event_id in first + ids if event_id != ids[10]]
    assert len(entries(every_server, DEAD_LETTERS)) == 1
    life.close()


async def test_another_member_that_reads_doubles_nothing(every_server: Server) -> None:
    """Somebody reads in our group, before we come and while we work: each event comes out once, none stays pending."""
    client: Any = every_server.client
    ids = await send(every_server, 10)
    client.xgroup_create(STREAM, GROUP, 0)
    assert client.xreadgroup(GROUP, "stranger", {STREAM: ">"}, count=4)
    life = Life(every_server)
    assert await life.live(lambda: len(life.exporter.lines) >= 10 and not life.pending())
    ids += await send(every_server, 10)
    client.xreadgroup(GROUP, "stranger", {STREAM: ">"}, count=4)
    assert await life.live(lambda: len(life.exporter.lines) >= 20 and not life.pending())
    assert life.lines() == ids
    assert life.lost("trimmed") == 0
    life.close()


@pytest.mark.parametrize("taken", [2, 5])
async def test_what_another_member_reads_while_we_read_with_care_comes_out(every_server: Server, taken: int) -> None:
    """A former holder's read reaches Redis between our recovery and our first read: what it took is pending."""
    ids, stolen = await send(every_server, 5), False

    class Overtaken(RedisReader):
        async def read(self, count: int, block_seconds: float) -> list[Delivery]:
            nonlocal stolen
            if not stolen:
                stolen = bool(every_server.client.xreadgroup(GROUP, "former", {STREAM: ">"}, count=taken))
            return await super().read(count, block_seconds)

    life = Life(every_server)
    life.reads_with = Overtaken
    assert await life.live(lambda: stolen and not life.pending() and life.lines())
    assert life.lines() == ids
    assert life.lost("trimmed") == 0
    life.close()


async def test_what_another_member_reads_while_we_follow_comes_out_once(every_server: Server) -> None:
    """A stranger reads in our group again and again: its entries are ours all the same, and do not stay pending."""
    client: Any = every_server.client
    life = Life(every_server, claim_idle=0.2)
    ids: list[str] = []

    async def feed() -> None:
        ids.extend(await send(every_server, 3))
        await wait_for(lambda: life.lines() == ids)
        await wait_for(lambda: any(one["cmd"] == "xread" for one in client.client_list()))
        for _ in range(20):
            ids.extend(await send(every_server, 5))
            client.xreadgroup(GROUP, "stranger", {STREAM: ">"}, count=3)

    feeding = asyncio.ensure_future(feed())
    assert await life.live(lambda: feeding.done() and len(life.exporter.lines) >= 103 and not life.pending())
    await feeding
    assert life.lines() == ids
    assert [life.lost(reason) for reason in ("crash", "trimmed", "reset")] == [0, 0, 0]
    life.close()


async def test_connections_cut_while_lines_are_made_safe_double_nothing(server: Server) -> None:
    """The destination stalls, and Redis comes and goes meanwhile: the batch in hand is kept and exported once."""
    client: Any = server.client
    life = Life(server, export_first=True)
    ids: list[str] = []

    async def feed() -> None:
        ids.extend(await send(server, 3))
        await wait_for(lambda: life.lines() == ids)
        life.exporter.stall.set()
        ids.extend(await send(server, 3))
        await wait_for(life.exporter.stalled.is_set)
        for _ in range(2):
            known = {one["id"] for one in client.client_list() if one["name"].startswith("payflux-one")}
            client.client_kill_filter(_type="normal", skipme=True)
            await wait_for(functools.partial(reconnected, client, known))
        life.exporter.go_on.set()

    feeding = asyncio.ensure_future(feed())
    assert await life.live(lambda: feeding.done() and len(life.exporter.lines) >= 6 and not life.pending())
    await feeding
    assert life.lines() == ids
    life.close()


def reconnected(client: Any, known: set[str]) -> bool:
    """Whether the consumer has another connection than those."""
    return any(one["name"].startswith("payflux-one") and one["id"] not in known for one in client.client_list())


async def test_what_is_trimmed_while_lines_are_made_safe_is_counted(every_server: Server) -> None:
    """An entry that cannot be exported vanishes while the destination stalls: counted, and nothing waits for it."""
    client: Any = every_server.client
    life = Life(every_server, export_first=True, claim_idle=0.2)
    ids: list[str] = []

    async def feed() -> None:
        ids.extend(await send(every_server, 3))
        await wait_for(lambda: life.lines() == ids)
        await wait_for(lambda: any(one["cmd"] == "xread" for one in client.client_list()))
        life.exporter.stall.set()
        async with appending(every_server) as appender:
            event = decode_event(json.dumps(make_event()).encode())
            rubbish = StoredEvent(b"rubbish", "", uuid.uuid4().bytes, "stripe")
            assert await append(appender, [event, rubbish]) == (b"11", "")
        ids.append(event.event_id)
        await wait_for(life.exporter.stalled.is_set)
        client.xtrim(STREAM, maxlen=0, approximate=False)
        life.exporter.go_on.set()

    feeding = asyncio.ensure_future(feed())
    assert await life.live(lambda: feeding.done() and life.lost("trimmed") == 1 and not life.pending())
    await feeding
    assert life.lines() == ids
    assert client.exists(DEAD_LETTERS) == 0
    assert client.hget(LEDGER, "left") == b""
    life.close()


async def test_a_group_at_the_end_of_an_old_stream_is_not_read_from_its_start(every_server: Server) -> None:
    """A group that somebody made, without a ledger: what it has been given already is not exported."""
    client: Any = every_server.client
    await send(every_server, 5)
    client.xgroup_create(STREAM, GROUP, "$")
    life = Life(every_server)
    assert await life.live(lambda: client.get(LEASE))
    new = await send(every_server, 3)
    assert await life.live(lambda: len(life.exporter.lines) >= 3)
    assert life.lines() == new
    life.close()


@pytest.mark.parametrize("how", ["kill the connections", "pause"])
async def test_acks_without_a_reply_lose_and_double_nothing(every_server: Server, how: str) -> None:
    """Connections die again and again under load; whatever of it happened, each event comes out once."""
    client: Any = every_server.client
    life = Life(every_server)
    ids: list[str] = []

    async def trouble() -> None:
        for _ in range(12):
            ids.extend(await send(every_server, 400))
            if how == "pause":
                client.client_pause(30, all=True)
            client.client_kill_filter(_type="normal", skipme=True)

    troubling = asyncio.ensure_future(trouble())
    assert await life.live(lambda: troubling.done() and len(life.exporter.lines) >= len(ids))
    await troubling
    assert life.lines() == ids
    assert [life.lost(reason) for reason in ("crash", "trimmed", "reset")] == [0, 0, 0]
    life.close()
