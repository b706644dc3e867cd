"""The stream read by range and by waiting, without the group: what it holds, and what comes next."""

from typing import Any, Self

import hiredis

from payflux.errors import StreamUnavailable
from payflux.redis.entries import ask, delivery_of, newest_id
from payflux.redis.keys import DEAD_LETTERS, STREAM
from payflux.redis.link import RedisAddress, RedisLink, connect, unavailable
from payflux.stream.deliveries import Delivery

PAGE = 1000


class StreamHistory:
    """Reads the stream over a connection of its own, open while in `async with`, and changes nothing in it.

    Every method raises StreamUnavailable.
    """

    def __init__(self, address: RedisAddress, client: str) -> None:
        """Prepare.

        Args:
            address: of Redis.
            client: name of the connection.
        """
        self._address, self._client = address, client
        self._link: RedisLink | None = None

    async def connect(self) -> None:
        """Connect anew, if the connection is lost."""
        if self._link is None or self._link.lost:
            self._link = await connect(self._address, self._client)

    async def newest(self) -> bytes:
        """The highest id the stream ever gave; `0-0` without a stream."""
        return await newest_id(self._need(), STREAM)

    async def page(self, start: bytes, end: bytes, count: int = PAGE) -> list[Delivery]:
        """Entries from `start` to `end`, both included, oldest first, at most `count`."""
        return _deliveries(await ask(self._need(), "XRANGE", STREAM, start, end, "COUNT", count))

    async def page_back(self, end: bytes, count: int = PAGE) -> list[Delivery]:
        """Entries below `end`, newest first, at most `count`."""
        return _deliveries(await ask(self._need(), "XREVRANGE", STREAM, b"(" + end, "-", "COUNT", count))

    async def read_after(self, entry_id: bytes, block_seconds: float) -> list[Delivery]:
        """Entries above an id, at most a page of them, waiting so long for the first one."""
        command = ("XREAD", "COUNT", PAGE, "BLOCK", max(1, int(block_seconds * 1000)), "STREAMS", STREAM, entry_id)
        reply = await ask(self._need(), *command, timeout=block_seconds + 4)
        return [] if reply is None else _deliveries(reply[0][1])

    async def copy_to(self, name: str, deliveries: list[Delivery]) -> None:
        """Append entries to another stream, marked `replayed`; after an error some of them may be there.

        Raises:
            ValueError: the other stream is one of PayFlux's own.
        """
        if is_own(name):
            raise ValueError(f"{name} is PayFlux's own")
        link = self._need()
        try:
            await link.calls(
                [("XADD", name, "*", "data", d.data or b"", "seq", d.seq, "replayed", "1") for d in deliveries]
            )
        except hiredis.ReplyError as error:
            raise unavailable(error) from None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._link is not None:
            self._link.close()

    def _need(self) -> RedisLink:
        if self._link is None:
            raise StreamUnavailable("redis_down", f"no connection to Redis at {self._address}")
        return self._link


def is_own(name: str) -> bool:
    """Whether a key is one of PayFlux's own."""
    return name in (STREAM, DEAD_LETTERS) or name.startswith("{" + STREAM + "}")


def _deliveries(entries: list[Any]) -> list[Delivery]:
    return [delivery_of(entry_id, fields) for entry_id, fields in entries]
