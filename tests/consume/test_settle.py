"""Settling batches: acks whose reply is lost, dead letters, and lines that are to be safe first."""

import pytest

from consumer_parts import Deaf, Parts, bad, good, put
from payflux.consume.membership import RENEW_SECONDS
from payflux.errors import StreamUnavailable
from payflux.stream.protocol import LeaseLost
from payflux.telemetry.metrics import DEAD_LETTERED, PROCESSED, STREAM_LOST


async def test_a_batch_is_acked_then_exported() -> None:
    """Read or followed: the lines come out, the invalid entry is dead-lettered, and nothing stays pending."""
    for followed in (False, True):
        one = await Parts(Deaf()).join()
        await put(one.stream, good(), bad(), good())
        read = one.stream.follow(b"0-0", 9, 0.01) if followed else one.stream.read(9, 0.01)
        await one.settlement.process(await read, followed=followed)
        assert await one.numbers() == [1, 3]
        assert [reason for _, reason in one.stream.dead_letters()] == ["invalid_json"]
        assert one.stream.backlog().pending == 0
        assert not one.ledger.unacked
        assert one.count(PROCESSED) == 2


@pytest.mark.parametrize("happened", [True, False])
async def test_an_ack_of_what_was_read_has_no_reply(happened: bool) -> None:
    """What is still pending tells; neither lines nor losses are counted twice, though an invalid entry is among it."""
    one = await Parts(Deaf()).join()
    await put(one.stream, good(), good(), bad(), good(), good())
    deliveries = await one.stream.read(9, 0.01)
    if happened:
        one.stream.deaf_to = {"ack"}
    else:
        one.stream.failure = StreamUnavailable("redis_down", "gone")
    with pytest.raises(StreamUnavailable):
        await one.settlement.process(deliveries)
    one.stream.failure = None
    await one.reclaim.recover()
    assert await one.numbers() == [1, 2, 4, 5]
    assert one.stream.backlog().pending == 0
    assert len(one.stream.dead_letters()) == 1
    assert one.count(STREAM_LOST, "trimmed") == 0
    assert one.count(PROCESSED) == 4
    assert (await one.stream.noted()).acked == 4


@pytest.mark.parametrize("happened", [True, False])
async def test_a_commit_of_what_was_followed_has_no_reply(happened: bool) -> None:
    """How far the group is tells; what is not noted is followed again, and the failed entry is tried again."""
    one = await Parts(Deaf()).join()
    await put(one.stream, good(), good(), good())
    one.enricher.fails = {2}
    deliveries = await one.stream.follow(b"0-0", 9, 0.01)
    if happened:
        one.stream.deaf_to = {"commit"}
    else:
        one.stream.failure = StreamUnavailable("redis_down", "gone")
    with pytest.raises(StreamUnavailable):
        await one.settlement.process(deliveries, followed=True)
    one.stream.failure = None
    await one.reclaim.recover()
    again = await one.stream.follow(one.ledger.last_id, 9, 0.01)
    assert [delivery.seq for delivery in again] == ([] if happened else [1, 2, 3])
    if again:
        await one.settlement.process(again, followed=True)
    assert list(one.ledger.unacked) == [deliveries[1].id]
    one.enricher.fails = set()
    await one.reclaim.recover()
    assert await one.numbers() == [1, 3, 2]
    assert one.count(STREAM_LOST, "trimmed") == 0


async def test_a_burial_without_a_reply_is_counted_once() -> None:
    """It happened; that it is pending no more tells so."""
    one = await Parts(Deaf()).join()
    await put(one.stream, bad(), good())
    deliveries = await one.stream.read(9, 0.01)
    one.stream.deaf_to = {"dead_letter"}
    with pytest.raises(StreamUnavailable):
        await one.settlement.process(deliveries)
    assert one.count(DEAD_LETTERED, "invalid_json") == 0
    await one.reclaim.recover()
    await one.reclaim.recover()
    assert one.count(DEAD_LETTERED, "invalid_json") == 1
    assert len(one.stream.dead_letters()) == 1
    assert await one.numbers() == [2]


async def test_an_ack_without_the_lease_changes_nothing() -> None:
    """Neither the ledger nor the lines; what was built is ready for the next time, so that it is scored once."""
    one = await Parts(Deaf()).join()
    await put(one.stream, good(), bad())
    deliveries = await one.stream.read(9, 0.01)
    await one.stream.leave()
    with pytest.raises(LeaseLost):
        await one.settlement.process(deliveries)
    assert one.ledger.last_id == b"0-0"
    assert not one.ledger.unacked
    one.clock.at += RENEW_SECONDS
    await one.membership.renew()
    one.enricher.fails = {1}
    await one.reclaim.recover()
    assert await one.numbers() == [1]


async def test_what_vanished_while_it_was_followed_is_trimmed() -> None:
    """An entry that could not be exported is gone before it can become pending: counted, and not waited for."""
    one = await Parts(Deaf()).join()
    await put(one.stream, bad(), good())
    deliveries = await one.stream.follow(b"0-0", 9, 0.01)
    one.stream.trim(1)
    await one.settlement.process(deliveries, followed=True)
    assert one.count(STREAM_LOST, "trimmed") == 1
    assert not one.ledger.unacked
    assert one.stream.dead_letters() == []
    assert await one.numbers() == [2]


async def test_nearly_everything_invalid_halts() -> None:
    """A hundred in a row are not buried; after a minute it may be tried again."""
    one = await Parts(Deaf()).join()
    await put(one.stream, *(bad() for _ in range(150)))
    await one.settlement.process(await one.stream.read(150, 0.01))
    assert one.stream.dead_letters() == []
    assert len(one.ledger.unacked) == 150
    assert one.settlement.halted
    one.clock.at += 61
    assert not one.settlement.halted
