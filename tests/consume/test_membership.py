"""Membership: who holds name and lease, what a consumer is told of it, and a group that has vanished."""

import pytest

from consumer_parts import Clock, Parts, good, put
from payflux.consume.membership import (
    HOLDER_PATIENCE_SECONDS,
    NAME_PATIENCE_SECONDS,
    RENEW_SECONDS,
    STANDBY_SECONDS,
)
from payflux.consume.states import News
from payflux.errors import ConsumerNameTaken, StreamUnavailable
from payflux.stream.deliveries import Ledger
from payflux.stream.memory import LEASE_SECONDS
from payflux.stream.protocol import LeaseLost
from payflux.telemetry.metrics import CONSUMER_ACTIVE, GROUP_RECREATED, STREAM_LOST
from payflux.testing import MemoryStream


def two() -> tuple[Parts[MemoryStream], Parts[MemoryStream]]:
    """Two consumers of different nodes, on one stream and with one clock."""
    clock = Clock()
    stream = MemoryStream("one", "one", now=clock)
    return Parts(stream, clock=clock), Parts(stream.member("two", "two"), token="two", clock=clock)


async def test_the_lease_is_taken_then_kept_and_asked_for_in_time_only() -> None:
    """New at first; a turn later there is nothing to ask; then it is kept."""
    one, _ = two()
    assert await one.membership.renew() is News.LEASE_TAKEN
    assert one.count(CONSUMER_ACTIVE) == 1
    assert await one.membership.renew() is None
    one.clock.at += RENEW_SECONDS
    assert await one.membership.renew() is News.LEASE_KEPT


async def test_who_comes_second_waits_until_the_first_is_gone() -> None:
    """It asks every half second, and goes on from the ledger of the first, whose unexported events it counts."""
    one, other = two()
    await put(one.stream, good(), good())
    await one.join()
    first, second = await one.stream.read(2, 0.01)
    await one.stream.ack([first.id], Ledger("one", last_id=second.id, last_seq=2, unacked=(second.id,)), 2)
    assert await other.membership.renew() is News.LEASE_LOST
    assert other.count(CONSUMER_ACTIVE) == 0
    assert await other.membership.renew() is None
    other.clock.at += STANDBY_SECONDS
    assert await other.membership.renew() is News.LEASE_LOST
    other.clock.at += LEASE_SECONDS
    assert await other.membership.renew() is News.LEASE_TAKEN
    assert other.ledger.last_id == second.id
    assert list(other.ledger.unacked) == [second.id]
    assert other.count(STREAM_LOST, "crash") == 1


async def test_a_lease_that_was_anothers_during_long_work_is_told_with_the_next_turn() -> None:
    """The work is broken off, and the news is that it was taken, not that it was kept."""
    one, other = two()
    await one.join()
    one.clock.at += LEASE_SECONDS
    assert await other.membership.renew() is News.LEASE_TAKEN
    one.clock.at += LEASE_SECONDS
    with pytest.raises(LeaseLost):
        await one.membership.stay()
    one.membership.lost()
    assert await one.membership.renew() is News.LEASE_TAKEN
    one.clock.at += RENEW_SECONDS
    assert await one.membership.renew() is News.LEASE_KEPT


async def test_a_lease_another_holds_ends_long_work() -> None:
    """Nothing else may be done with the stream then."""
    one, other = two()
    await one.join()
    one.clock.at += LEASE_SECONDS
    await other.membership.renew()
    with pytest.raises(LeaseLost):
        await one.membership.stay()
    assert one.count(CONSUMER_ACTIVE) == 0


async def test_long_work_goes_on_while_the_stream_is_away() -> None:
    """The lease is asked for again a little later; a turn of the loop would have raised."""
    one, _ = two()
    await one.join()
    one.clock.at += RENEW_SECONDS
    one.stream.failure = StreamUnavailable("redis_down", "gone")
    await one.membership.stay()
    one.clock.at += STANDBY_SECONDS
    with pytest.raises(StreamUnavailable):
        await one.membership.renew()
    one.stream.failure = None
    await one.membership.stay()
    assert await one.membership.renew() is None


async def test_a_name_in_use_is_waited_for_in_patience() -> None:
    """As long as a dead node keeps it and a little more; then the consumer gives up."""
    clock = Clock()
    stream = MemoryStream("twin", "one", now=clock)
    one, other = Parts(stream, clock=clock), Parts(stream.member("twin", "two"), token="two", clock=clock)
    await one.membership.renew()
    for _ in range(int(NAME_PATIENCE_SECONDS)):
        assert await other.membership.renew() is News.LEASE_LOST
        clock.at += 1
        await one.membership.renew()
    await other.membership.renew()
    clock.at += 1
    await one.membership.renew()
    with pytest.raises(ConsumerNameTaken):
        await other.membership.renew()


async def test_the_group_is_made_once_and_asked_for_after_each_renewal() -> None:
    """The first time it is new; made anew it is counted, and nobody asks while nothing speaks against it."""
    one, _ = two()
    await put(one.stream, good())
    await one.membership.renew()
    assert await one.membership.ensure_group()
    assert one.count(GROUP_RECREATED) == 0
    one.stream.delete()
    assert not await one.membership.ensure_group()
    one.clock.at += RENEW_SECONDS
    await one.membership.renew()
    assert await one.membership.ensure_group()
    assert one.count(GROUP_RECREATED) == 1
    assert one.ledger.last_id == b"0-0"


def flush(one: Parts[MemoryStream]) -> None:
    """All that was kept for the group is gone."""
    one.stream._group.lease, one.stream._group.ledger = ("", float("-inf")), Ledger()


async def test_a_holder_whose_ledger_vanished_is_waited_for() -> None:
    """It knows best where it was, even before it noted anything; after three seconds it is taken for dead."""
    one, other = two()
    await one.join()
    assert await other.membership.renew() is News.LEASE_LOST
    flush(one)
    other.clock.at += STANDBY_SECONDS
    assert await other.membership.renew() is News.LEASE_LOST
    one.membership.lost()
    assert await one.membership.renew() is News.LEASE_TAKEN
    other.clock.at += STANDBY_SECONDS
    assert await other.membership.renew() is News.LEASE_LOST
    flush(one)
    for _ in range(int(HOLDER_PATIENCE_SECONDS / STANDBY_SECONDS)):
        other.clock.at += STANDBY_SECONDS
        assert await other.membership.renew() is News.LEASE_LOST
    other.clock.at += STANDBY_SECONDS
    assert await other.membership.renew() is News.LEASE_TAKEN


class Vanishing(MemoryStream):
    """A stream of which everything that is kept for the group vanishes once the ledger was read."""

    async def noted(self) -> Ledger:
        """The ledger, for the last time; see ReadStream."""
        found = await super().noted()
        self._group.lease, self._group.ledger = ("", float("-inf")), Ledger()
        return found


async def test_what_was_seen_a_moment_before_everything_vanished_is_known() -> None:
    """The lease is free all of a sudden, and the place of its holder is where the other goes on from."""
    clock = Clock()
    stream = Vanishing("one", "one", now=clock)
    await put(stream, *(good() for _ in range(3)))
    stream._group.ledger = Ledger("two", acked=3, settled=3, last_id=stream.entries()[-1].id, last_seq=3)
    one = Parts(stream, clock=clock)
    assert await one.membership.renew() is News.LEASE_TAKEN
    assert one.ledger.noted().last_seq == 3
    assert one.count(STREAM_LOST, "crash") == 0


async def test_who_leaves_notes_its_ledger_and_lets_the_next_one_in() -> None:
    """At once, under the same name too."""
    one, other = two()
    await one.join()
    await one.membership.leave()
    assert await other.membership.renew() is News.LEASE_TAKEN
    assert other.count(STREAM_LOST, "crash") == 0
