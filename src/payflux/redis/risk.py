"""What is kept in Redis of the risk of processors: the log of assessments, the latest of each, and snapshots."""

from collections.abc import AsyncIterator, Iterator, Sequence

from payflux.redis.keys import Keys
from payflux.redis.link import RedisLink
from payflux.redis.script import Script
from payflux.stream.deliveries import Change, RiskKept, RiskNews, Scored
from payflux.stream.protocol import GROUP, LeaseLost

MOST_ASSESSMENTS = 10_000
"""Length of the log; a processor in trouble fills it by six a minute."""

SNAPSHOT_SEC = 30 * 86400
PAGE = 1000

_KEEP = Script("keep_risk")


class RiskKeeper:
    """Keeps it for the holder of the lease of the group that scores.

    Args:
        keys: of the stream.
        token: of the node.
    """

    def __init__(self, keys: Keys, token: str) -> None:
        self._keys, self._token = keys, token

    async def keep(self, link: RedisLink, news: RiskNews) -> None:
        """Keep assessments and snapshots; see ReadStream.

        Raises:
            hiredis.ReplyError, StreamUnavailable, LeaseLost: nothing was kept.
        """
        own = self._keys
        keys = (own.lease(GROUP), own.assessments, own.risk, own.scored, *map(own.snapshot, news.snapshots))
        scored = b"%d %d" % news.scored if news.scored else b""
        head = (self._token, MOST_ASSESSMENTS, SNAPSHOT_SEC, scored, len(news.changes), len(news.forgotten))
        taken = [word for said, data in news.snapshots.values() for word in (data, said.processor, _latest(said))]
        arguments = (*head, *taken, *words(news.changes), *news.forgotten)
        if await _KEEP.run(link, keys, arguments) == b"lease":
            raise LeaseLost("another consumer may hold the stream")

    async def kept(self, link: RedisLink) -> RiskKept:
        """What is kept beside the snapshots; see ReadStream."""
        log = [data async for _, data in assessments(link, self._keys)]
        return RiskKept(log, await latest(link, self._keys), await scored(link, self._keys))


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


def _latest(said: Change) -> bytes:
    return b"%d %b" % (said.second, said.data)


def words(changes: Sequence[Change]) -> Iterator[str | int | bytes]:
    """Assessments as arguments of a script: three words of each."""
    for change in changes:
        yield from change
