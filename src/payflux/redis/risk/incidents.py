"""Incidents on Redis, as everybody reads them who does not score."""

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any, Self

import msgspec

from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.keys import Keys
from payflux.redis.replies import named
from payflux.redis.risk.assessments import assessments
from payflux.risk.assessment import RiskAssessment
from payflux.stream.protocol import GROUP

PAGE = 500


Record = dict[str, Any]


def newest_first(found: Iterable[bytes]) -> list[Record]:
    """Records as they are kept, those opened last first; what somebody else wrote there is left out."""
    records: list[Record] = []
    for data in found:
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            records.append(msgspec.json.decode(data, type=dict[str, Any]))
    ours = [one for one in records if one.keys() >= {"id", "opened", "since", "drivers"}]
    return sorted(ours, key=lambda one: (one["opened"], one["id"]), reverse=True)


def _assessments(found: Iterable[bytes], processor: str) -> list[Record]:
    """The assessments of one processor; what somebody else wrote there is left out."""
    records: list[Record] = []
    for data in found:
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            records.append(msgspec.to_builtins(msgspec.json.decode(data, type=RiskAssessment)))
    return [one for one in records if one["processor"] == processor]


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
        return newest_first(found)

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

    async def assessment(self, processor: str) -> dict[str, Any] | None:
        """What was said last of a processor; None when nothing was."""
        kept = await self._dialler.link.ask("HGET", self._keys.risk, processor)
        return next(iter(_assessments([(kept or b"").partition(b" ")[2]], processor)), None)

    async def assessed(self, processor: str, since: int) -> list[dict[str, Any]]:
        """What was said of a processor from a second of stream time on, and what held then; the oldest first."""
        link, start = self._dialler.link, b"%d-0" % (since * 1000)
        before = await link.ask("XREVRANGE", self._keys.assessments, b"(" + start, "-", "COUNT", PAGE)
        known = _assessments([named(fields).get(b"assessment", b"") for _, fields in before], processor)[:1]
        later = [data async for _, data in assessments(link, self._keys, b"%d-0" % (since * 1000 - 1))]
        return sorted(known + _assessments(later, processor), key=lambda one: int(one["second"]))

    async def scored_ms(self) -> int:
        """Milliseconds of the newest entry that was scored; 0 when none was."""
        last = await self._dialler.link.ask("HGET", self._keys.ledger(GROUP), "last_id")
        text = (last or b"").partition(b"-")[0]
        return int(text) if text.isdigit() and len(text) < 16 else 0

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
