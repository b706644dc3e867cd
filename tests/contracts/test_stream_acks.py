"""The contract of the stream, on every supported server: acks and dead letters."""

import time
from typing import Any

import pytest

from consumers import Node, consuming, entries, ids_of, noted, pending_ids
from payflux.errors import StreamUnavailable
from payflux.stream.deliveries import Ledger
from payflux.stream.protocol import GROUP, LeaseLost
from servers import Server
from stream_keys import DEAD_LETTERS, LEASE, STATE, STREAM
from streams import fill

# ack


async def test_an_ack_notes_the_ledger_and_renews_the_lease(every_server: Server) -> None:
    """One step: acked, counted, noted, renewed; an ack of nothing notes all the same."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.pexpire(LEASE, 200)
        assert await one.ack(found[:2], expected=3, settled=1, unacked=(found[2].id,)) == b"11"
        assert every_server.client.pttl(LEASE) > 1000
        assert pending_ids(every_server) == [found[2].id]
        assert noted(every_server) == {
            "owner": "token-one",
            "life": "0",
            "acked": "2",
            "settled": "1",
            "last_id": found[1].id.decode(),
            "last_seq": "2",
            "left": found[2].id.decode(),
        }
        one.ledger.settled = 2
        assert await one.reader.ack([], one.ledger, 1) == b""
        assert (noted(every_server)["acked"], noted(every_server)["settled"]) == ("2", "2")


async def test_an_ack_of_an_ack_finds_nothing(every_server: Server) -> None:
    """Each id is `1` once; nothing acked is counted twice."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        assert await one.ack(found[:1], expected=3) == b"1"
        assert await one.ack(found, expected=3) == b"011"
        assert await one.ack(found, expected=3) == b"000"
        assert noted(every_server)["acked"] == "3"


async def test_a_late_ack_takes_the_ledger_nowhere(every_server: Server) -> None:
    """From a connection that was given up: nothing of it is pending any more, and the ledger is further."""
    await fill(every_server, 5)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        late = Ledger("token-one", last_id=found[1].id, last_seq=2)
        await one.ack(found)
        before = noted(every_server)
        assert await one.reader.ack(ids_of(found[:2]), late, 2) == b"00"
        assert noted(every_server) == before


async def test_the_flags_are_right_when_somebody_else_acks(every_server: Server) -> None:
    """Foreign interference with the group is seen entry by entry."""
    await fill(every_server, 4)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.xack(STREAM, GROUP, found[0].id, found[2].id)
        assert await one.ack(found) == b"0101"
        assert noted(every_server)["acked"] == "2"


@pytest.mark.parametrize("stolen", [1, 2, 3])
async def test_a_thief_who_keeps_the_count_is_seen(every_server: Server, stolen: int) -> None:
    """Somebody acks of ours and reads as many others: the number of pending entries is the same, the flags are not."""
    await fill(every_server, 6)
    client: Any = every_server.client
    async with consuming(every_server) as (one,):
        found = await one.reader.read(3, 0.1)
        client.xack(STREAM, GROUP, *ids_of(found[:stolen]))
        client.xreadgroup(GROUP, "thief", {STREAM: ">"}, count=stolen)
        assert len(pending_ids(every_server)) == 3
        assert await one.ack(found) == b"0" * stolen + b"1" * (3 - stolen)
        assert noted(every_server)["acked"] == str(3 - stolen)
        assert len(pending_ids(every_server)) == stolen


@pytest.mark.parametrize("taker", [None, "another"])
async def test_without_the_lease_nothing_is_changed(every_server: Server, taker: str | None) -> None:
    """LeaseLost: a former holder acks nothing, buries nothing and notes nothing."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.set(LEASE, taker) if taker else every_server.client.delete(LEASE)
        before = noted(every_server)
        with pytest.raises(LeaseLost):
            await one.ack(found)
        with pytest.raises(LeaseLost):
            await one.reader.dead_letter(found[0], "invalid", one.ledger)
        assert pending_ids(every_server) == ids_of(found)
        assert noted(every_server) == before
        assert every_server.client.exists(DEAD_LETTERS) == 0


async def test_flushed_scripts_are_sent_again(every_server: Server) -> None:
    """NOSCRIPT is no failure of lease, ack or dead letter."""
    await fill(every_server, 2)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.script_flush()
        assert await one.reader.take_lease(one.ledger, fresh=False) is one.ledger
        every_server.client.script_flush()
        assert await one.ack(found[:1], expected=2) == b"1"
        every_server.client.script_flush()
        assert await one.reader.dead_letter(found[1], "invalid", one.ledger) is True


# dead letters


@pytest.mark.parametrize("data", [b"", b"\x00\xff\r\n{}", b'{"n": 1 }' * 20_000])
async def test_a_dead_letter_is_the_original_byte_for_byte(every_server: Server, data: bytes) -> None:
    """With its id, the reason and the time; acked then, and not buried twice."""
    client: Any = every_server.client
    client.xadd(STREAM, {"data": data, "seq": "1"})
    async with consuming(every_server) as (one,):
        (found,) = await one.reader.read(10, 0.1)
        one.ledger.last_id, one.ledger.last_seq = found.id, 1
        assert await one.reader.dead_letter(found, "invalid_json", one.ledger) is True
        assert await one.reader.dead_letter(found, "invalid_json", one.ledger) is False
        ((_, fields),) = entries(every_server, DEAD_LETTERS)
        stamp = fields.pop(b"timestamp").decode()
        assert fields == {b"data": data, b"original_id": found.id, b"reason": b"invalid_json"}
        assert (len(stamp), stamp[10], stamp[-1]) == (20, "T", "Z")
        assert pending_ids(every_server) == []
        assert noted(every_server)["last_id"] == found.id.decode()


async def test_a_dead_letter_is_left_behind_no_longer(every_server: Server) -> None:
    """The ledger's list of what was left loses the entry with the same step, and keeps the others."""
    await fill(every_server, 4)
    async with consuming(every_server, "one", "two") as (one, two):
        found = await one.reader.read(10, 0.1)
        await one.ack([found[0], found[3]], expected=4, unacked=(found[1].id, found[2].id))
        assert await one.reader.dead_letter(found[1], "invalid", one.ledger) is True
        await one.reader.leave()
        before = await two.reader.take_lease(two.ledger, fresh=True)
        assert before is not None
        assert before.unacked == (found[2].id,)
        assert pending_ids(every_server) == [found[2].id]


async def test_a_broken_dead_letter_stream_keeps_the_entry(every_server: Server) -> None:
    """With a key of the wrong type nothing is acked, and afterwards it can be buried."""
    await fill(every_server, 1)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(10, 0.1)
        every_server.client.set(DEAD_LETTERS, "mine")
        with pytest.raises(StreamUnavailable) as raised:
            await one.reader.dead_letter(found[0], "invalid", one.ledger)
        assert raised.value.code == "redis_wrong_type"
        assert pending_ids(every_server) == ids_of(found)
        every_server.client.delete(DEAD_LETTERS)
        assert await one.reader.dead_letter(found[0], "invalid", one.ledger) is True


async def test_the_unread_tail_is_told_from_a_deleted_one(every_server: Server) -> None:
    """The last number and the time when nothing follows, whatever was deleted; None while something follows."""
    async with consuming(every_server) as (one,):
        before = time.time()
        tail = await one.reader.unread_tail(one.ledger)
        assert tail is not None
        assert (tail.seq, abs(tail.at_ms / 1000 - before) < 5) == (0, True)
        await fill(every_server, 3)
        assert await one.reader.unread_tail(one.ledger) is None
        found = await one.reader.read(1, 0.1)
        await one.ack(found)
        every_server.client.xtrim(STREAM, maxlen=1, approximate=False)
        assert await one.reader.unread_tail(one.ledger) is None
        every_server.client.xtrim(STREAM, maxlen=0, approximate=False)
        assert await last_number(one) == 3


async def test_a_tail_that_never_was_is_not_unread(every_server: Server) -> None:
    """Whatever somebody wrote into the state: where no entry ever followed, the last number is that of the last one."""
    await fill(every_server, 3)
    async with consuming(every_server) as (one,):
        found = await one.reader.read(5, 0.1)
        await one.ack(found)
        for forged in ("5000000", "many", "-1"):
            every_server.client.hset(STATE, "seq", forged)
            assert await last_number(one) == 3
        every_server.client.xtrim(STREAM, maxlen=0, approximate=False)
        assert await last_number(one) == 3


async def last_number(one: Node) -> int | None:
    """The last number by the unread tail; None while something follows."""
    tail = await one.reader.unread_tail(one.ledger)
    return None if tail is None else tail.seq
