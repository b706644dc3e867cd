"""The probe of the write path: it refuses whenever an append would, for the same reason, and changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from payflux.errors import StreamUnavailable
from payflux.redis.append import RedisAppender, mark_of
from servers import Server
from stream_keys import KEYS, STATE, STREAM
from streams import append, appending, event, fill, several

LAST = "18446744073709551615-18446744073709551615"


async def refusal(appender: RedisAppender) -> tuple[str, str]:
    """Code and key of the probe's refusal; empty when it found nothing."""
    try:
        await appender.probe()
    except StreamUnavailable as error:
        return error.code, error.key
    return "", ""


def of_another_type(key: str) -> Callable[[Any], object]:
    """Puts somebody's text where one of our keys was."""

    def spoil(client: Any) -> None:
        client.delete(key)
        client.set(key, "mine")

    return spoil


def may_not(*rules: str) -> Callable[[Any], object]:
    """Takes rights from everybody."""
    return lambda client: client.execute_command("ACL", "SETUSER", "default", *rules)


SPOILT: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "stream of another type": (of_another_type(STREAM), "redis_wrong_type", STREAM),
    "state of another type": (of_another_type(STATE), "redis_wrong_type", STATE),
    "no id left": (lambda client: client.xadd(STREAM, {"a": 1}, id=LAST), "redis_exhausted", STREAM),
    "state out of reach": (may_not("resetkeys", "~" + STREAM, "~" + KEYS.marks + "*"), "redis_forbidden", STATE),
    "stream out of reach": (may_not("resetkeys", "~{events_stream}:*"), "redis_forbidden", STREAM),
    "marks out of reach": (may_not("resetkeys", "~" + STREAM, "~" + STATE), "redis_forbidden", KEYS.marks),
    "no xadd": (may_not("-xadd"), "redis_forbidden", STREAM),
    "no hset": (may_not("-hset"), "redis_forbidden", STATE),
    "no sadd": (may_not("-sadd"), "redis_forbidden", KEYS.marks),
    "no xtrim": (may_not("-xtrim"), "redis_forbidden", STREAM),
    "full": (lambda client: client.config_set("maxmemory", 1), "redis_oom", STATE),
    "a replica": (lambda client: client.replicaof("127.0.0.1", "1"), "redis_readonly", ""),
    "too few replicas": (lambda client: client.config_set("min-replicas-to-write", 1), "redis_replicas", STATE),
    "layers that are none": (lambda client: client.hset(STATE, "layers", "1,x"), "redis_bad_value", STATE),
    "layers too deep": (lambda client: client.hset(STATE, "layers", "1,99,5,0,5,0"), "redis_bad_value", STATE),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_it_refuses_what_an_append_would(name: str, every_server: Server) -> None:
    """With the same code, naming the key."""
    spoil, code, key = SPOILT[name]
    await fill(every_server, 3)
    async with appending(every_server, maxlen=1000) as appender:
        assert await refusal(appender) == ("", "")
        spoil(every_server.client)
        found, about = await refusal(appender)
        assert (found, about[: len(key)]) == (code, key)
        assert await append(appender, [event()]) == (b"", code)


async def test_it_changes_nothing(every_server: Server) -> None:
    """Every key is what it was; where there was none, only the number 0 is noted."""
    client: Any = every_server.client
    async with appending(every_server, maxlen=2) as appender:
        await appender.probe()
        assert client.keys() == [STATE.encode()]
        assert client.hgetall(STATE) == {b"seq": b"0"}
        await append(appender, several(5))
        before = {key: client.dump(key) for key in client.scan_iter()}
        await appender.probe()
        assert {key: client.dump(key) for key in client.scan_iter()} == before


async def test_marks_that_cannot_be_read_are_remembered_until_they_can(every_server: Server) -> None:
    """One set of marks among thousands: whoever met it says so, and the probe asks after it."""
    client: Any = every_server.client
    one = event()
    key = f"{KEYS.marks}1:{mark_of(one.uid)[:3]}"
    async with appending(every_server) as appender:
        await append(appender, [event()])
        client.delete(key)
        client.set(key, "mine")
        assert await refusal(appender) == ("", "")
        for events in ([one], [event(), one]):
            assert (await append(appender, events))[1] == "redis_wrong_type"
            assert await refusal(appender) == ("redis_wrong_type", key)
        client.delete(key)
        assert await refusal(appender) == ("", "")
        assert await append(appender, [one]) == (b"1", "")
    assert b"suspect" not in client.hgetall(STATE)
