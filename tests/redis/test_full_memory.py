"""A Redis whose memory is full: nothing more goes in, and everything comes out."""

import pytest

from consumers import Node, entries, noted, pending_ids
from payflux.stream.protocol import BurialRefused
from servers import Server
from stream_keys import DEAD_LETTERS
from streams import append, appending, fill, several


async def test_a_full_redis_is_drained(every_server: Server) -> None:
    """Name, lease, commit and ack work though appends are refused; what fails becomes pending and is acked later."""
    await fill(every_server, 9)
    every_server.client.config_set("maxmemory", 1)
    async with appending(every_server) as appender:
        assert await append(appender, several(1)) == (b"", "redis_oom")
    node = Node(every_server)
    await node.reader.connect()
    assert await node.reader.claim_name()
    assert await node.reader.claim_name()
    every_server.client.config_set("maxmemory", 0)
    await node.begin()
    every_server.client.config_set("maxmemory", 1)
    assert await node.reader.take_lease(node.ledger, fresh=False) is node.ledger
    found = await node.reader.follow(b"0-0", 9, 1.0)
    failed = found[3]
    node.ledger.last_id, node.ledger.last_seq, node.ledger.unacked = found[-1].id, 9, (failed.id,)
    assert await node.reader.commit(node.ledger, b"0-0", 9, 0, [failed.id]) == []
    assert pending_ids(every_server) == [failed.id]
    assert await node.ack([failed], 1, unacked=()) == b"1"
    assert (noted(every_server)["acked"], pending_ids(every_server)) == ("9", [])
    await node.reader.leave()


async def test_a_full_redis_keeps_what_it_cannot_bury(every_server: Server) -> None:
    """A dead letter would take memory: the entry stays pending, nothing of it is half done."""
    await fill(every_server, 1)
    node = await Node(every_server).begin()
    (found,) = await node.reader.read(1, 1.0)
    every_server.client.config_set("maxmemory", 1)
    with pytest.raises(BurialRefused):
        await node.reader.dead_letter(found, "invalid_json", node.ledger)
    assert pending_ids(every_server) == [found.id]
    every_server.client.config_set("maxmemory", 0)
    assert await node.reader.dead_letter(found, "invalid_json", node.ledger)
    assert pending_ids(every_server) == []
    assert len(entries(every_server, DEAD_LETTERS)) == 1
    await node.reader.leave()
