"""The consumer's connections to Redis; what it does with the stream is in the contract's tests."""

import pytest

from consumers import consuming
from payflux.errors import StreamUnavailable
from payflux.redis.address import parse_url
from payflux.redis.follow import RedisReader
from payflux.stream.protocol import GROUP
from servers import Server
from stream_keys import CONSUMER, KEYS, LEASE


async def test_a_node_that_never_connected_can_leave(server: Server) -> None:
    """Unconnected, every method says unavailable, and leaving is no error."""
    reader = RedisReader(parse_url(server.url), KEYS, GROUP, "one", "token")
    with pytest.raises(StreamUnavailable):
        await reader.read(1, 0.1)
    with pytest.raises(StreamUnavailable):
        await reader.claim_name()
    await reader.leave()


async def test_any_consumer_name_connects(server: Server) -> None:
    """Redis takes no blanks and no letters beyond ASCII in the name of a connection; ours is made to fit."""
    reader = RedisReader(parse_url(server.url), KEYS, GROUP, "Büro 1\n" * 20, "token")
    await reader.connect()
    assert await reader.claim_name() is True
    await reader.leave()


async def test_leaving_frees_lease_and_name_without_a_group(every_server: Server) -> None:
    """Also when the group is missing, as after a FLUSHALL, a successor need not wait for them to expire."""
    async with consuming(every_server) as (one,):
        every_server.client.flushall()
        assert await one.reader.claim_name() is True
        assert await one.reader.take_lease(one.ledger, fresh=False) is not None
        await one.reader.leave()
        assert every_server.client.exists(LEASE, CONSUMER + "one") == 0
