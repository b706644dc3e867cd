"""Keeping what was said of processors, snapshots of what is known of them, and their incidents."""

from collections.abc import Iterator, Sequence

from payflux.redis.keys import Keys
from payflux.redis.link import RedisLink
from payflux.redis.replies import named
from payflux.redis.risk.assessments import assessments, latest, scored
from payflux.redis.script import Script
from payflux.stream.deliveries import Change, IncidentsKept, RiskKept, RiskNews, Told
from payflux.stream.protocol import GROUP, LeaseLost

MOST_ASSESSMENTS = 10_000
"""Length of the log; a processor in trouble fills it by six a minute."""

MOST_CHANGES = 10_000
"""About how many changes of incidents are kept."""

SNAPSHOT_SEC = 30 * 86400

_KEEP, _INCIDENTS = Script("keep_risk"), Script("incidents")


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

    async def tell(self, link: RedisLink, told: Sequence[Told], maxlen: int = MOST_CHANGES) -> int:
        """Keep what became of incidents, each step as a whole and once; see ReadStream.

        Args:
            link: the connection.
            told: the steps, in order.
            maxlen: about how many changes are kept.

        Returns:
            How many changes were not kept before.

        Raises:
            hiredis.ReplyError, StreamUnavailable, LeaseLost: nothing was kept.
        """
        own = self._keys
        keys = (own.lease(GROUP), own.incidents, own.incidents_open, own.incidents_told)
        steps = [word for one in told for word in _step(one)]
        reply = await _INCIDENTS.run(link, keys, (self._token, maxlen, *steps))
        if reply == b"lease":
            raise LeaseLost("another consumer may hold the stream")
        return int(reply)

    async def told(self, link: RedisLink) -> IncidentsKept:
        """What is kept of incidents; see ReadStream."""
        own = self._keys
        place, found = await link.calls([("HGETALL", own.incidents_told), ("HGETALL", own.incidents_open)])
        kept = named(place)
        second = kept.get(b"second", b"")
        opened = {name.decode(errors="replace"): record for name, record in named(found).items()}
        return IncidentsKept(int(second) if second.isdigit() else -1, kept.get(b"state", b""), opened)


def _latest(said: Change) -> bytes:
    return b"%d %b" % (said.second, said.data)


def _step(told: Told) -> Iterator[str | int | bytes]:
    yield from (told.second, told.state, len(told.changes))
    for change in told.changes:
        yield from change


def words(changes: Sequence[Change]) -> Iterator[str | int | bytes]:
    """Assessments as arguments of a script: three words of each."""
    for change in changes:
        yield from change
