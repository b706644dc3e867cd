"""Everything `payflux check` asks Redis, in one look; judging it is left to `payflux.checks.redis_server`."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hiredis

from payflux.errors import StreamUnavailable
from payflux.redis.entries import ask
from payflux.redis.keys import DEAD_LETTERS, GROUP, LEASE, LEDGER, PROBE, STATE, STREAM
from payflux.redis.link import RedisAddress, RedisLink, connect, unavailable

KINDS = {
    STREAM: "stream",
    DEAD_LETTERS: "stream",
    STATE: "hash",
    LEDGER: "hash",
    LEASE: "string",
    PROBE: "string",
}
"""The type each key of PayFlux has where it exists."""
DEAD_LOOKED_AT = 1000


@dataclass(frozen=True)
class Group:
    """A consumer group of the stream; `consumers` by name: entries pending and milliseconds idle."""

    name: str
    pending: int
    consumers: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Facts:
    """What Redis said. Where it would not say, texts and collections are empty and numbers are None.

    Attributes:
        info: the fields of `INFO`.
        config: the parameters of `CONFIG GET` that matter.
        round_trip_ms: of the question for the time.
        skew_ms: Redis's clock minus ours, give or take half the round trip.
        kinds: the type of each key of PayFlux that exists.
        refusal: why Redis does not take writes; None when it does.
        scripts: whether it runs scripts for us.
        groups: of the stream.
        oldest_pending_ms: how long ago the entry pending longest in our group was last delivered.
        consumed: whether a consumer holds the stream's lease.
        dead_reasons: reasons of the newest dead letters, at most 1,000, counted.
        stream_bytes: memory the stream takes.
    """

    info: dict[str, str]
    config: dict[str, str]
    round_trip_ms: float
    skew_ms: float
    kinds: dict[str, str]
    refusal: StreamUnavailable | None
    scripts: bool
    groups: tuple[Group, ...]
    oldest_pending_ms: int | None
    consumed: bool
    dead_reasons: Counter[str]
    stream_bytes: int | None


CONFIG = ("no-appendfsync-on-rewrite", "save")


async def inspect(address: RedisAddress, now: Callable[[], float] = time.time) -> Facts:
    """Look at Redis; writes nothing but the key the health check writes too.

    Args:
        address: of Redis.
        now: our clock, Unix seconds.

    Raises:
        StreamUnavailable: it cannot be reached, refuses us, or does not answer.
    """
    link = await connect(address, "payflux-check")
    try:
        return await _inspect(link, now)
    finally:
        link.close()


async def _inspect(link: RedisLink, now: Callable[[], float]) -> Facts:
    begun = now()
    seconds, micros = await ask(link, "TIME")
    ended = now()
    kinds = {key: (await ask(link, "TYPE", key)).decode() for key in KINDS}
    is_stream = kinds[STREAM] == "stream"
    groups = await _groups(link) if is_stream else ()
    return Facts(
        info=_info(await _try(link, "INFO")),
        config=await _config(link),
        round_trip_ms=(ended - begun) * 1000,
        skew_ms=(int(seconds) + int(micros) / 1e6 - (begun + ended) / 2) * 1000,
        kinds={key: kind for key, kind in kinds.items() if kind != "none"},
        refusal=await _refusal(link),
        scripts=await _try(link, "EVAL", "return 1", 0) == 1,
        groups=groups,
        oldest_pending_ms=await _oldest_pending_ms(link) if any(group.name == GROUP for group in groups) else None,
        consumed=await _try(link, "EXISTS", LEASE) == 1,
        dead_reasons=await _dead_reasons(link) if kinds[DEAD_LETTERS] == "stream" else Counter(),
        stream_bytes=_number(await _try(link, "MEMORY", "USAGE", STREAM)) if is_stream else None,
    )


async def _try(link: RedisLink, *command: str | bytes | int) -> Any:
    """The reply; None for an error reply: a managed Redis forbids many a question."""
    try:
        return await link.call(*command)
    except hiredis.ReplyError:
        return None


async def _config(link: RedisLink) -> dict[str, str]:
    replies = {name: await _try(link, "CONFIG", "GET", name) for name in CONFIG}
    return {name: _text(reply[1]) for name, reply in replies.items() if reply}


async def _refusal(link: RedisLink) -> StreamUnavailable | None:
    try:
        await link.call("SET", PROBE, "1", "EX", "60")
    except hiredis.ReplyError as error:
        return unavailable(error)
    return None


async def _groups(link: RedisLink) -> tuple[Group, ...]:
    groups = []
    for row in await _try(link, "XINFO", "GROUPS", STREAM) or ():
        told = _pairs(row)
        consumers = {}
        for line in await _try(link, "XINFO", "CONSUMERS", STREAM, told["name"]) or ():
            consumer = _pairs(line)
            consumers[_text(consumer["name"])] = (consumer["pending"], consumer["idle"])
        groups.append(Group(_text(told["name"]), told["pending"], consumers))
    return tuple(groups)


async def _oldest_pending_ms(link: RedisLink) -> int | None:
    rows = await _try(link, "XPENDING", STREAM, GROUP, "-", "+", 100)
    return max((row[2] for row in rows), default=None) if rows else None


async def _dead_reasons(link: RedisLink) -> Counter[str]:
    entries = await _try(link, "XREVRANGE", DEAD_LETTERS, "+", "-", "COUNT", DEAD_LOOKED_AT) or ()
    fields = (dict(zip(row[1][::2], row[1][1::2], strict=True)) for row in entries)
    return Counter(_text(named.get(b"reason")) or "none given" for named in fields)


def _info(reply: Any) -> dict[str, str]:
    return dict(line.split(":", 1) for line in _text(reply).splitlines() if ":" in line and line[0] != "#")


def _pairs(row: list[Any]) -> dict[str, Any]:
    return {_text(name): value for name, value in zip(row[::2], row[1::2], strict=True)}


def _text(reply: Any) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else ""


def _number(reply: Any) -> int | None:
    return reply if isinstance(reply, int) else None
