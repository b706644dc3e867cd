"""What operators ask Redis: how much waits, and what the server would lose."""

from typing import Any, NamedTuple

import hiredis

from payflux.redis_keys import DEAD_LETTERS, GROUP, LEDGER, STATE, STREAM
from payflux.redis_link import RedisAddress, RedisLink, connect, unavailable
from payflux.stream import Backlog


class Durability(NamedTuple):
    """What decides how much an accepted event is worth after a crash of Redis; `unknown` where we may not ask."""

    aof: str = "unknown"
    fsync: str = "unknown"
    policy: str = "unknown"
    role: str = "unknown"


class RedisAdmin:
    """Asks over a connection of its own, made when needed."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._link: RedisLink | None = None

    async def backlog(self) -> Backlog:
        """How much waits in the stream.

        The lag comes from the numbers of the entries: what Redis says of it is wrong after trimming in Redis 7, and
        Redis 6.2 says nothing.

        Raises:
            StreamUnavailable: Redis does not answer.
        """
        length, pending, seq, ledger, dead = await self._ask(
            ("XLEN", STREAM),
            ("XPENDING", STREAM, GROUP),
            ("HGET", STATE, "seq"),
            ("HGET", LEDGER, "last_seq"),
            ("XLEN", DEAD_LETTERS),
        )
        waiting = pending[0] if isinstance(pending, list) else 0
        lag = max(0, int(seq or 0) - int(ledger or 0) - waiting) if _known(seq) and _known(ledger) else 0
        return Backlog(_number(length), waiting, lag, _number(dead))

    async def durability(self) -> Durability:
        """What Redis does with what it has acknowledged."""
        info, fsync, policy = await self._ask(
            ("INFO",), ("CONFIG", "GET", "appendfsync"), ("CONFIG", "GET", "maxmemory-policy")
        )
        facts = dict(line.split(":", 1) for line in _text(info).splitlines() if ":" in line)
        return Durability(
            aof={"1": "on", "0": "off"}.get(facts.get("aof_enabled", ""), "unknown"),
            fsync=_setting(fsync),
            policy=_setting(policy) if _setting(policy) != "unknown" else facts.get("maxmemory_policy", "unknown"),
            role=facts.get("role", "unknown"),
        )

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()

    async def _ask(self, *commands: tuple[str, ...]) -> list[Any]:
        """The replies; an error reply stands for itself, since one question may be forbidden or too early."""
        if self._link is None or self._link.lost:
            self._link = await connect(self._address, "payflux-admin")
        replies = []
        for command in commands:
            try:
                replies.append(await self._link.call(*command, timeout=2.0))
            except hiredis.ReplyError as error:
                if unavailable(error).code in ("redis_loading", "redis_auth", "redis_down"):
                    raise unavailable(error) from None
                replies.append(error)
        return replies


def _known(reply: Any) -> bool:
    return reply is None or isinstance(reply, bytes)


def _number(reply: Any) -> int:
    return reply if isinstance(reply, int) else 0


def _text(reply: Any) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else ""


def _setting(reply: Any) -> str:
    return reply[1].decode() if isinstance(reply, list) and len(reply) == 2 else "unknown"
