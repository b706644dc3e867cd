"""The contract of the stream, on every supported server: following it, and moving the group over whole ranges."""

import asyncio
from typing import Any

import pytest

from consumers import Node, consuming, ids_of, noted, pending_ids
from payflux.errors import StreamUnavailable
from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import GROUP, GroupMissing, LeaseLost
from servers import Server
from stream_keys import LEASE, STREAM
from streams import fill, wait_for


def group(server: Server) -> dict[str, Any]:
    """The group as Redis describes it."""
    (found,) = server.client.xinfo_groups(STREAM)
    return dict(found)


async def done(
    node: Node, found: list[Delivery], after: bytes, undone: tuple[bytes, ...] = (), trimmed: int = 0
) -> None:
    """Commit what was followed."""
    node.ledger.last_id, node.ledger.last_seq = found[-1].id, found[-1].seq
    node.ledger.unacked = undone
    await node.reader.commit(node.ledger, after, len(found), trimmed, undone)


async def test_a_range_is_done_in_one_step(every_server: Server) -> None:
    """The group stands behind it with nothing pending and an exact lag, and the ledger says so."""
    await fill(every_server, 5)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 3, 0.1)
        assert [d.seq for d in found] == [1, 2, 3]
        assert group(every_server)["last-delivered-id"] == b"0-0"
        every_server.client.pexpire(LEASE, 200)
        await done(one, found, b"0-0")
        assert every_server.client.pttl(LEASE) > 1000
        assert await one.reader.position() == found[-1].id
        assert pending_ids(every_server) == []
        assert group(every_server).get("lag", 2) == 2
        assert noted(every_server) | {"settled": ""} == {
            "owner": "token-one",
            "life": "0",
            "acked": "3",
            "settled": "",
            "last_id": found[-1].id.decode(),
            "last_seq": "3",
            "left": "",
        }
        assert (await one.reader.noted()).acked == 3
        rest = await one.reader.follow(found[-1].id, 10, 0.1)
        await done(one, rest, found[-1].id)
        assert group(every_server).get("lag", 0) == 0
        assert await one.reader.follow(rest[-1].id, 10, 0.001) == []


async def test_what_is_not_done_becomes_pending(every_server: Server) -> None:
    """With one delivery; it can be taken up, tried and acked like anything pending."""
    await fill(every_server, 4)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 10, 0.1)
        undone = (found[1].id, found[3].id)
        await done(one, found, b"0-0", undone)
        assert pending_ids(every_server) == list(undone)
        assert noted(every_server)["acked"] == "2"
        taken = await one.reader.pending(b"0-0", 0)
        assert [(d.seq, d.attempts, d.data) for d in taken] == [(2, 1, found[1].data), (4, 1, found[3].data)]
        await one.reader.attempt(ids_of(taken))
        assert [d.attempts for d in await one.reader.pending(b"0-0", 0)] == [2, 2]
        assert await one.reader.dead_letter(taken[0], "invalid_json", one.ledger) is True
        assert await one.ack(taken[1:]) == b"1"


async def test_what_was_deleted_does_not_become_pending(every_server: Server) -> None:
    """It is told, where the server tells it; or it is pending, and found to be gone."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 10, 0.1)
        every_server.client.xdel(STREAM, found[1].id)
        one.ledger.last_id, one.ledger.last_seq = found[-1].id, 2
        gone = await one.reader.commit(one.ledger, b"0-0", 2, 0, [found[1].id])
        left = await one.reader.pending(b"0-0", 0)
        assert [*gone, *(delivery.id for delivery in left if delivery.gone)] == [found[1].id]


async def test_the_lag_becomes_known_where_it_was_not(every_server: Server) -> None:
    """A group made in the middle, or moved by somebody else: once it has caught up, Redis can tell the lag again."""
    await fill(every_server, 4)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 10, 0.1)
        client: Any = every_server.client
        client.xgroup_setid(STREAM, GROUP, found[1].id)
        await done(one, found[2:], found[1].id)
        assert group(every_server).get("lag", 0) == 0
        await fill(every_server, 3)
        assert group(every_server).get("lag", 3) == 3


async def test_trimmed_entries_count_as_read(every_server: Server) -> None:
    """What Redis calls the lag stays right when entries were trimmed before they were read."""
    await fill(every_server, 6)
    async with consuming(every_server) as (one,):
        first = await one.reader.follow(b"0-0", 1, 0.1)
        await done(one, first, b"0-0")
        every_server.client.xtrim(STREAM, maxlen=2, approximate=False)
        rest = await one.reader.follow(first[-1].id, 10, 0.1)
        assert [d.seq for d in rest] == [5, 6]
        await done(one, rest, first[-1].id, trimmed=3)
        assert group(every_server).get("lag", 0) == 0


async def test_a_commit_that_arrives_late_takes_nothing_back(every_server: Server) -> None:
    """Its connection was given up, and what it was about was followed and noted again."""
    await fill(every_server, 5)
    async with consuming(every_server) as (one,):
        late = await one.reader.follow(b"0-0", 2, 0.1)
        found = await one.reader.follow(b"0-0", 5, 0.1)
        await done(one, found[:4], b"0-0", undone=(found[1].id,))
        await done(one, found[4:], found[3].id)
        before, place = noted(every_server), group(every_server)
        for again, after in ((late, b"0-0"), (found[4:], found[3].id)):
            with pytest.raises(StreamUnavailable):
                await done(one, again, after)
        assert noted(every_server) == before
        assert group(every_server) == place


@pytest.mark.parametrize("denied", ["xclaim", "hincrby", "xgroup"])
async def test_what_may_not_be_written_stops_a_commit_before_it_begins(every_server: Server, denied: str) -> None:
    """The group stays where the ledger says it is, so that a successor reads it all."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 10, 0.1)
        before = noted(every_server)
        client: Any = every_server.client
        client.execute_command("ACL", "SETUSER", "default", f"-{denied}")
        with pytest.raises(StreamUnavailable) as raised:
            await done(one, found, b"0-0", (found[0].id,))
        assert raised.value.code == "redis_forbidden"
        client.execute_command("ACL", "SETUSER", "default", f"+{denied}")
        assert noted(every_server) == before
        assert await one.reader.position() == b"0-0"
        assert pending_ids(every_server) == []


@pytest.mark.parametrize("taker", [None, "another"])
async def test_without_the_lease_nothing_is_noted(every_server: Server, taker: str | None) -> None:
    """LeaseLost: the group stays where it is, and the ledger too."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 10, 0.1)
        every_server.client.set(LEASE, taker) if taker else every_server.client.delete(LEASE)
        before = noted(every_server)
        with pytest.raises(LeaseLost):
            await done(one, found, b"0-0", (found[1].id,))
        assert noted(every_server) == before
        assert await one.reader.position() == b"0-0"
        assert pending_ids(every_server) == []


@pytest.mark.parametrize("how", ["destroy", "delete"])
async def test_a_missing_group_is_told(every_server: Server, how: str) -> None:
    """GroupMissing, and nothing is noted; following goes on all the same."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 10, 0.1)
        client: Any = every_server.client
        client.xgroup_destroy(STREAM, GROUP) if how == "destroy" else client.delete(STREAM)
        before = noted(every_server)
        with pytest.raises(GroupMissing):
            await done(one, found, b"0-0")
        with pytest.raises(GroupMissing):
            await one.reader.position()
        assert noted(every_server) == before
        assert len(await one.reader.follow(b"0-0", 10, 0.001)) == (2 if how == "destroy" else 0)


async def test_who_follows_waits_for_the_first_entry(every_server: Server) -> None:
    """Also for a stream that does not exist yet."""
    async with consuming(every_server) as (one,):
        reading = asyncio.ensure_future(one.reader.follow(b"0-0", 10, 5))
        client: Any = every_server.client
        await wait_for(lambda: any(c["cmd"].startswith("xread") for c in client.client_list()))
        await fill(every_server, 1)
        assert [d.seq for d in await reading] == [1]


async def test_a_rolled_back_stream_is_followed_from_its_end(every_server: Server) -> None:
    """The group is there and the stream ends before the ledger: what is left of it was read before."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.follow(b"0-0", 10, 0.1)
        one.ledger.last_id, one.ledger.unacked = b"9999999999999-0", (found[0].id,)
        assert await one.reader.ensure_group(one.ledger) is False
        assert (one.ledger.last_id, one.ledger.unacked) == (found[1].id, (found[0].id,))


async def test_a_foreign_key_is_no_stream(every_server: Server) -> None:
    """Unavailable, with the reason."""
    async with consuming(every_server) as (one,):
        every_server.client.delete(STREAM)
        every_server.client.set(STREAM, "mine")
        calls = (
            lambda: one.reader.follow(b"0-0", 1, 0.01),
            lambda: one.reader.commit(one.ledger, b"0-0", 0, 0, ()),
            one.reader.position,
        )
        for call in calls:
            with pytest.raises(StreamUnavailable) as raised:
                await call()
            assert raised.value.code == "redis_wrong_type"
