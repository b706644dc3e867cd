"""The in-memory stream and the other helpers for tests of applications."""

import asyncio

import pytest

from payflux.errors import StreamUnavailable
from payflux.stream.deliveries import Ledger
from payflux.stream.protocol import LeaseLost
from payflux.testing import MemoryStream
from streams import several


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.at = 1_767_960_000.0

    def __call__(self) -> float:
        """The time."""
        return self.at


async def stored(stream: MemoryStream, count: int) -> None:
    told = asyncio.Event()
    stream.append(several(count), lambda *_: told.set())
    await told.wait()


async def test_ids_follow_the_clock() -> None:
    """Milliseconds of the clock given, and never backwards."""
    clock = Clock()
    stream = MemoryStream(now=clock)
    await stored(stream, 2)
    clock.at -= 100
    await stored(stream, 1)
    clock.at += 100.5
    await stored(stream, 1)
    assert [entry.id for entry in stream.entries()] == [
        *(b"1767960000000-0", b"1767960000000-1", b"1767960000000-2", b"1767960000500-0")
    ]


async def test_lease_name_and_idle_time_expire_by_the_clock() -> None:
    """No test has to wait for them."""
    clock = Clock()
    one = MemoryStream("name", "one", now=clock)
    two = one.member("name", "two")
    ledger = Ledger("one")
    assert await one.claim_name()
    assert await one.take_lease(ledger, fresh=True) is not None
    await one.ensure_group(ledger)
    await stored(one, 1)
    await one.read(1, 0.1)
    assert await two.claim_name() is False
    assert await two.take_lease(Ledger("two"), fresh=True) is None
    assert await two.pending(b"0-0", 30) == []
    clock.at += 30
    with pytest.raises(LeaseLost):
        await one.ack([], ledger, 0)
    assert await two.claim_name() is True
    before = await two.take_lease(Ledger("two"), fresh=True)
    assert before is not None
    assert before.owner == "one"
    assert len(await two.pending(b"0-0", 30)) == 1


async def test_a_failure_stops_everything_until_it_is_taken_back() -> None:
    """As a server that is away."""
    stream = MemoryStream()
    stream.failure = StreamUnavailable("redis_down", "away")
    told: list[tuple[bytes, StreamUnavailable | None]] = []
    stream.append(several(2), lambda results, error: told.append((results, error)))
    await asyncio.sleep(0)
    assert told == [(b"", stream.failure)]
    for call in (stream.probe, stream.connect, stream.claim_name, lambda: stream.read(1, 0.01)):
        with pytest.raises(StreamUnavailable):
            await call()
    stream.failure = None
    await stored(stream, 1)
    assert [entry.seq for entry in stream.entries()] == [1]


async def test_its_length_is_bounded_and_its_backlog_known() -> None:
    """Exactly."""
    stream = MemoryStream(maxlen=3)
    await stream.ensure_group(Ledger())
    await stored(stream, 5)
    assert [entry.seq for entry in stream.entries()] == [3, 4, 5]
    assert stream.backlog() == (3, 0, 3, 0)
    await stream.read(2, 0.1)
    assert stream.backlog() == (3, 2, 1, 0)
