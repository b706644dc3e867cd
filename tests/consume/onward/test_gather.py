"""Gathering: a batch is given when it is large or old enough, and nothing is left out or given twice."""

import pytest

from consumer_parts import Clock, good, put
from payflux.consume.onward.gather import Gatherer
from payflux.exporters import Batch
from payflux.stream.deliveries import Delivery
from payflux.testing import MemoryStream

FIRST = b"0-0"


@pytest.fixture
def clock() -> Clock:
    """It stands still."""
    return Clock()


async def test_a_batch_is_given_when_it_has_events_enough(clock: Clock) -> None:
    """In order, one after the other; the rest waits."""
    stream = MemoryStream()
    await put(stream, *[good() for _ in range(7)])
    gatherer = Gatherer(stream, Batch(3, 1 << 20, 60), clock)
    first = await gatherer.read(FIRST)
    second = await gatherer.read(first[-1].id)
    assert [one.seq for one in (*first, *second)] == [1, 2, 3, 4, 5, 6]
    assert await gatherer.read(second[-1].id) == []


async def test_a_batch_is_given_when_it_is_large_enough(clock: Clock) -> None:
    """By the bytes of its events, about."""
    stream = MemoryStream()
    await put(stream, *[good() for _ in range(50)])
    size = len(stream.entries()[0].data or b"")
    gatherer = Gatherer(stream, Batch(1000, 10 * size, 60), clock)
    batch: list[Delivery] = []
    for _ in range(20):
        batch = batch or await gatherer.read(FIRST)
    assert 9 <= len(batch) <= 20


async def test_a_batch_is_given_when_its_first_event_has_waited(clock: Clock) -> None:
    """With all that came meanwhile; one that waits for none is given what is there."""
    stream = MemoryStream()
    await put(stream, good())
    gatherer = Gatherer(stream, Batch(1000, 1 << 20, 60), clock)
    assert await gatherer.read(FIRST) == []
    await put(stream, good())
    clock.at += 61
    assert [one.seq for one in await gatherer.read(FIRST)] == [1, 2]
    assert [one.seq for one in await Gatherer(stream, Batch(1000, 1 << 20, 0), clock).read(FIRST)] == [1, 2]


async def test_what_is_forgotten_is_read_again(clock: Clock) -> None:
    """Also when reading goes on elsewhere; a probe takes only a few."""
    stream = MemoryStream()
    await put(stream, *[good() for _ in range(4)])
    gatherer = Gatherer(stream, Batch(5, 1 << 20, 60), clock)
    assert await gatherer.read(FIRST) == []
    gatherer.forget()
    assert await gatherer.read(FIRST) == []
    second = stream.entries()[1].id
    assert await gatherer.read(second) == []
    assert [one.seq for one in await gatherer.probe(FIRST, 2)] == [1, 2]
    clock.at += 61
    await put(stream, good())
    assert await gatherer.read(second) == []
    clock.at += 61
    await put(stream, good())
    found = await gatherer.read(second)
    assert [one.seq for one in found] == [3, 4, 5, 6]
    assert gatherer.in_hand == 0
