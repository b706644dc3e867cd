"""Faults as a consumer meets them: a server that comes back with an older state, and processes that are killed."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from consumer_parts import MAX_DELIVERIES, good
from payflux.consume.consumer import Consumer
from payflux.consume.line import Enricher
from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.exporters import Exported
from payflux.exporters.fanout import ExporterQueue, FanOut, former_settled
from payflux.redis.address import parse_url
from payflux.redis.append import RedisAppender
from payflux.redis.follow import RedisReader
from payflux.stream.protocol import GROUP
from payflux.telemetry.highest_number import HighestNumber
from payflux.telemetry.metrics import PROCESSED, STREAM_LOST, Metrics, create_slab
from payflux.testing import CapturingExporter
from servers import Server
from stream_keys import KEYS, STREAM
from streams import append, wait_for

REASONS = ("trimmed", "reset", "crash")


class Readable(CapturingExporter):
    """An exporter whose lines can be read, as those of a file."""

    def recall(self, lines: int) -> Iterator[Exported]:
        """The newest lines; see Recalling."""
        for line in self.lines[: -lines - 1 : -1]:
            yield msgspec.json.decode(line, type=Exported)


class Gated(RedisReader):
    """A reader that can be kept from reading on, or let through for one read at a time, and whose acks can get lost."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gate = asyncio.Event()
        self.gate.set()
        self.once = self.deaf = False
        self._reading = 0

    async def hold(self) -> None:
        """It reads no further."""
        self.gate.clear()
        while self._reading:  # noqa: ASYNC110 - a read blocks for half a second
            await asyncio.sleep(0.002)

    async def commit(self, *arguments: Any) -> Any:
        """Commit, unless nothing of it arrives; see ReadStream."""
        if self.deaf:
            raise StreamUnavailable("redis_timeout", "no reply")
        return await super().commit(*arguments)

    async def ack(self, ids: Sequence[bytes], *arguments: Any) -> bytes:
        """Ack, unless nothing of it arrives; see ReadStream."""
        if self.deaf and ids:
            raise StreamUnavailable("redis_timeout", "no reply")
        return await super().ack(ids, *arguments)

    async def read(self, *arguments: Any) -> Any:
        """Read, when it may; see ReadStream."""
        return await self._held(super().read, *arguments)

    async def follow(self, *arguments: Any) -> Any:
        """Read, when it may; see ReadStream."""
        return await self._held(super().follow, *arguments)

    async def _held(self, read: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        await self.gate.wait()
        if self.once:
            self.gate.clear()
        self._reading += 1
        try:
            return await read(*arguments)
        finally:
            self._reading -= 1


class NodeInTest:
    """The consumer of a node, one process after the other, and one of its workers; memory and file outlive them.

    Args:
        server: where the stream is.
        name: of the consumer, and what tells its node from others.
        export_first: a batch is acked only when its lines are safe.
    """

    def __init__(self, server: Server, name: str = "one", *, export_first: bool = False) -> None:
        self.server, self.name, self.export_first = server, name, export_first
        self.slab = create_slab(["consumer", "ingest-0"])
        self.metrics = Metrics(self.slab, "consumer")
        self.exporter = Readable() if export_first else CapturingExporter()
        self.running: asyncio.Future[None] | None = None
        highest = HighestNumber(self.slab, 1)
        self.appender = RedisAppender(
            parse_url(server.url), KEYS, maxlen=0, window_sec=1000, told=highest.told, heard=highest.heard
        )
        self._appending = asyncio.ensure_future(self.appender.run())
        self._lives = 0

    def start(self) -> None:
        """A process of the consumer begins."""
        settled = former_settled(self.metrics, ["file"]) if self._lives else None
        self._lives += 1
        self.fan_out = FanOut([ExporterQueue("file", self.exporter, self.metrics, 1 << 26)])
        self.reader = Gated(parse_url(self.server.url), KEYS, GROUP, self.name, self.name)
        self.consumer = Consumer(
            *(self.reader, Enricher(self.name, None, self.metrics), self.fan_out, self.metrics),
            token=self.name,
            claim_idle=0.2,
            max_deliveries=MAX_DELIVERIES,
            export_first=self.export_first,
            former_settled=settled,
        )
        self.running = asyncio.ensure_future(self.consumer.run())

    async def kill(self) -> None:
        """It dies, when what it had acked is exported; its connections are cut by the kernel."""
        if self.running is not None:
            diallers = self.reader._dialler, self.reader._read_dialler
            await wait_for(lambda: all(one.connected for one in diallers))  # a half-made one would stay open
            self.running.cancel()
            await asyncio.wait({self.running})
            self.fan_out.end(5.0)
            self.consumer._ahead.forget()
            for dialler in diallers:
                dialler.close()
            await asyncio.sleep(0.01)  # until the connections are closed
            self.running = None

    async def end(self) -> None:
        """End what runs."""
        if self.running is not None:
            self.consumer.stop()
            self.reader.gate.set()
            await asyncio.wait_for(self.running, 10)
            await asyncio.to_thread(self.fan_out.end, 5.0)
            await self.consumer.leave()
        self._appending.cancel()
        with suppress(asyncio.CancelledError):
            await self._appending
        self.appender.close()
        await asyncio.sleep(0.01)  # until the connections are closed
        os.close(self.slab.fd)

    async def send(self, count: int) -> list[str]:
        """So many new events; their ids."""
        events: list[StoredEvent] = [good() for _ in range(count)]
        flags = b""
        while len(flags) < count:  # cut off: the same again, as producers do
            flags, _ = await append(self.appender, events)
            await asyncio.sleep(0.001)
        assert flags == b"1" * count
        return [one.event_id for one in events]

    @property
    def has_looked(self) -> bool:
        """Whether this node has found that another one holds the lease."""
        return self.consumer._membership._seen._ledger is not None

    def has_seen(self, holder: "NodeInTest") -> bool:
        """Whether this node, on standby, knows how far the holder is."""
        seen = self.consumer._membership._seen._ledger
        return seen is not None and seen.last_id == holder.consumer._ledger.last_id

    @property
    def lines(self) -> list[str]:
        """The events exported, by id, in order."""
        return [json.loads(line)["event_id"] for line in self.exporter.lines]

    @property
    def processed(self) -> float:
        """How many events were counted as processed."""
        return self.metrics.get(PROCESSED)

    def lost(self) -> dict[str, float]:
        """What was counted as lost, by reason; what is 0 is left out."""
        counts = {reason: self.metrics.get(STREAM_LOST, reason) for reason in REASONS}
        return {reason: count for reason, count in counts.items() if count}


class State:
    """All a server holds, to come back with it."""

    def __init__(self, server: Server) -> None:
        client: Any = server.client
        self._server = server
        self._keys = [(key, client.dump(key), max(0, client.pttl(key))) for key in client.keys("*")]

    def restore(self, *, cut: bool = True) -> None:
        """The server has this state again, as after a failover or a restart, which cuts all connections."""
        client: Any = self._server.client
        with client.pipeline() as pipe:
            pipe.flushall()
            for key, value, milliseconds in self._keys:
                pipe.restore(key, milliseconds, value)
            pipe.execute()
        if cut:
            client.client_kill_filter(_type="normal", skipme=True)


def clock_ahead(server: Server, milliseconds: int = 60_000) -> None:
    """The clock of the server is ahead, as seen from the state it comes back with: ids go on from a later time."""
    client: Any = server.client
    (seconds, _) = client.time()
    client.execute_command("XSETID", STREAM, f"{seconds * 1000 + milliseconds}-0")


def lost_of(nodes: Sequence[NodeInTest]) -> float:
    """What all nodes counted as lost."""
    return sum(sum(node.lost().values()) for node in nodes)
