"""A consumer on a real server whose data or keys are not as they should be: all comes out or is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumer_parts import Parts, bad, good
from consumers import pending_ids
from payflux.consume.consumer import Consumer
from payflux.consume.follow import BATCH
from payflux.redis.address import parse_url
from payflux.redis.follow import RedisReader
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import DEAD_LETTERED, PROCESSED, STREAM_LOST
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS
from streams import append, appending, wait_for


def parts(server: Server, name: str = "one") -> Parts[RedisReader]:
    """The parts of a consumer on a server, with the clock that runs."""
    return Parts(RedisReader(parse_url(server.url), KEYS, GROUP, name, name), token=name)


@asynccontextmanager
async def at_work(one: Parts[RedisReader]) -> AsyncIterator[Consumer]:
    """A consumer that runs, and ends in peace."""
    consumer = one.consumer(Consumer)
    running = asyncio.ensure_future(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        await asyncio.wait_for(running, 10)
        await consumer.leave()


def lost(*several: Parts[RedisReader]) -> dict[str, float]:
    """What was counted as lost, by reason."""
    reasons = ("trimmed", "reset", "crash")
    return {reason: sum(one.count(STREAM_LOST, reason) for one in several) for reason in reasons}


NOTHING = {"trimmed": 0, "reset": 0, "crash": 0}


async def test_an_unusable_dead_letter_key_stops_no_good_event(every_server: Server) -> None:
    """The bad entry waits, the good ones come out, nothing counts as lost; healed, it is dead-lettered in seconds."""
    every_server.client.set(DEAD_LETTERS, "x")
    one = parts(every_server)
    async with appending(every_server) as appender, at_work(one):
        await append(appender, [bad()])
        await append(appender, [good() for _ in range(500)])
        await wait_for(lambda: one.count(PROCESSED) == 500)
        assert len(pending_ids(every_server)) == 1
        every_server.client.delete(DEAD_LETTERS)
        await wait_for(lambda: one.count(DEAD_LETTERED, "invalid_json") == 1)
        assert pending_ids(every_server) == []
        assert every_server.client.xlen(DEAD_LETTERS) == 1
        await append(appender, [good() for _ in range(BATCH)])
        await wait_for(lambda: one.count(PROCESSED) == 500 + BATCH)
    assert lost(one) == NOTHING
