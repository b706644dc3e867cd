"""The dead-letter stream: read as it is, put back exactly once, deleted while it is read."""

from collections.abc import Callable
from typing import Any

import pytest

from operator_commands import bury, canonical, stream
from payflux.errors import StreamUnavailable
from payflux.redis import dead_letters
from payflux.redis.address import parse_url
from payflux.redis.dead_letters import DeadLetters
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS, STATE, STREAM


def held(server: Server) -> dict[str, Any]:
    """Everything Redis holds that a requeue may touch."""
    client = server.client
    seq = client.hget(STATE, "seq") if client.type(STATE) == b"hash" else None
    entries = client.xrange(STREAM) if client.type(STREAM) == b"stream" else None
    return {"stream": entries, "dead": client.xrange(DEAD_LETTERS), "seq": int(seq or 0)}


def forbid(server: Server, rule: str) -> None:
    """Forbid a command, or allow all again."""
    server.client.execute_command("ACL", "SETUSER", "default", rule)  # type: ignore[no-untyped-call]


OBSTACLES: dict[str, Callable[[Server], object]] = {
    "state of another type": lambda s: s.client.lpush(STATE, "x"),
    "stream of another type": lambda s: s.client.set(STREAM, "x"),
    "no memory": lambda s: s.client.config_set("maxmemory", "1"),
    "no right to delete": lambda s: forbid(s, "-xdel"),
    "no right to number": lambda s: forbid(s, "-hset"),
    "no right to append": lambda s: forbid(s, "-xadd"),
}
REMEDIES: dict[str, Callable[[Server], object]] = {
    "state of another type": lambda s: s.client.delete(STATE),
    "stream of another type": lambda s: s.client.delete(STREAM),
    "no memory": lambda s: s.client.config_set("maxmemory", "0"),
    "no right to delete": lambda s: forbid(s, "+@all"),
    "no right to number": lambda s: forbid(s, "+@all"),
    "no right to append": lambda s: forbid(s, "+@all"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
async def test_a_requeue_that_fails_changes_nothing(obstacle: str, every_server: Server) -> None:
    """Whatever stands in the way, the dead letter stays and nothing is appended; afterwards it goes through once."""
    entry_id = bury(every_server, canonical(), "max_deliveries").encode()
    OBSTACLES[obstacle](every_server)
    before = held(every_server)
    async with DeadLetters(parse_url(every_server.url), KEYS) as dead:
        for _ in range(2):
            with pytest.raises(StreamUnavailable):
                await dead.requeue(entry_id)
        assert held(every_server) == before
        REMEDIES[obstacle](every_server)
        assert await dead.requeue(entry_id) == 1
        assert await dead.requeue(entry_id) is None
    assert [fields[b"seq"] for fields in stream(every_server, STREAM)] == [b"1"]
    assert stream(every_server, DEAD_LETTERS) == []


async def test_a_lost_reply_does_not_double(server: Server) -> None:
    """The requeue happened, its reply never came: the next run finds nothing to do."""
    entry_id = bury(server, canonical(), "max_deliveries").encode()
    async with DeadLetters(parse_url(server.url), KEYS) as first, DeadLetters(parse_url(server.url), KEYS) as second:
        assert await first.requeue(entry_id) == 1
        assert await second.requeue(entry_id) is None
    assert len(stream(server, STREAM)) == 1


async def test_a_range_is_read_in_pages_while_it_is_deleted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends belong to it, nothing is skipped at the seam of two pages, and what came later is not in it."""
    monkeypatch.setattr(dead_letters, "PAGE", 3)
    for number in range(1, 9):
        bury(server, b"%d" % number, "invalid_json", entry_id=f"{number}-0")
    async with DeadLetters(parse_url(server.url), KEYS) as dead:
        newest = await dead.newest()
        bury(server, b"later", "invalid_json", entry_id="9-0")
        seen = []
        async for letter in dead.between(b"2-0", newest):
            seen.append(letter.data)
            assert await dead.purge([letter.id]) == 1
        assert await dead.purge([]) == 0
    assert seen == [b"2", b"3", b"4", b"5", b"6", b"7", b"8"]
    assert [fields[b"data"] for fields in stream(server, DEAD_LETTERS)] == [b"1", b"later"]


async def test_a_strangers_dead_letter_is_shown_as_far_as_it_goes(server: Server) -> None:
    """Anybody may have written it: without data, with other fields, in no encoding."""
    client: Any = server.client
    client.xadd(DEAD_LETTERS, {b"reason": b"\xff", b"\xfe": b"x"}, id="5-1")
    async with DeadLetters(parse_url(server.url), KEYS) as dead:
        (found,) = [letter async for letter in dead.between(b"0-0", await dead.newest())]
        assert (found.data, found.original_id, found.reason, found.further) == (b"", "", "\ufffd", {"\ufffd": "x"})
        with pytest.raises(StreamUnavailable, match="no data"):
            await dead.requeue(b"5-1")


async def test_without_dead_letters_the_newest_is_none(server: Server) -> None:
    """No stream, or a connection that was never made."""
    dead = DeadLetters(parse_url(server.url), KEYS)
    with pytest.raises(StreamUnavailable):
        await dead.newest()
    async with dead:
        assert await dead.newest() == b"0-0"
        assert [letter async for letter in dead.between(b"0-0", await dead.newest())] == []
