"""What a node watches in Redis: how much waits, and what the server would lose."""

from typing import Any, NamedTuple

import hiredis

from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.keys import Keys
from payflux.redis.link import Command
from payflux.redis.replies import info, unavailable
from payflux.redis.script import Script
from payflux.stream.deliveries import Backlog

ANSWER_SECONDS = 2.0

_BACKLOG = Script("backlog")


class Durability(NamedTuple):
    """What decides how much an accepted event is worth after a crash of Redis; `unknown` where we may not ask."""

    aof: str = "unknown"
    fsync: str = "unknown"
    policy: str = "unknown"
    role: str = "unknown"


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

    async def backlog(self) -> Backlog:
        """How much waits in the stream."""
        link = await self._dialler.connect()
        keys = (self._keys.stream, self._keys.state, self._keys.dead_letters(clustered=link.clustered))
        try:
            reply = await _BACKLOG.run(link, keys, (self._group,), ANSWER_SECONDS)
        except hiredis.ReplyError as error:
            raise unavailable(error) from None
        return Backlog(*reply)

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
