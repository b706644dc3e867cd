"""What is kept in Redis for alerts: who tells, what was told, how far the changes of incidents were read, and mutes."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import hiredis
import msgspec

from payflux.alerts.delivery import Told
from payflux.alerts.records import incident_of
from payflux.errors import StreamUnavailable
from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.keys import Keys
from payflux.redis.link import Command
from payflux.redis.replies import named, unavailable
from payflux.redis.script import Script
from payflux.risk.incidents.incident import Incident
from payflux.risk.incidents.mutes import Mute, mutes_of
from payflux.stream.protocol import LeaseLost

LEASE = GROUP = "alerts"
LEASE_MS = 5000
PAGE = 500

_HOLD, _NOTE, _LEAVE = Script("claim_name"), Script("alerts"), Script("leave")


class Read(NamedTuple):
    """A change of an incident; `incident` is None when it cannot be read, or was deleted."""

    id: bytes
    incident: Incident | None


class Trouble(msgspec.Struct, frozen=True):
    """Why a receiver is told nothing just now.

    Attributes:
        since: Unix time.
        why: what it answered, or that it did not.
        stopped: it is not tried again until a node is started anew.
    """

    since: float
    why: str
    stopped: bool = False


class Memory(NamedTuple):
    """What is remembered of receivers.

    Attributes:
        told: by receiver and incident.
        troubles: by receiver.
    """

    told: dict[str, dict[str, Told]]
    troubles: dict[str, Trouble]


def field_of(receiver: str, incident: str = "") -> str:
    """Where it is kept what a receiver was told of an incident; without one, its trouble. Names have no blanks."""
    return f"{receiver} {incident}".rstrip()


class AlertStore:
    """One who tells, or asks; over connections of its own. Every method raises StreamUnavailable.

    Args:
        address: of Redis.
        keys: of the stream.
        owner: what tells this one from every other; empty for who only asks.
    """

    def __init__(self, address: RedisAddress, keys: Keys, owner: str = "") -> None:
        self._keys, self._owner = keys, owner
        self._dialler = Dialler(address, "payflux-alerts")
        self._read_dialler = Dialler(address, "payflux-alerts-reader")

    async def hold(self) -> bool:
        """Take or keep the lease; False while another one tells."""
        link = await self._dialler.connect()
        try:
            return bool(await _HOLD.run(link, (self._keys.lease(LEASE),), (self._owner, LEASE_MS)))
        except hiredis.ReplyError as error:
            raise unavailable(error) from None

    async def open(self) -> list[Incident]:
        """The open incidents."""
        found = await self._ask("HVALS", self._keys.incidents_open)
        return [one for one in map(incident_of, found) if one is not None]

    async def unfinished(self) -> list[Read]:
        """Changes that were read before and are not done with."""
        found: list[Read] = []
        while more := await self._read(found[-1].id if found else b"0", None):
            found += more
        return found

    async def changes(self, block_seconds: float) -> list[Read]:
        """All changes that are new, waiting for the first one."""
        found = more = await self._read(b">", int(block_seconds * 1000))
        while len(more) == PAGE:
            more = await self._read(b">", None)
            found += more
        return found

    async def _read(self, after: bytes, block: int | None) -> list[Read]:
        link = await self._read_dialler.connect()
        waiting: Command = ("BLOCK", max(block, 1)) if block is not None else ()
        stream = self._keys.incidents
        command = ("XREADGROUP", "GROUP", GROUP, "alerts", "COUNT", PAGE, *waiting, "STREAMS", stream, after)
        try:
            reply = await link.ask(*command, timeout=(block or 0) / 1000 + 4)
        except StreamUnavailable as error:
            if "NOGROUP" not in str(error):
                raise
            await self._make_group()
            return []
        return [Read(*_change(entry)) for entry in reply[0][1]] if reply else []

    async def _make_group(self) -> None:
        """From now on: what is open is known without the changes, and what ended before is nobody's alert."""
        try:
            await self._ask("XGROUP", "CREATE", self._keys.incidents, GROUP, "$", "MKSTREAM")
        except StreamUnavailable as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def find(self, wanted: Iterable[str]) -> dict[str, Incident]:
        """Incidents as they stand, by id; without those that are not known, or no more."""
        left, end, found = set(wanted), b"+", dict[str, Incident]()
        for one in await self.open() if left else ():
            if one.id in left:
                found[one.id] = one
        left -= found.keys()
        while left and (entries := await self._ask("XREVRANGE", self._keys.incidents, end, "-", "COUNT", PAGE)):
            for _, incident in map(_change, entries):
                if incident is not None and incident.id in left:
                    found[incident.id] = incident
                    left.discard(incident.id)
            end = b"(" + entries[-1][0]
        return found

    async def memory(self) -> Memory:
        """What receivers were told, and what troubles them."""
        told: dict[str, dict[str, Told]] = {}
        troubles: dict[str, Trouble] = {}
        for name, value in named(await self._ask("HGETALL", self._keys.alerts_told)).items():
            receiver, _, incident = name.decode(errors="replace").partition(" ")
            try:
                if incident:
                    told.setdefault(receiver, {})[incident] = msgspec.json.decode(value, type=Told)
                else:
                    troubles[receiver] = msgspec.json.decode(value, type=Trouble)
            except msgspec.MsgspecError:
                continue  # anybody may write there; it is told anew
        return Memory(told, troubles)

    async def note(self, fields: Mapping[str, bytes], done: Sequence[bytes] = ()) -> None:
        """Keep what was told, and that changes are done with; an empty value is forgotten.

        Raises:
            LeaseLost: nothing was kept.
        """
        pairs = [word for pair in fields.items() for word in pair]
        keys = (self._keys.lease(LEASE), self._keys.alerts_told, self._keys.incidents)
        words: Command = (self._owner, GROUP, len(fields), *pairs, *done)
        try:
            kept = await _NOTE.run(await self._dialler.connect(), keys, words)
        except hiredis.ReplyError as error:
            raise unavailable(error) from None
        if not kept:
            raise LeaseLost("another one tells now")

    async def mutes(self) -> dict[str, Mute]:
        """All mutes by id, those that have ended lately too."""
        return {one.id: one for one in mutes_of(await self._ask("HVALS", self._keys.mutes))}

    async def mute(self, mute: Mute) -> None:
        """Keep a mute."""
        await self._ask("HSET", self._keys.mutes, mute.id, msgspec.json.encode(mute))

    async def unmute(self, *ids: str) -> int:
        """Forget mutes; how many there were."""
        return int(await self._ask("HDEL", self._keys.mutes, *ids))

    async def tried(self, receiver: str, now: float) -> None:
        """Keep that a receiver took a test incident; `now`: Unix time."""
        await self._ask("HSET", self._keys.alerts_tested, receiver, int(now))

    async def tested(self) -> set[str]:
        """The receivers that ever took a test incident."""
        return {name.decode(errors="replace") for name in await self._ask("HKEYS", self._keys.alerts_tested)}

    async def _ask(self, *command: str | bytes | int) -> Any:
        return await (await self._dialler.connect()).ask(*command)

    async def leave(self) -> None:
        """Give up the lease, and close."""
        if self._dialler.connected and self._owner:
            lease = self._keys.lease(LEASE)
            arguments = (GROUP, "alerts", self._owner)
            with suppress(hiredis.ReplyError, StreamUnavailable):  # it expires
                await _LEAVE.run(self._dialler.link, (self._keys.incidents, lease, lease), arguments, 2.0)
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._dialler.close()
        self._read_dialler.close()


def _change(entry: Any) -> tuple[bytes, Incident | None]:
    name, fields = entry
    record = named(fields).get(b"incident") if fields else None
    return name, incident_of(record) if record else None
