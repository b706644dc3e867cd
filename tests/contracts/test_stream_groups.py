"""The contract of the stream, on every supported server and in memory: groups know nothing of each other."""

import pytest

from both_streams import Begin, Stream, up_to
from payflux.stream.deliveries import Ledger
from payflux.stream.protocol import GROUP, GroupMissing, LeaseLost
from streams import several

OTHER = "warehouse"


async def test_each_group_reads_everything(stream: Stream, begin: Begin) -> None:
    """Reading, acking and burying in one group leaves place, pending entries and ledger of the other as they are."""
    one, ledger = await begin("one")
    other, others = await begin("one", OTHER)
    await stream.append(*several(4))
    found = await one.read(10, 1.0)
    assert [delivery.seq for delivery in found] == [1, 2, 3, 4]
    assert await one.ack([d.id for d in found[:2]], up_to(ledger, found[:2]), 4) == b"11"
    assert await one.dead_letter(found[2], "invalid_json", up_to(ledger, found[:3])) is True
    assert (await other.position(), await other.noted()) == (b"0-0", Ledger("token-one"))
    again = await other.read(10, 1.0)
    assert [(d.id, d.data, d.attempts) for d in again] == [(d.id, d.data, 1) for d in found]
    assert await other.ack([d.id for d in again[:3]], up_to(others, again[:3]), 4) == b"111"
    assert [d.id for d in await one.pending(b"0-0", 0)] == [found[3].id]
    assert [d.id for d in await other.pending(b"0-0", 0)] == [found[3].id]
    assert ((await one.noted()).acked, (await other.noted()).acked) == (2, 3)


async def test_each_group_follows_at_its_own_pace(stream: Stream, begin: Begin) -> None:
    """A range that is done for one group is not for the other, and what became pending is pending in one."""
    one, ledger = await begin("one")
    other, _ = await begin("two", OTHER)
    await stream.append(*several(5))
    found = await one.follow(b"0-0", 3, 1.0)
    await one.commit(up_to(ledger, found), b"0-0", 3, 0, [found[1].id])
    assert (await one.position(), await other.position()) == (found[2].id, b"0-0")
    assert [d.seq for d in await one.pending(b"0-0", 0)] == [2]
    assert await other.pending(b"0-0", 0) == []
    assert [d.seq for d in await other.follow(await other.position(), 10, 1.0)] == [1, 2, 3, 4, 5]
    tail = await other.unread_tail(Ledger(last_id=(await one.follow(b"0-0", 9, 1.0))[-1].id))
    assert tail is not None
    assert tail.seq == 5


async def test_each_group_has_a_lease_of_its_own(stream: Stream, begin: Begin) -> None:
    """One holder a group, who changes nothing in the other one; what one gives up is not free in the other."""
    one, ledger = await begin("one")
    other, others = await begin("two", OTHER)
    third, thirds = await begin("three", OTHER, lease=False)
    await stream.append(*several(1))
    (found,) = await other.read(10, 1.0)
    assert await third.take_lease(thirds, fresh=True) is None
    await one.leave()
    assert await third.take_lease(thirds, fresh=True) is None
    with pytest.raises(LeaseLost):
        await third.ack([found.id], up_to(thirds, [found]), 1)
    former, _ = await begin("one", lease=False)
    with pytest.raises(LeaseLost):
        await former.ack([], ledger, 0)
    assert await other.ack([found.id], up_to(others, [found]), 1) == b"1"
    await other.leave()
    before = await third.take_lease(thirds, fresh=True)
    assert before is not None
    assert (before.owner, before.acked, before.last_seq) == ("token-two", 1, 1)


async def test_a_name_is_taken_in_its_group_alone(stream: Stream) -> None:
    """Two nodes may use the same name in different groups, not in one."""
    held = [stream.reader("shared", group, token) for group, token in ((GROUP, "a"), (OTHER, "b"))]
    refused = [stream.reader("shared", group, token) for group, token in ((GROUP, "b"), (OTHER, "a"))]
    for reader in (*held, *refused):
        await reader.connect()
    assert [await reader.claim_name() for reader in held] == [True, True]
    assert [await reader.claim_name() for reader in refused] == [False, False]
    await held[0].leave()
    assert [await reader.claim_name() for reader in refused] == [True, False]
    for reader in (*held, *refused):
        await reader.leave()


async def test_a_lost_group_is_made_again_alone(stream: Stream, begin: Begin) -> None:
    """From its own ledger; the other group is where it was. Without the stream both are gone."""
    one, ledger = await begin("one")
    other, others = await begin("one", OTHER)
    await stream.append(*several(3))
    found = await one.read(10, 1.0)
    await one.ack([d.id for d in found], up_to(ledger, found), 3)
    await other.read(2, 1.0)
    stream.destroy_group(OTHER)
    with pytest.raises(GroupMissing):
        await other.read(1, 0.01)
    assert await one.position() == found[2].id
    assert await other.ensure_group(others) is True
    assert [d.seq for d in await other.read(10, 1.0)] == [1, 2, 3]
    assert await one.read(10, 0.01) == []
    stream.delete()
    for reader in (one, other):
        with pytest.raises(GroupMissing):
            await reader.position()
