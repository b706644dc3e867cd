"""The stream read by range and by waiting, without the group: what it holds, and what comes next."""

from typing import Any, Self

import hiredis

from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.entries import FIRST, deliveries_of, newest_id
from payflux.redis.keys import Keys
from payflux.redis.replies import named, unavailable
from payflux.redis.risk.assessments import assessments, latest
from payflux.redis.risk.incidents import newest_first
from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import GROUP

PAGE = 1000


class StreamHistory:
    """Reads the stream over a connection of its own, open while in `async with`, and changes nothing in it.

    Every method raises StreamUnavailable.
    """

    def __init__(self, address: RedisAddress, keys: Keys, client: str) -> None:
        """Prepare.

        Args:
            address: of Redis.
            keys: of the stream.
            client: name of the connection.
        """
        self._keys, self._dialler = keys, Dialler(address, client)

    async def connect(self) -> None:
        """Connect anew, if the connection is lost."""
        await self._dialler.connect()

    async def newest(self) -> bytes:
        """The highest id the stream ever gave; `0-0` without a stream."""
        return await newest_id(self._dialler.link, self._keys.stream) or FIRST

    async def page(self, start: bytes, end: bytes, count: int = PAGE) -> list[Delivery]:
        """Entries from `start` to `end`, both included, oldest first, at most `count`."""
        return deliveries_of(await self._dialler.link.ask("XRANGE", self._keys.stream, start, end, "COUNT", count))

    async def page_back(self, end: bytes, count: int = PAGE) -> list[Delivery]:
        """Entries below `end`, newest first, at most `count`."""
        command = ("XREVRANGE", self._keys.stream, b"(" + end, "-", "COUNT", count)
        return deliveries_of(await self._dialler.link.ask(*command))

    async def read_after(self, entry_id: bytes, block_seconds: float) -> list[Delivery]:
        """Entries above an id, at most a page of them, waiting so long for the first one."""
        block = max(1, int(block_seconds * 1000))
        command = ("XREAD", "COUNT", PAGE, "BLOCK", block, "STREAMS", self._keys.stream, entry_id)
        reply = await self._dialler.link.ask(*command, timeout=block_seconds + 4)
        return [] if reply is None else deliveries_of(reply[0][1])

    async def assessed(self, after: bytes) -> list[tuple[bytes, bytes]]:
        """What was said of processors, after an entry of the log of it: ids, and assessments as JSON."""
        return [one async for one in assessments(self._dialler.link, self._keys, after)]

    async def latest_assessments(self) -> list[bytes]:
        """What was said last of each processor, as JSON."""
        return list((await latest(self._dialler.link, self._keys)).values())

    async def scored_up_to(self) -> bytes:
        """The newest entry that was scored; what was said of later ones is not in the log yet."""
        return await self._dialler.link.ask("HGET", self._keys.ledger(GROUP), "last_id") or FIRST

    async def opened(self, after: bytes) -> tuple[bytes, list[dict[str, Any]]]:
        """The incidents that opened after an entry of their changes, or of the stream; and the place behind them."""
        found, place = [], after
        while page := await self._dialler.link.ask("XRANGE", self._keys.incidents, b"(" + place, "+", "COUNT", PAGE):
            place = page[-1][0]
            found += [named(fields)[b"incident"] for _, fields in page if named(fields).get(b"incident")]
        ours = newest_first(found)
        return place, [one for one in reversed(ours) if one.get("change") == "opened"]

    async def copy_to(self, name: str, deliveries: list[Delivery]) -> None:
        """Append entries to another stream, marked `replayed`; after an error some of them may be there.

        Raises:
            ValueError: the other stream is one of PayFlux's own.
        """
        if self._keys.owns(name):
            raise ValueError(f"{name} is PayFlux's own")
        try:
            await self._dialler.link.calls(
                [("XADD", name, "*", "data", d.data or b"", "seq", d.seq, "replayed", "1") for d in deliveries]
            )
        except hiredis.ReplyError as error:
            raise unavailable(error) from None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dialler.close()
