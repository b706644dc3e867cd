"""What everybody may read of risk and incidents, kept in memory and brought up to date when somebody asks."""

from typing import Any

import hiredis
import msgspec

from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.keys import Keys
from payflux.redis.link import RedisLink
from payflux.redis.replies import named, unavailable
from payflux.redis.risk.assessments import latest
from payflux.risk.incidents.mutes import Mute, mutes_of

MOST = 10_000
"""Incidents that are remembered; the oldest are forgotten first."""

PAGE = 1000
FIRST = b"0-0"

Record = dict[str, Any]


class RiskView:
    """The latest assessment of each processor, and every incident that is still known, over a connection of its own."""

    def __init__(self, address: RedisAddress, keys: Keys, client: str = "payflux-operations") -> None:
        """Prepare.

        Args:
            address: of Redis.
            keys: of the stream.
            client: name of the connection.

        Attributes:
            assessments: by processor, as they were kept.
            incidents: as they stand, by id, with what people said of each as `annotation`.
            mutes: of alerts, those that have ended lately too.
        """
        self._keys, self._dialler = keys, Dialler(address, client)
        self._told: dict[str, Record] = {}
        self._place = FIRST
        self.assessments: dict[str, Record] = {}
        self.incidents: dict[str, Record] = {}
        self.mutes: list[Mute] = []

    async def refresh(self) -> None:
        """Read what has changed.

        Raises:
            StreamUnavailable: Redis does not answer, or not with what we keep there.
        """
        link, own = await self._dialler.connect(), self._keys
        try:
            await self._follow(link)
            keys = (own.incidents_open, own.incidents_verdicts, own.mutes)
            open_, said, mutes = await link.calls([("HGETALL", key) for key in keys])
            found = await latest(link, own)
        except hiredis.ReplyError as error:
            raise unavailable(error) from None
        self.mutes = mutes_of(named(mutes).values())
        self.assessments = {name: _decoded(data) for name, data in found.items() if data}
        now = self._told | {one["id"]: one for one in map(_decoded, named(open_).values())}
        verdicts = {name.decode(errors="replace"): _decoded(data) for name, data in named(said).items()}
        self.incidents = {name: one | {"annotation": verdicts.get(name)} for name, one in now.items()}

    async def _follow(self, link: RedisLink) -> None:
        """Take in the changes since the last time; all of them when Redis has an older state."""
        key = self._keys.incidents
        newest = await link.call("XREVRANGE", key, "+", "-", "COUNT", 1)
        if self._place != FIRST and (not newest or _key(newest[0][0]) < _key(self._place)):
            self._told, self._place = {}, FIRST
        while newest and self._place != newest[0][0]:
            page = await link.call("XRANGE", key, b"(" + self._place, "+", "COUNT", PAGE)
            for _, fields in page:
                record = _decoded(named(fields).get(b"incident", b"{}"))
                if "id" in record:
                    self._told.pop(record["id"], None)
                    self._told[record["id"]] = record
            if not page:
                break
            self._place = page[-1][0]
        while len(self._told) > MOST:
            del self._told[next(iter(self._told))]

    def close(self) -> None:
        """Close the connection."""
        self._dialler.close()


def _key(entry: bytes) -> tuple[int, int]:
    milliseconds, _, counter = entry.partition(b"-")
    return int(milliseconds), int(counter)


def _decoded(data: bytes) -> Record:
    """A record; anybody may have written there, and what is none is an empty one."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return {}
