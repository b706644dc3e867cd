"""The consumer's loop on a stream in memory: the ways through its states, and a second consumer beside it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consumer_parts import Clock, Deaf, Parts, Watched, bad, good, put
from payflux.consume.consumer import Consumer
from payflux.consume.follow import MOST
from payflux.consume.settle import HALT_SECONDS
from payflux.consume.states import State
from payflux.errors import StreamUnavailable
from payflux.stream.deliveries import Delivery
from payflux.telemetry.metrics import CONSUMER_HALTED, GROUP_RECREATED, PROCESSED, STREAM_LOST
from payflux.testing import MemoryStream
from streams import wait_for


class Observed(Consumer):
    """A consumer that remembers the states it was in."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.states: list[State] = []
        super().__init__(*arguments, **options)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_state" and isinstance(value, State) and self.states[-1:] != [value]:
            self.states.append(value)
        super().__setattr__(name, value)


@asynccontextmanager
async def at_work(parts: Parts[Any], **options: Any) -> AsyncIterator[Observed]:
    """A consumer that runs, and ends in peace."""
    consumer = parts.consumer(Observed, **options)
    running = asyncio.ensure_future(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        await asyncio.wait_for(running, 10)
        await consumer.leave()


def came_to(consumer: Observed, *states: State) -> Callable[[], bool]:
    """Whether the last states were these."""
    return lambda: consumer.states[-len(states) :] == [*states]


START = [State.STANDBY, State.RECOVER, State.CAREFUL, State.FOLLOW]


async def test_it_begins_with_care_and_follows_when_it_has_caught_up() -> None:
    """What waits is read with care, what comes later followed; all of it comes out in order."""
    one = Parts(MemoryStream())
    await put(one.stream, good(), good())
    async with at_work(one) as consumer:
        await wait_for(came_to(consumer, State.FOLLOW))
        await put(one.stream, good())
        await wait_for(lambda: one.count(PROCESSED) == 3)
    assert consumer.states == START
    assert await one.numbers() == [1, 2, 3]
    assert one.stream.backlog().pending == 0


async def test_care_ends_with_what_a_dead_process_may_have_had_in_hand() -> None:
    """However long the backlog is: with care it would be worked off too slowly."""
    sizes = []

    class Measured(MemoryStream):
        async def read(self, count: int, block_seconds: float) -> list[Delivery]:
            sizes.append(count)
            return await super().read(count, block_seconds)

    one = Parts(Measured())
    await put(one.stream, *(good() for _ in range(3 * MOST)))
    async with at_work(one):
        await wait_for(lambda: one.count(PROCESSED) == 3 * MOST)
    assert sum(sizes) == 2 * MOST
    assert await one.numbers() == [*range(1, 3 * MOST + 1)]


async def test_it_stands_by_while_another_holds_the_lease() -> None:
    """Nothing is read; when the other leaves it goes on where that one got."""
    one = Parts(MemoryStream())
    other = Parts(one.stream.member("two", "two"), token="two")
    await put(one.stream, good())
    async with at_work(one):
        await wait_for(lambda: one.count(PROCESSED) == 1)
        async with at_work(other) as standing_by:
            await put(one.stream, good())
            await wait_for(lambda: one.count(PROCESSED) == 2)
            assert standing_by.states == [State.STANDBY]
        assert other.count(PROCESSED) == 0


@pytest.mark.parametrize("command", ["ack", "commit"])
async def test_a_lost_reply_makes_it_recover(command: str) -> None:
    """Then it goes on as before, and nothing is lost or doubled."""
    one = Parts(Deaf())
    async with at_work(one) as consumer:
        if command == "ack":
            one.stream.deaf_to = {"ack"}
            await put(one.stream, good(), bad(), good())
        await wait_for(came_to(consumer, State.FOLLOW))
        if command == "commit":
            one.stream.deaf_to = {"commit"}
            await put(one.stream, good(), bad(), good())
        await wait_for(lambda: one.count(PROCESSED) == 2 and one.stream.dead_letters())
        assert not one.stream.deaf_to
        assert State.RECOVER in consumer.states[2:]
    assert await one.numbers() == [1, 3]
    assert [one.count(STREAM_LOST, reason) for reason in ("trimmed", "reset", "crash")] == [0, 0, 0]


async def test_a_group_that_vanished_is_read_with_care_from_the_oldest_entry_not_acked() -> None:
    """The entry we failed on comes once more, though it is no longer pending; what was exported does not."""
    one = Parts(MemoryStream())
    one.enricher.fails = {2}
    async with at_work(one, claim_idle=60) as consumer:
        await put(one.stream, good(), good(), good())
        await wait_for(lambda: one.count(PROCESSED) == 2)
        await wait_for(came_to(consumer, State.FOLLOW))
        one.enricher.fails = set()
        one.stream.destroy_group()
        await put(one.stream, good())
        await wait_for(lambda: one.count(PROCESSED) == 4)
    assert await one.numbers() == [1, 3, 2, 4]
    assert one.count(GROUP_RECREATED) == 1
    assert one.count(STREAM_LOST, "trimmed") == 0


async def test_a_group_that_vanishes_with_a_reply_gives_everything_once() -> None:
    """The ack is forgotten with the group, which begins before it: not even the next recovery counts it again."""
    one = Parts(Deaf())
    async with at_work(one) as consumer:
        await wait_for(came_to(consumer, *START))
        one.stream.deaf_to = {"commit"}
        one.stream.on_deaf = one.stream.destroy_group
        await put(one.stream, good(), good())
        await wait_for(lambda: one.count(PROCESSED) == 2)
        one.stream.failure = StreamUnavailable("redis_down", "gone")
        await wait_for(came_to(consumer, State.FOLLOW, State.RECOVER))
        one.stream.failure = None
        await wait_for(came_to(consumer, State.RECOVER, State.CAREFUL, State.FOLLOW))
        await put(one.stream, good())
        await wait_for(lambda: one.count(PROCESSED) == 3)
    assert await one.numbers() == [1, 2, 3]


async def test_a_vanished_group_is_made_again_at_once() -> None:
    """Not only when the lease is renewed, which this clock never comes to."""
    one = Parts(MemoryStream())
    async with at_work(one, now=one.clock) as consumer:
        await wait_for(came_to(consumer, *START))
        one.stream.destroy_group()
        await put(one.stream, good())
        await wait_for(lambda: one.count(PROCESSED) == 1)
    assert one.count(GROUP_RECREATED) == 1


async def test_only_a_take_over_counts_as_an_attempt() -> None:
    """What was pending when it came may have killed its reader; what is pending after a hiccup has not."""
    one = Parts(Watched())
    await put(one.stream, good())
    await (await one.join()).membership.leave()
    other = one.stream.member("dead", "dead")
    assert len(await other.read(1, 0.01)) == 1
    async with at_work(one) as consumer:
        await wait_for(came_to(consumer, *START))
        assert one.stream.tried == [1]
        one.stream.failure = StreamUnavailable("redis_down", "gone")
        await wait_for(came_to(consumer, State.RECOVER))
        await put(other, good())
        assert len(await other.read(1, 0.01)) == 1
        one.stream.failure = None
        await wait_for(lambda: one.count(PROCESSED) == 2)
        assert one.stream.tried == [1]


async def test_a_group_made_anew_holds_nothing_that_could_have_killed() -> None:
    """A take-over that finds no group leaves no suspicion behind."""
    one = Parts(Watched())
    async with at_work(one) as consumer:
        await wait_for(came_to(consumer, *START))
        other = one.stream.member("dead", "dead")
        one.stream.failure = StreamUnavailable("redis_down", "gone")
        await wait_for(came_to(consumer, State.RECOVER))
        await put(other, good())
        assert len(await other.read(1, 0.01)) == 1
        one.stream.failure = None
        await wait_for(lambda: one.count(PROCESSED) == 1)
        assert one.stream.tried == []


async def test_a_second_consumer_works_beside_it_for_a_group_of_its_own() -> None:
    """Without scores, with its own lease, ledger and numbers: both export, and neither counts for the other."""
    one = Parts(MemoryStream())
    await put(one.stream, good(), good())
    other = Parts(one.stream.member("two", "two", group="another"), token="two")
    other.enricher.fails = {2}
    async with at_work(one) as first, at_work(other) as second:
        await wait_for(came_to(first, *START))
        await wait_for(came_to(second, *START))
        await put(one.stream, good())
        await wait_for(lambda: one.count(PROCESSED) == 3 and other.count(PROCESSED) == 2)
        assert (one.stream.backlog().pending, other.stream.backlog().pending) == (0, 1)
    assert await one.numbers() == [1, 2, 3]
    assert await other.numbers() == [1, 3]
    assert [(await parts.stream.noted()).acked for parts in (one, other)] == [3, 2]
    assert other.count(STREAM_LOST, "trimmed") == 0


async def test_it_halts_and_looks_again() -> None:
    """Nothing is buried while it is halted, a minute later neither; the first valid entry passes and ends it."""
    one, ahead = Parts(MemoryStream()), Clock(0)
    async with at_work(one, now=lambda: time.monotonic() + ahead()) as consumer:
        await wait_for(came_to(consumer, *START))
        await put(one.stream, *(bad() for _ in range(150)))
        await wait_for(came_to(consumer, State.HALTED))
        assert one.count(CONSUMER_HALTED) == 1
        await put(one.stream, *(bad() for _ in range(150)))
        ahead.at += HALT_SECONDS
        await wait_for(lambda: consumer.states.count(State.HALTED) == 2)
        assert one.stream.dead_letters() == []
        await put(one.stream, *(good() for _ in range(500)))
        await wait_for(lambda: one.count(PROCESSED) == 500)
        await wait_for(lambda: one.count(CONSUMER_HALTED) == 0)
        await wait_for(lambda: len(one.stream.dead_letters()) == 300)
    assert await one.numbers() == [*range(301, 801)]


async def test_without_a_stream_it_tries_again() -> None:
    """It says so once, and begins when the stream is there."""
    one = Parts(MemoryStream())
    one.stream.failure = StreamUnavailable("redis_down", "gone")
    async with at_work(one) as consumer:
        await put(one.stream, good())
        one.stream.failure = None
        await put(one.stream, good())
        await wait_for(lambda: one.count(PROCESSED) == 1)
    assert consumer.states[:3] == START[:3]
