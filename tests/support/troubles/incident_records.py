"""Incidents in Redis, written as who scores writes them."""

from itertools import groupby

from payflux.redis.address import parse_url
from payflux.redis.risk.keeper import MOST_CHANGES, RiskKeeper
from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import Change, Incident
from payflux.risk.incidents.record import encoded
from payflux.stream.deliveries import IncidentNews, Told
from redis_links import linked
from servers import Server
from stream_keys import KEYS, LEASE

OWNER = "me"
SINCE = 1_767_276_120


def change(kind: str, processor: str = "stripe", second: int = SINCE + 5, number: str = "aabbcc") -> Change:
    """Something that became of an outage in one country."""
    driver = Driver("segment_degradation", "geo", "GB", 0.9, "critical", True, 62, 100, 9.0, SINCE, 16.0, 24.0)
    incident = Incident(
        id=f"{processor}-{SINCE + 5}-{number}",
        processor=processor,
        severity="critical",
        opened=SINCE + 5,
        since=SINCE,
        counted_from=SINCE,
        updated=second,
        resolved=second if kind == "resolved" else 0,
        dimension="geo",
        value="GB",
        drivers=(driver,),
        payments=310,
        value_at_risk={"GBP": 4_120_000},
    )
    return Change(kind, second, incident)  # type: ignore[arg-type] # told by name, for short


def steps(*changes: Change) -> list[Told]:
    """The changes as they are told: those of one second in one step."""
    told = []
    for second, group in groupby(changes, lambda one: one.second):
        news = [IncidentNews(one.kind, one.incident.processor, one.incident.id, encoded(one, 300)) for one in group]
        told.append(Told(second, b"%d" % second, news))
    return told


async def tell(server: Server, *changes: Change, owner: str = OWNER, maxlen: int = MOST_CHANGES) -> int:
    """Keep changes as the holder of the lease does; returns how many were new."""
    server.client.set(LEASE, OWNER)
    async with linked(parse_url(server.url)) as link:
        return await RiskKeeper(KEYS, owner).tell(link, steps(*changes), maxlen)
