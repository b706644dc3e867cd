"""The stream in memory and the one on a server, as tests of what they have in common see them."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.redis.address import parse_url
from payflux.redis.append import RedisAppender
from payflux.redis.follow import RedisReader
from payflux.stream.deliveries import Delivery, Ledger
from payflux.stream.protocol import GROUP, AppendStream, ReadStream
from payflux.testing import MemoryStream
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS, STREAM


class Stream:
    """A stream under test: its sides, and what an operator might do to it."""

    appender: AppendStream

    def reader(self, name: str, group: str = GROUP, token: str = "") -> ReadStream:
        """The reading side for one node."""
        raise NotImplementedError

    def trim(self, length: int) -> None:
        """Delete the oldest entries."""
        raise NotImplementedError

    def delete(self) -> None:
        """Delete the stream with its group."""
        raise NotImplementedError

    def destroy_group(self, group: str = GROUP) -> None:
        """Delete a group alone."""
        raise NotImplementedError

    def dead(self) -> list[tuple[bytes, str]]:
        """Data and reason of each dead letter."""
        raise NotImplementedError

    async def append(self, *events: StoredEvent) -> bytes:
        """Append, and wait for the answer."""
        told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def settle(results: bytes, error: StreamUnavailable | None) -> None:
            assert error is None
            told.set_result(results)

        self.appender.append(events, settle)
        assert not told.done(), "settled later, never at once"
        return await asyncio.wait_for(told, 10)


class InMemory(Stream):
    """The one that is shipped."""

    def __init__(self) -> None:
        self.appender = self._first = MemoryStream("appender", "appender")

    def reader(self, name: str, group: str = GROUP, token: str = "") -> ReadStream:
        """A reader."""
        return self._first.member(name, token or f"token-{name}", group)

    def trim(self, length: int) -> None:
        """Delete the oldest entries."""
        self._first.trim(length)

    def delete(self) -> None:
        """Delete it."""
        self._first.delete()

    def destroy_group(self, group: str = GROUP) -> None:
        """Delete a group alone."""
        self._first.member("operator", "operator", group).destroy_group()

    def dead(self) -> list[tuple[bytes, str]]:
        """The dead letters."""
        return [(delivery.data or b"", reason) for delivery, reason in self._first.dead_letters()]


class OnServer(Stream):
    """The real one."""

    def __init__(self, server: Server, appender: RedisAppender) -> None:
        self._server, self.appender = server, appender

    def reader(self, name: str, group: str = GROUP, token: str = "") -> ReadStream:
        """A reader."""
        return RedisReader(parse_url(self._server.url), KEYS, group, name, token or f"token-{name}")

    def trim(self, length: int) -> None:
        """Delete the oldest entries."""
        self._server.client.xtrim(STREAM, maxlen=length, approximate=False)

    def delete(self) -> None:
        """Delete it."""
        self._server.client.delete(STREAM)

    def destroy_group(self, group: str = GROUP) -> None:
        """Delete a group alone."""
        self._server.client.xgroup_destroy(STREAM, group)

    def dead(self) -> list[tuple[bytes, str]]:
        """The dead letters."""
        found: Any = self._server.client.xrange(DEAD_LETTERS)
        return [(fields[b"data"], fields[b"reason"].decode()) for _, fields in found]


class Begin(Protocol):
    """Makes a connected reader and its ledger; with lease and group unless told otherwise."""

    async def __call__(self, name: str, group: str = GROUP, *, lease: bool = True) -> tuple[ReadStream, Ledger]:
        """A reader of this name."""


def up_to(ledger: Ledger, deliveries: Sequence[Delivery]) -> Ledger:
    """The ledger, further by what was read."""
    return msgspec.structs.replace(ledger, last_id=deliveries[-1].id, last_seq=deliveries[-1].seq)
