"""Everything `payflux check` asks Redis, in one look; judging it is left to `payflux.checks.redis_server`."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hiredis

from payflux.errors import StreamUnavailable
from payflux.redis.address import RedisAddress
from payflux.redis.append import probe
from payflux.redis.dial import connect
from payflux.redis.keys import Keys
from payflux.redis.link import RedisLink
from payflux.redis.repair import Oddity, oddities
from payflux.redis.replies import info, named, text

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
        skew_ms: Redis's clock minus ours, give or take half the round trip; None where it does not tell the time.
        stream: name of the stream.
        group: name of the group that was looked at.
        kinds: of each key of PayFlux that exists, its type and the type it has to be of.
        forbidden: keys of PayFlux that the user may not look at.
        refusal: why Redis does not take events; None when it does.
        odd: what stands in them and cannot be PayFlux's.
        scripts: whether it runs scripts for us.
        groups: of the stream.
        oldest_pending_ms: how long ago the entry pending longest in the group was last delivered.
        consumed: whether a consumer holds the group's lease.
        dead_reasons: reasons of the newest dead letters, at most 1,000, counted.
        stream_bytes: memory the stream takes.
    """

    info: dict[str, str]
    config: dict[str, str]
    round_trip_ms: float
    skew_ms: float | None
    stream: str
    group: str
    kinds: dict[str, tuple[str, str]]
    forbidden: tuple[str, ...]
    refusal: StreamUnavailable | None
    odd: tuple[Oddity, ...]
    scripts: bool
    groups: tuple[Group, ...]
    oldest_pending_ms: int | None
    consumed: bool
    dead_reasons: Counter[str]
    stream_bytes: int | None


CONFIG = ("no-appendfsync-on-rewrite", "save")


async def inspect(address: RedisAddress, keys: Keys, group: str, now: Callable[[], float] = time.time) -> Facts:
    """Look at Redis, and try what an append does, without an effect. What is refused hides nothing else.

    Args:
        address: of Redis.
        keys: of the stream.
        group: of the consumer that is asked about.
        now: our clock, Unix seconds.

    Raises:
        StreamUnavailable: it cannot be reached, refuses us, or does not answer.
    """
    link = await connect(address, "payflux-check")
    try:
        return await _inspect(link, keys, group, now)
    finally:
        link.close()


async def _inspect(link: RedisLink, keys: Keys, group: str, now: Callable[[], float]) -> Facts:
    begun = now()
    time = await _try(link, "TIME")
    ended = now()
    kinds, forbidden = await _kinds(link, keys, group)
    stream, dead_letters = keys.stream, keys.dead_letters(clustered=link.clustered)
    is_stream = kinds.get(stream, ("", ""))[0] == "stream"
    groups = await _groups(link, stream) if is_stream else ()
    return Facts(
        info=info(await _try(link, "INFO")),
        config=await _config(link),
        round_trip_ms=(ended - begun) * 1000,
        skew_ms=(int(time[0]) + int(time[1]) / 1e6 - (begun + ended) / 2) * 1000 if time else None,
        stream=stream,
        group=group,
        kinds=kinds,
        forbidden=forbidden,
        refusal=await _refusal(link, keys),
        odd=await _odd(link, keys, group),
        scripts=await _try(link, "EVAL", "return 1", 0) == 1,
        groups=groups,
        oldest_pending_ms=await _oldest_pending_ms(link, stream, group),
        consumed=await _try(link, "EXISTS", keys.lease(group)) == 1,
        dead_reasons=await _dead_reasons(link, dead_letters),
        stream_bytes=_number(await _try(link, "MEMORY", "USAGE", stream)) if is_stream else None,
    )


async def _kinds(link: RedisLink, keys: Keys, group: str) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """The type of each key that is there, with the one it has to be of; and the keys that may not be looked at."""
    wanted = keys.kinds(group, clustered=link.clustered)
    found = {key: text(await _try(link, "TYPE", key)) for key in wanted}
    seen = {key: (kind, wanted[key]) for key, kind in found.items() if kind not in {"", "none"}}
    return seen, tuple(key for key, kind in found.items() if not kind)


async def _odd(link: RedisLink, keys: Keys, group: str) -> tuple[Oddity, ...]:
    try:
        return tuple(await oddities(link, keys, group))
    except StreamUnavailable:  # said by `refusal`
        return ()


async def _try(link: RedisLink, *command: str | bytes | int) -> Any:
    """The reply; None for an error reply: a managed Redis forbids many a question."""
    try:
        return await link.call(*command)
    except hiredis.ReplyError:
        return None


async def _config(link: RedisLink) -> dict[str, str]:
    replies = {name: await _try(link, "CONFIG", "GET", name) for name in CONFIG}
    return {name: text(reply[1]) for name, reply in replies.items() if reply}


async def _refusal(link: RedisLink, keys: Keys) -> StreamUnavailable | None:
    try:
        await probe(link, keys)
    except StreamUnavailable as error:
        return error
    return None


async def _groups(link: RedisLink, stream: str) -> tuple[Group, ...]:
    groups = []
    for row in await _try(link, "XINFO", "GROUPS", stream) or ():
        told = named(row)
        consumers = {}
        for line in await _try(link, "XINFO", "CONSUMERS", stream, told[b"name"]) or ():
            consumer = named(line)
            consumers[text(consumer[b"name"])] = (consumer[b"pending"], consumer[b"idle"])
        groups.append(Group(text(told[b"name"]), told[b"pending"], consumers))
    return tuple(groups)


async def _oldest_pending_ms(link: RedisLink, stream: str, group: str) -> int | None:
    rows = await _try(link, "XPENDING", stream, group, "-", "+", 100) or ()
    return max((row[2] for row in rows), default=None)


async def _dead_reasons(link: RedisLink, dead_letters: str) -> Counter[str]:
    entries = await _try(link, "XREVRANGE", dead_letters, "+", "-", "COUNT", DEAD_LOOKED_AT) or ()
    return Counter(text(named(fields).get(b"reason")) or "none given" for _, fields in entries)


def _number(reply: Any) -> int | None:
    return reply if isinstance(reply, int) else None
