"""Consumers as their nodes see them, for tests of the stream."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from payflux.redis.address import parse_url
from payflux.redis.follow import RedisReader
from payflux.stream.deliveries import Delivery, Ledger
from payflux.stream.protocol import GROUP
from servers import Server
from stream_keys import KEYS, LEDGER, STREAM

Answer = tuple[bytes, str]


class Node:
    """A consumer as its node sees it: the reader, its ledger and what it believes to be pending."""

    def __init__(self, server: Server, name: str = "one", token: str = "", group: str = GROUP) -> None:
        self.token = token or f"token-{name}"
        self.reader = RedisReader(parse_url(server.url), KEYS, group, name, self.token)
        self.ledger = Ledger(self.token)

    async def begin(self) -> "Node":
        """Connect, take lease and group."""
        await self.reader.connect()
        before = await self.reader.take_lease(self.ledger, fresh=True)
        assert before is not None
        self.ledger = Ledger(self.token, last_id=before.last_id, last_seq=before.last_seq, unacked=before.unacked)
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
    """The ledger as it stands in Redis, but when that was."""
    found: Any = server.client.hgetall(LEDGER)
    return {name.decode(): value.decode() for name, value in found.items() if name != b"at"}


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
