"""Incidents on Redis: kept by who scores, and read by everybody else."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Self

import hiredis
import msgspec

from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.keys import Keys
from payflux.redis.link import Command, RedisLink
from payflux.redis.replies import named, unavailable
from payflux.redis.script import Script
from payflux.stream.protocol import GROUP, LeaseLost

MAXLEN = 10_000
"""About how many changes are kept."""

PAGE = 500

_INCIDENTS = Script("incidents")


class Kept(NamedTuple):
    """A change of an incident that is to be kept with the stream.

    Attributes:
        kind: `opened`, `worsened`, `resolved`, or `updated`, which is no news but newer numbers.
        processor: whom it concerns; empty for all.
        second: stream time; a processor's never fall, and those of one second are kept together.
        id: of the incident.
        record: the incident as JSON.
    """

    kind: str
    processor: str
    second: int
    id: str
    record: bytes


async def keep(link: RedisLink, keys: Keys, owner: str, changes: Sequence[Kept], maxlen: int = MAXLEN) -> int:
    """Keep changes in one step, each once.

    Args:
        link: the connection.
        keys: of the stream.
        owner: who holds the lease of the group that scores.
        changes: in order.
        maxlen: about how many are kept.

    Returns:
        How many were not kept before.

    Raises:
        LeaseLost: nothing was kept.
        StreamUnavailable: they may have been kept.
    """
    names = (keys.lease(GROUP), keys.incidents, keys.incidents_open, keys.incidents_told)
    words: Command = (owner, maxlen, *(word for change in changes for word in change))
    try:
        reply = await _INCIDENTS.run(link, names, words)
    except hiredis.ReplyError as error:
        raise unavailable(error) from None
    if reply == b"lease":
        raise LeaseLost("another consumer may hold the stream")
    return int(reply)


class Incidents:
    """Reads the incidents of a stream, over a connection of its own, open while in `async with`.

    Records are decoded JSON. Every method raises StreamUnavailable.
    """

    def __init__(self, address: RedisAddress, keys: Keys, client: str = "payflux-incidents") -> None:
        """Prepare.

        Args:
            address: of Redis.
            keys: of the stream.
            client: name of the connection.
        """
        self._keys, self._dialler = keys, Dialler(address, client)

    async def open(self) -> list[dict[str, Any]]:
        """The open incidents with their latest numbers, newest first."""
        found = await self._dialler.link.ask("HVALS", self._keys.incidents_open)
        records = [msgspec.json.decode(one, type=dict[str, Any]) for one in found]
        return sorted(records, key=lambda one: (one["opened"], one["id"]), reverse=True)

    async def latest(self) -> AsyncIterator[dict[str, Any]]:
        """Every incident that is still known as it stands, the one that changed last first; open ones before all."""
        seen = set()
        for record in await self.open():
            seen.add(record["id"])
            yield record
        async for record in self.changes():
            if record["id"] not in seen:
                seen.add(record["id"])
                yield record

    async def changes(self) -> AsyncIterator[dict[str, Any]]:
        """Every change that is kept, newest first."""
        end = b"+"
        while entries := await self._dialler.link.ask("XREVRANGE", self._keys.incidents, end, "-", "COUNT", PAGE):
            for _, fields in entries:
                yield msgspec.json.decode(named(fields)[b"incident"], type=dict[str, Any])
            end = b"(" + entries[-1][0]

    async def find(self, incident: str) -> dict[str, Any] | None:
        """One incident as it stands, by its id; None when it is not known, or no more."""
        async for record in self.latest():
            if record["id"] == incident:
                return record
        return None

    async def verdicts(self) -> dict[str, dict[str, Any]]:
        """What people said of incidents, by id."""
        found = named(await self._dialler.link.ask("HGETALL", self._keys.incidents_verdicts))
        return {name.decode(): msgspec.json.decode(said, type=dict[str, Any]) for name, said in found.items()}

    async def say(self, incident: str, said: dict[str, Any]) -> None:
        """Keep what somebody says of an incident, in place of what was said before."""
        await self._dialler.link.ask("HSET", self._keys.incidents_verdicts, incident, msgspec.json.encode(said))

    async def __aenter__(self) -> Self:
        await self._dialler.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dialler.close()
