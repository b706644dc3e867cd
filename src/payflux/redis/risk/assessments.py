"""What was said of processors, as it is kept in Redis: the log, the latest of each, and how far snapshots go."""

from collections.abc import AsyncIterator

from payflux.redis.keys import Keys
from payflux.redis.link import RedisLink
from payflux.stream.deliveries import Scored

PAGE = 1000


async def assessments(link: RedisLink, keys: Keys, after: bytes = b"0-0") -> AsyncIterator[tuple[bytes, bytes]]:
    """The log after an entry of it: ids, and assessments as JSON; what is none of ours is passed over."""
    while True:
        page = await link.ask("XRANGE", keys.assessments, b"(" + after, "+", "COUNT", PAGE)
        for entry_id, fields in page:
            found = dict(zip(fields[::2], fields[1::2], strict=False))
            if b"assessment" in found:
                yield entry_id, found[b"assessment"]
        if len(page) < PAGE:
            return
        after = page[-1][0]


async def latest(link: RedisLink, keys: Keys) -> dict[str, bytes]:
    """The latest assessment of each processor, as JSON."""
    flat = await link.ask("HGETALL", keys.risk)
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {processor.decode(errors="replace"): value.partition(b" ")[2] for processor, value in pairs}


async def scored(link: RedisLink, keys: Keys) -> Scored:
    """The place up to which everything is in some snapshot; what cannot be read is no place."""
    text = await link.ask("GET", keys.scored)
    numbers = (text or b"").split()
    if len(numbers) != 2 or not all(number.isdigit() and len(number) < 19 for number in numbers):
        return Scored()
    return Scored(*map(int, numbers))
