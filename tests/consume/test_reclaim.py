"""Taking up what is pending: whose deliveries are counted, what is left to whom, and what has vanished."""

import pytest

from consumer_parts import Clock, Parts, Watched, good, put
from payflux.stream.deliveries import Delivery
from payflux.stream.memory import LEASE_SECONDS
from payflux.stream.protocol import LeaseLost
from payflux.telemetry.metrics import DEAD_LETTERED, REDELIVERED, STREAM_LOST


async def joined() -> Parts[Watched]:
    """On a stream with a clock."""
    clock = Clock()
    return await Parts(Watched(now=clock), clock=clock).join()


async def dead_read(one: Parts[Watched], count: int) -> list[Delivery]:
    """What another member reads and never acks."""
    return await one.stream.member("dead", "dead").read(count, 0.01)


async def test_after_a_hiccup_no_attempt_is_counted() -> None:
    """Nobody died: what is pending is processed, and its budget is untouched."""
    one = await joined()
    await put(one.stream, good(), good())
    await dead_read(one, 2)
    await one.reclaim.recover()
    assert one.stream.tried == []
    assert one.count(REDELIVERED) == 2
    assert await one.numbers() == [1, 2]


async def test_after_a_take_over_attempts_are_counted_until_it_is_done() -> None:
    """What may have killed its reader counts as delivered once more; the next recovery is a hiccup again."""
    one = await joined()
    await put(one.stream, good(), good())
    await dead_read(one, 2)
    one.reclaim.suspect()
    await one.reclaim.recover()
    assert one.stream.tried == [2]
    await put(one.stream, good())
    await dead_read(one, 1)
    await one.reclaim.recover()
    assert one.stream.tried == [2]
    assert await one.numbers() == [1, 2, 3]


async def test_what_was_tried_before_goes_alone() -> None:
    """Its neighbours must not be counted as delivered for its sake; with its budget used up it is dead-lettered."""
    one = await joined()
    await put(one.stream, good(), good(), good())
    deliveries = await dead_read(one, 3)
    for _ in range(4):
        await one.stream.attempt([deliveries[1].id])
    one.stream.tried.clear()
    one.reclaim.suspect()
    await one.reclaim.recover()
    assert one.stream.tried == [1, 1, 1]
    assert one.count(DEAD_LETTERED, "max_deliveries") == 1
    assert await one.numbers() == [1, 3]


async def test_a_sweep_takes_what_lies_idle_behind_us_now_and_then() -> None:
    """Not what another member works on, not what lies ahead, and not in every turn."""
    one = await joined()
    await put(one.stream, good(), good(), good())
    one.enricher.fails = {1}
    await one.settlement.process(await one.stream.follow(b"0-0", 2, 0.01), followed=True)
    await dead_read(one, 1)
    one.enricher.fails = set()
    await one.reclaim.sweep(count_attempt=True)
    one.clock.at += 14
    await one.reclaim.sweep(count_attempt=True)
    assert list(one.ledger.unacked)
    one.clock.at += 16
    await one.membership.renew()
    await one.reclaim.sweep(count_attempt=True)
    assert not one.ledger.unacked
    assert one.stream.backlog().pending == 1
    assert await one.numbers() == [2, 1]


async def test_what_is_neither_acked_nor_pending_has_vanished() -> None:
    """Deleted while it was pending: counted as trimmed when it is found, and nothing waits for it."""
    one = await joined()
    await put(one.stream, good(), good())
    one.enricher.fails = {1}
    await one.settlement.process(await one.stream.follow(b"0-0", 2, 0.01), followed=True)
    assert len(one.ledger.unacked) == 1
    one.stream.trim(0)
    await one.reclaim.recover()
    assert not one.ledger.unacked
    assert one.count(STREAM_LOST, "trimmed") == 1


async def test_what_somebody_else_acked_is_waited_for_no_longer() -> None:
    """An operator did, by hand: it is not pending, and nobody will give it to us."""
    one = await joined()
    await put(one.stream, good())
    one.enricher.fails = {1}
    await one.settlement.process(await one.stream.follow(b"0-0", 1, 0.01), followed=True)
    await one.stream.ack([*one.ledger.unacked], one.ledger.noted(), 1)
    await one.reclaim.recover()
    assert not one.ledger.unacked


async def test_nothing_is_taken_up_without_the_lease() -> None:
    """It is asked for before each slice, as there may be many: another may hold it by now."""
    one = await joined()
    other = Parts(one.stream.member("two", "two"), token="two", clock=one.clock)
    await put(one.stream, good())
    await dead_read(one, 1)
    one.clock.at += LEASE_SECONDS
    await other.membership.renew()
    with pytest.raises(LeaseLost):
        await one.reclaim.recover()
    assert one.count(REDELIVERED) == 0
