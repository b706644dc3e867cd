"""The contract of the stream, on every supported server and in memory alike: what applications' tests may rely on."""

import asyncio

import pytest

from both_streams import Begin, Stream, up_to
from payflux.stream.deliveries import Delivery, IncidentNews, IncidentsKept, Ledger, Told
from payflux.stream.protocol import GroupMissing, LeaseLost
from streams import event, several


def key(entry: bytes) -> tuple[int, ...]:
    return tuple(map(int, entry.split(b"-")))


async def test_events_are_appended_once_in_order_and_numbered(stream: Stream, begin: Begin) -> None:
    """Duplicates are told, within a batch and later; ids rise and numbers have no gap."""
    reader, _ = await begin("one")
    five = several(5)
    assert await stream.append(*five, five[2]) == b"111110"
    assert await stream.append(five[4], event(5)) == b"01"
    found = await reader.read(100, 1.0)
    assert [delivery.data for delivery in found] == [b'{"n":%d}' % number for number in range(6)]
    assert [delivery.seq for delivery in found] == [1, 2, 3, 4, 5, 6]
    assert [delivery.attempts for delivery in found] == [1] * 6
    assert sorted(found, key=lambda delivery: key(delivery.id)) == found
    assert len({delivery.id for delivery in found}) == 6


async def test_a_read_waits_for_the_first_event(stream: Stream, begin: Begin) -> None:
    """Not longer than told, and not longer than needed; at most `count` come."""
    reader, _ = await begin("one")
    assert await reader.read(10, 0.02) == []
    waiting = asyncio.create_task(reader.read(2, 10.0))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    assert await stream.append(*several(3)) == b"111"
    first = await asyncio.wait_for(waiting, 5)
    assert 1 <= len(first) <= 2
    assert len(first) + len(await reader.read(10, 1.0)) == 3


async def test_a_missing_group_is_told(stream: Stream, begin: Begin) -> None:
    """Before it is made, and after the stream was deleted; making it again begins at the start of the new stream."""
    reader, ledger = await begin("one", lease=False)
    assert await reader.take_lease(ledger, fresh=True) is not None
    with pytest.raises(GroupMissing):
        await reader.read(1, 0.01)
    with pytest.raises(GroupMissing):
        await reader.pending(b"0-0", 0)
    assert await reader.ensure_group(ledger) is True
    assert await reader.ensure_group(ledger) is False
    await stream.append(event())
    found = await reader.read(10, 1.0)
    ledger = up_to(ledger, found)
    stream.delete()
    with pytest.raises(GroupMissing):
        await reader.ack([found[0].id], ledger, 1)
    assert await reader.ensure_group(ledger) is True
    assert ledger.last_id == b"0-0"
    await stream.append(event(7))
    (again,) = await reader.read(10, 1.0)
    assert (again.data, again.seq) == (b'{"n":7}', 2)


async def test_acks_are_told_one_by_one_and_noted(stream: Stream, begin: Begin) -> None:
    """`1` for what was pending until now; the next holder learns what was noted."""
    reader, ledger = await begin("one")
    await stream.append(*several(4))
    found = await reader.read(10, 1.0)
    noted = up_to(ledger, found[:3])
    noted.settled, noted.unacked = 2, (found[1].id,)
    assert await reader.ack([found[0].id, found[2].id], noted, 4) == b"11"
    # With the belief of a consumer that did not hear of its first ack.
    assert await reader.ack([found[0].id, found[3].id], noted, 4) == b"01"
    await reader.leave()
    other, _ = await begin("two", lease=False)
    before = await other.take_lease(Ledger("token-two"), fresh=True)
    assert before == Ledger("token-one", 3, 2, found[2].id, 3, (found[1].id,))
    assert [d.id for d in await other.pending(b"0-0", 0)] == [found[1].id]


async def test_one_holds_the_lease(stream: Stream, begin: Begin) -> None:
    """Another one gets it only when it is given up; who does not hold it changes nothing."""
    reader, ledger = await begin("one")
    other, others = await begin("two", lease=False)
    await stream.append(event())
    found = await reader.read(10, 1.0)
    assert await other.take_lease(others, fresh=True) is None
    assert await reader.take_lease(ledger, fresh=False) is ledger
    for call in (lambda: other.ack([found[0].id], others, 1), lambda: other.dead_letter(found[0], "r", others)):
        with pytest.raises(LeaseLost):
            await call()
    assert stream.dead() == []
    await reader.leave()
    assert await other.take_lease(others, fresh=True) is not None
    former, _ = await begin("one", lease=False)
    with pytest.raises(LeaseLost):
        await former.ack([found[0].id], ledger, 1)
    assert await other.ack([found[0].id], up_to(others, found), 1) == b"1"


async def test_a_name_belongs_to_one_node(stream: Stream, begin: Begin) -> None:
    """Its own node may claim it again, others may have another one."""
    reader, _ = await begin("one")
    other, _ = await begin("two", lease=False)
    assert [await reader.claim_name(), await reader.claim_name(), await other.claim_name()] == [True] * 3


async def test_pending_entries_are_taken_over_in_order(stream: Stream, begin: Begin) -> None:
    """From after an id, only idle ones; an attempt is counted when told so; deleted ones are said to be gone."""
    reader, _ = await begin("one")
    await stream.append(*several(250))
    found = await reader.read(1000, 1.0)
    assert await reader.pending(b"0-0", 60) == []
    first = await reader.pending(b"0-0", 0)
    assert 0 < len(first) <= 200
    await reader.attempt([delivery.id for delivery in first])
    rest = await reader.pending(first[-1].id, 0)
    taken = [*first, *rest]
    assert [delivery.id for delivery in taken] == [delivery.id for delivery in found]
    assert [delivery.attempts for delivery in taken] == [1] * 250
    stream.trim(249)
    gone, kept, *_ = await reader.pending(b"0-0", 0)
    assert gone == Delivery(found[0].id, 0, None, 2, gone=True)
    assert kept == Delivery(found[1].id, 2, found[1].data, 2)


async def test_a_followed_range_is_done_but_for_what_becomes_pending(stream: Stream, begin: Begin) -> None:
    """In one step, with the ledger; the group stands behind it."""
    reader, ledger = await begin("one")
    await stream.append(*several(5))
    assert await reader.position() == b"0-0"
    found = await reader.follow(b"0-0", 3, 1.0)
    assert [delivery.seq for delivery in found] == [1, 2, 3]
    noted = up_to(ledger, found)
    await reader.commit(noted, b"0-0", 3, 0, [found[1].id])
    assert await reader.position() == (await reader.noted()).last_id == found[2].id
    assert (await reader.noted()).acked == 2
    assert [(d.id, d.attempts) for d in await reader.pending(b"0-0", 0)] == [(found[1].id, 1)]
    assert [delivery.seq for delivery in await reader.follow(found[2].id, 10, 1.0)] == [4, 5]
    assert [delivery.seq for delivery in await reader.read(10, 1.0)] == [4, 5]


async def test_what_became_of_incidents_is_kept_once(stream: Stream, begin: Begin) -> None:
    """Step by step, by the holder of the lease; a successor learns what is open, and what was known."""
    reader, _ = await begin("one")
    assert await reader.incidents() == IncidentsKept(-1, b"", {})
    opened = IncidentNews("opened", "stripe", "s-5", b"{}")
    steps = [Told(5, b"five", [opened]), Told(9, b"nine", [opened._replace(kind="updated", record=b"[]")])]
    for told in (steps[:1], steps, steps):
        await reader.keep_incidents(told)
    other, _ = await begin("two", lease=False)
    assert await other.incidents() == IncidentsKept(9, b"nine", {"s-5": b"[]"})
    with pytest.raises(LeaseLost):
        await other.keep_incidents([Told(11, b"", [opened._replace(kind="resolved")])])
    await reader.keep_incidents([Told(10, b"ten", [opened._replace(kind="resolved")])])
    assert await other.incidents() == IncidentsKept(10, b"ten", {})


async def test_a_dead_letter_is_kept_and_acked(stream: Stream, begin: Begin) -> None:
    """Once, with the original's bytes."""
    reader, ledger = await begin("one")
    await stream.append(event(3))
    (found,) = await reader.read(10, 1.0)
    assert await reader.dead_letter(found, "invalid_json", up_to(ledger, [found])) is True
    assert await reader.dead_letter(found, "invalid_json", up_to(ledger, [found])) is False
    assert stream.dead() == [(b'{"n":3}', "invalid_json")]
    assert await reader.pending(b"0-0", 0) == []


async def test_the_unread_tail_is_told(stream: Stream, begin: Begin) -> None:
    """The last number given, once no entry follows; None while one does."""
    reader, ledger = await begin("one")
    tail = await reader.unread_tail(ledger)
    assert tail is not None
    assert tail.seq == 0
    await stream.append(*several(3))
    assert await reader.unread_tail(ledger) is None
    stream.trim(0)
    tail = await reader.unread_tail(ledger)
    assert tail is not None
    assert tail.seq == 3


async def test_a_group_made_again_begins_before_what_was_left(stream: Stream, begin: Begin) -> None:
    """Or after the last entry noted when nothing was."""
    reader, ledger = await begin("one")
    await stream.append(*several(5))
    found = await reader.read(10, 1.0)
    stream.destroy_group()
    noted = up_to(ledger, found[:4])
    noted.unacked = (found[1].id,)
    assert await reader.ensure_group(noted) is True
    assert [delivery.seq for delivery in await reader.read(10, 1.0)] == [2, 3, 4, 5]
