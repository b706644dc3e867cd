"""What operators ask Redis: how much waits, and what the server would lose."""

from typing import Any, NamedTuple

import hiredis

from payflux.redis.keys import DEAD_LETTERS, GROUP, STATE, STREAM
from payflux.redis.link import RedisAddress, RedisLink, connect, unavailable
from payflux.stream.deliveries import Backlog

# A missing group has read nothing, a key of the wrong type holds nothing. The first unread entry that has a number
# tells how many were given from it on: what Redis calls the lag is wrong after trimming, and 6.2 does not tell it.
_BACKLOG = """
local function number(command, key)
  local found = redis.pcall(command, key)
  return type(found) == 'number' and found or 0
end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
local read, groups = '0-0', redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, group in ipairs(groups) do
  local named = {}
  for i = 1, #group, 2 do named[group[i]] = group[i + 1] end
  if named.name == ARGV[1] then read = named['last-delivered-id'] end
end
local seq = redis.pcall('HGET', KEYS[2], 'seq')
local last = type(seq) == 'string' and tonumber(seq) or 0
local unread = 0
for i, entry in ipairs(redis.pcall('XRANGE', KEYS[1], '(' .. read, '+', 'COUNT', 10)) do
  local first
  for j = 1, #entry[2], 2 do
    if entry[2][j] == 'seq' then first = tonumber(entry[2][j + 1]) end
  end
  unread = i + math.max(0, last - (first or last))
  if first then break end
end
return {number('XLEN', KEYS[1]), pending.err and 0 or pending[1], unread, number('XLEN', KEYS[3])}
"""


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

        Raises:
            StreamUnavailable: Redis does not answer.
        """
        (reply,) = await self._ask(("EVAL", _BACKLOG, "3", STREAM, STATE, DEAD_LETTERS, GROUP))
        if isinstance(reply, hiredis.ReplyError):
            raise unavailable(reply)
        return Backlog(*reply)

    async def durability(self) -> Durability:
        """What Redis does with what it has acknowledged.

        Raises:
            StreamUnavailable: Redis does not answer.
        """
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
        """The replies; an error reply stands for itself, since one question may be forbidden."""
        if self._link is None or self._link.lost:
            self._link = await connect(self._address, "payflux-admin")
        replies = []
        for command in commands:
            try:
                replies.append(await self._link.call(*command, timeout=2.0))
            except hiredis.ReplyError as error:
                down = unavailable(error)
                if down.code in ("redis_loading", "redis_down") or str(error).startswith("NOAUTH"):
                    raise down from None
                replies.append(error)
        return replies


def _text(reply: Any) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else ""


def _setting(reply: Any) -> str:
    return reply[1].decode() if isinstance(reply, list) and len(reply) == 2 else "unknown"
