"""What a node watches in Redis: how much waits, and what the server would lose."""

from typing import Any, NamedTuple

import hiredis

from payflux.errors import StreamUnavailable
from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.keys import Keys
from payflux.redis.link import Command
from payflux.redis.replies import info, text, unavailable
from payflux.redis.risk.incidents import Record, newest_first
from payflux.redis.script import Script, explained
from payflux.stream.deliveries import Backlog

ANSWER_SECONDS = 2.0
STALLED_SECONDS = 15
"""So long an entry may wait for somebody to read it while nobody commits anything."""

_BACKLOG, _PROGRESS = Script("backlog"), Script("progress")


class Durability(NamedTuple):
    """What decides how much an accepted event is worth after a crash of Redis; `unknown` where we may not ask."""

    aof: str = "unknown"
    fsync: str = "unknown"
    policy: str = "unknown"
    role: str = "unknown"


class Progress(NamedTuple):
    """Whether what is in the stream comes out of it.

    Attributes:
        waiting: seconds the oldest unread entry has waited; None when nothing is unread.
        since: seconds since anybody committed for the group; None when that is unknown.
        led: whether a consumer holds the lease.
        unusable: why stream, lease or ledger cannot be used; without them nothing comes out.
        unburied: why the dead-letter stream cannot be used; then what is invalid stays pending.
    """

    waiting: int | None
    since: int | None
    led: bool
    unusable: StreamUnavailable | None = None
    unburied: StreamUnavailable | None = None

    @property
    def stalled(self) -> bool:
        """Whether events wait and nobody has committed anything for longer than `STALLED_SECONDS`."""
        idle = self.since is None or self.since > STALLED_SECONDS
        return self.waiting is not None and self.waiting > STALLED_SECONDS and idle


class RedisMonitor:
    """Asks for one group, over a connection of its own, made when needed. Every method raises StreamUnavailable."""

    def __init__(self, address: RedisAddress, keys: Keys, group: str) -> None:
        """Prepare.

        Args:
            address: of Redis.
            keys: of the stream.
            group: whose backlog is asked for.
        """
        self._keys, self._group = keys, group
        self._dialler = Dialler(address, "payflux-admin")

    async def backlog(self, group: str = "") -> Backlog:
        """How much waits in the stream, for the group or another one."""
        link, group = await self._dialler.connect(), group or self._group
        keys = (self._keys.stream, self._keys.state, self._keys.dead_letters(group, clustered=link.clustered))
        try:
            reply = await _BACKLOG.run(link, keys, (group,), ANSWER_SECONDS)
        except hiredis.ReplyError as error:
            raise unavailable(error) from None
        return Backlog(*reply)

    async def progress(self) -> Progress:
        """Whether what is in the stream comes out of it."""
        link = await self._dialler.connect()
        stream, group = self._keys.stream, self._group
        dead_letters = self._keys.dead_letters(clustered=link.clustered)
        keys = (stream, self._keys.lease(group), self._keys.ledger(group), dead_letters)
        try:
            waiting, since, led, *wrong = await _PROGRESS.run(link, keys, (group,), ANSWER_SECONDS)
        except hiredis.ReplyError as error:
            kinds = self._keys.kinds(group, clustered=link.clustered)
            raise await explained(link, kinds, unavailable(error)) from None
        *needed, unburied = [unavailable(hiredis.ReplyError(text(said))) if said else None for said in wrong]
        unusable = next((why for why in needed if why), None)
        return Progress(waiting if waiting >= 0 else None, since if since >= 0 else None, bool(led), unusable, unburied)

    async def durability(self) -> Durability:
        """What Redis does with what it has acknowledged."""
        link = await self._dialler.connect()
        questions: list[Command] = [
            ("INFO",),
            ("CONFIG", "GET", "appendfsync"),
            ("CONFIG", "GET", "maxmemory-policy"),
        ]
        told, fsync, policy = map(_answer, await link.replies(questions, ANSWER_SECONDS))
        facts = info(told)
        return Durability(
            aof={"1": "on", "0": "off"}.get(facts.get("aof_enabled", ""), "unknown"),
            fsync=_setting(fsync),
            policy=_setting(policy) if _setting(policy) != "unknown" else facts.get("maxmemory_policy", "unknown"),
            role=facts.get("role", "unknown"),
        )

    async def open_incidents(self) -> list[Record]:
        """The open incidents as they are kept, newest first; what is none of ours is passed over."""
        link = await self._dialler.connect()
        return newest_first(await link.ask("HVALS", self._keys.incidents_open, timeout=ANSWER_SECONDS))

    def close(self) -> None:
        """Close the connection."""
        self._dialler.close()


def _answer(reply: Any) -> Any:
    """A reply; an error reply stands for itself, since one question may be forbidden, but not all of them."""
    if isinstance(reply, hiredis.ReplyError):
        error = unavailable(reply)
        if error.code in ("redis_loading", "redis_down") or str(reply).startswith("NOAUTH"):
            raise error
    return reply


def _setting(reply: Any) -> str:
    return reply[1].decode() if isinstance(reply, list) and len(reply) == 2 else "unknown"
