"""The log of assessments, the latest ones and snapshots, as every server keeps them."""

import pytest

from consumers import consuming, ids_of
from payflux.errors import StreamUnavailable
from payflux.redis.risk.keeper import SNAPSHOT_SEC
from payflux.stream.deliveries import Change, IncidentNews, IncidentsKept, RiskKept, RiskNews, Scored, Told
from payflux.stream.protocol import LeaseLost
from servers import Server
from stream_keys import KEYS
from streams import fill


def said(second: int, processor: str = "stripe") -> Change:
    """What was said from a second on."""
    return Change(processor, second, b'{"second":%d}' % second)


async def test_what_was_said_is_kept_once(every_server: Server) -> None:
    """By the commit or by its own script, in order; told again it is not doubled, and a snapshot is found again."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 3, 0.1)
        one.ledger.last_id, one.ledger.last_seq = found[-1].id, 3
        changes = [said(5), said(5), said(4), said(6, "adyen")]
        gone = await one.reader.commit(one.ledger, b"0-0", 3, 0, ids_of(found[1:2]), changes)
        assert not gone
        news = RiskNews([said(5), said(7)], {"klarna": (said(0, "klarna"), b"all")}, Scored(7, 9), ["adyen"])
        for _ in range(2):
            await one.reader.keep_risk(news)
        assert await one.reader.risk() == RiskKept(
            [said(5).data, said(6).data, said(7).data],
            {"stripe": said(7).data, "klarna": said(0).data},
            Scored(7, 9),
        )
        assert [await one.reader.snapshot(name) for name in ("klarna", "stripe")] == [b"all", None]
        assert SNAPSHOT_SEC - 60 < every_server.client.ttl(KEYS.snapshot("klarna")) <= SNAPSHOT_SEC


async def test_nothing_is_kept_without_the_lease(server: Server) -> None:
    """A holder that was replaced does no harm."""
    async with consuming(server) as (one,):
        server.client.set(KEYS.lease("payment_consumers"), "another")
        with pytest.raises(LeaseLost):
            await one.reader.keep_risk(RiskNews([said(5)]))
        with pytest.raises(LeaseLost):
            await one.reader.keep_incidents([Told(5, b"state", [IncidentNews("opened", "stripe", "s-5", b"{}")])])
        assert await one.reader.incidents() == IncidentsKept(-1, b"", {})
        assert await one.reader.risk() == RiskKept([], {}, Scored())


async def test_a_log_of_another_type_stops_no_event(server: Server) -> None:
    """The commit goes on without it; the script that keeps the rest says what is wrong."""
    await fill(server, 1)
    server.client.set(KEYS.assessments, "mine")
    async with consuming(server) as (one,):
        (found,) = await one.reader.follow(b"0-0", 3, 0.1)
        one.ledger.last_id, one.ledger.last_seq = found.id, 1
        await one.reader.commit(one.ledger, b"0-0", 1, 0, (), [said(5)])
        assert (await one.reader.noted()).last_id == found.id
        with pytest.raises(StreamUnavailable) as raised:
            await one.reader.keep_risk(RiskNews([said(6)]))
        assert raised.value.code == "redis_wrong_type"


async def test_steps_in_what_is_told_of_incidents(every_server: Server) -> None:
    """Each is kept as a whole and once, with the state of the last; what is open is told to a successor."""
    opened, other = IncidentNews("opened", "stripe", "s-5", b"{}"), IncidentNews("opened", "adyen", "a-5", b"{1}")
    steps = [Told(5, b"five", [opened, other]), Told(7, b"seven"), Told(9, b"nine", [opened._replace(kind="resolved")])]
    async with consuming(every_server) as (one,):
        await one.reader.keep_incidents(steps[:1])
        assert await one.reader.incidents() == IncidentsKept(5, b"five", {"s-5": b"{}", "a-5": b"{1}"})
        for _ in range(2):
            await one.reader.keep_incidents(steps)
        assert await one.reader.incidents() == IncidentsKept(9, b"nine", {"a-5": b"{1}"})
        assert every_server.client.xlen(KEYS.incidents) == 3


async def test_incidents_whose_key_is_another_type_are_told(server: Server) -> None:
    """They cannot be kept, and the reader hears why."""
    server.client.set(KEYS.incidents, "mine")
    async with consuming(server) as (one,):
        with pytest.raises(StreamUnavailable) as raised:
            await one.reader.keep_incidents([Told(5, b"state")])
        assert raised.value.code == "redis_wrong_type"
