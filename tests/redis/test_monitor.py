"""What operators are told: how much waits, exactly, and what the server would lose."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.redis.address import parse_url
from payflux.redis.append import RedisAppender
from payflux.redis.monitor import Durability, RedisMonitor
from payflux.stream.deliveries import Backlog
from payflux.stream.protocol import GROUP
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS, STATE, STREAM


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[RedisMonitor]:
    """An admin, closed in the end."""
    admin = RedisMonitor(parse_url(server.url), KEYS, GROUP)
    try:
        yield admin
    finally:
        admin.close()


async def fill(server: Server, count: int) -> None:
    """Append new events as a node does."""
    appender = RedisAppender(parse_url(server.url), KEYS, maxlen=0, window_sec=1000)
    task = asyncio.ensure_future(appender.run())
    events = []
    for number in range(count):
        uid = uuid.uuid4()
        events.append(StoredEvent(b'{"n":%d}' % number, str(uid), uid.bytes, "stripe"))
    async with asyncio.timeout(15):
        while not appender.connected:  # noqa: ASYNC110 - the server is another process
            await asyncio.sleep(0.002)
    stored: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    appender.append(events, lambda flags, _: stored.set_result(flags))
    assert await stored == b"1" * count
    task.cancel()
    appender.close()


def read(server: Server, count: int, name: str = "one") -> list[bytes]:
    """Read as a consumer does; the ids."""
    client: Any = server.client
    ((_, entries),) = client.xreadgroup(GROUP, name, {STREAM: ">"}, count=count)
    return [entry_id for entry_id, _ in entries]


async def test_an_empty_server_has_no_backlog(every_server: Server) -> None:
    """Nothing there, or a group without entries: zeros, not an error."""
    async with asking(every_server) as admin:
        assert await admin.backlog() == Backlog(0, 0, 0, 0)
        every_server.client.xgroup_create(STREAM, GROUP, "0", mkstream=True)
        assert await admin.backlog() == Backlog(0, 0, 0, 0)


async def test_the_backlog_is_exact_at_every_step(every_server: Server) -> None:
    """Unread, pending and dead entries are told apart, whatever was acked and whatever was left behind."""
    client: Any = every_server.client
    async with asking(every_server) as admin:
        await fill(every_server, 10)
        assert await admin.backlog() == Backlog(10, 0, 10, 0)  # nobody has read
        client.xgroup_create(STREAM, GROUP, "0")
        assert await admin.backlog() == Backlog(10, 0, 10, 0)
        ids = read(every_server, 4)
        assert await admin.backlog() == Backlog(10, 4, 6, 0)
        client.xack(STREAM, GROUP, ids[1], ids[3])  # two older ones are left
        assert await admin.backlog() == Backlog(10, 2, 6, 0)
        more = read(every_server, 3, "two")
        assert await admin.backlog() == Backlog(10, 5, 3, 0)
        client.xadd(DEAD_LETTERS, {"data": "{}"})
        client.xack(STREAM, GROUP, ids[0], ids[2], *more)
        assert await admin.backlog() == Backlog(10, 0, 3, 1)
        read(every_server, 10)
        assert await admin.backlog() == Backlog(10, 3, 0, 1)


@pytest.mark.parametrize("keep", [8, 5, 1, 0])
async def test_the_backlog_is_exact_after_trimming(every_server: Server, keep: int) -> None:
    """What was deleted waits no more, whether it was read, pending or unread."""
    client: Any = every_server.client
    await fill(every_server, 10)
    client.xgroup_create(STREAM, GROUP, "0")
    read(every_server, 4)
    client.xtrim(STREAM, maxlen=keep, approximate=False)
    async with asking(every_server) as admin:
        assert await admin.backlog() == Backlog(keep, 4, min(6, keep), 0)
        await fill(every_server, 2)
        assert await admin.backlog() == Backlog(keep + 2, 4, min(6, keep) + 2, 0)


async def test_a_group_that_began_late_has_only_that_to_read(every_server: Server) -> None:
    """The lag is that of the group, wherever it was made to begin."""
    client: Any = every_server.client
    await fill(every_server, 6)
    client.xgroup_create(STREAM, GROUP, "$")
    client.xgroup_create(STREAM, "another", "0")
    async with asking(every_server) as admin:
        assert (await admin.backlog()).lag == 0
        await fill(every_server, 2)
        assert (await admin.backlog()).lag == 2


async def test_entries_of_others_are_counted_as_far_as_they_show(every_server: Server) -> None:
    """Entries without a number before the first numbered one wait like any other."""
    client: Any = every_server.client
    client.xadd(STREAM, {"other": "x"})
    client.xadd(STREAM, {"data": "x", "seq": "many"})
    async with asking(every_server) as admin:
        assert (await admin.backlog()).lag == 2
        await fill(every_server, 5)
        assert (await admin.backlog()).lag == 7


async def test_keys_that_are_not_ours_hold_nothing(every_server: Server) -> None:
    """A key of the wrong type spoils its own number, not the others."""
    await fill(every_server, 3)
    every_server.client.set(DEAD_LETTERS, "mine")
    async with asking(every_server) as admin:
        assert await admin.backlog() == Backlog(3, 0, 3, 0)
        every_server.client.delete(STATE)
        every_server.client.set(STATE, "mine")
        assert (await admin.backlog()).length == 3
        every_server.client.delete(STREAM)
        every_server.client.set(STREAM, "mine")
        assert await admin.backlog() == Backlog(0, 0, 0, 0)


async def test_durability_is_what_the_server_says(every_server: Server) -> None:
    """Append-only file, fsync, eviction and role, as they are now."""
    client: Any = every_server.client
    async with asking(every_server) as admin:
        assert await admin.durability() == Durability("on", "everysec", "noeviction", "master")
        client.config_set("appendfsync", "always")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        client.replicaof("127.0.0.1", "1")
        assert await admin.durability() == Durability("off", "always", "allkeys-lru", "slave")


@pytest.mark.parametrize("forbidden", ["-config", "-info", "-@admin -@dangerous"])
async def test_what_may_not_be_asked_is_unknown(every_server: Server, forbidden: str) -> None:
    """A managed server forbids some questions: the others are answered, and the connection stays."""
    every_server.client.acl_setuser("app", enabled=True, nopass=True, keys=["*"], categories=["+@all"])
    client: Any = every_server.client
    client.execute_command("ACL", "SETUSER", "app", *forbidden.split())
    admin = RedisMonitor(parse_url(f"unix://app@{every_server.path}"), KEYS, GROUP)
    try:
        found = await admin.durability()
    finally:
        admin.close()
    assert found.fsync == ("unknown" if forbidden != "-info" else "everysec")
    assert found.aof == ("on" if forbidden == "-config" else "unknown")
    assert found.role == ("master" if forbidden == "-config" else "unknown")
    assert found.policy == ("unknown" if forbidden == "-@admin -@dangerous" else "noeviction")


async def test_a_server_that_wants_a_password_is_unavailable(server: Server) -> None:
    """Without a login nothing is known, and that is an error, not zeros."""
    async with asking(server) as admin:
        await admin.backlog()
        server.client.config_set("requirepass", "secret")
        server.client.client_kill_filter(_type="normal", skipme=True)
        for _ in range(2):  # the first finds the connection gone
            with pytest.raises(StreamUnavailable) as raised:
                await admin.backlog()
        assert raised.value.code == "redis_auth"


async def test_the_admin_connects_again(server: Server) -> None:
    """A server that is down is unavailable, and asked again when it is back."""
    await fill(server, 2)
    async with asking(server) as admin:
        assert (await admin.backlog()).length == 2
        server.kill()
        for _ in range(2):
            with pytest.raises(StreamUnavailable) as raised:
                await admin.backlog()
            assert raised.value.code == "redis_down"
        with pytest.raises(StreamUnavailable):
            await admin.durability()
        server.start()
        assert (await admin.backlog()).length == 2


def test_an_admin_that_never_asked_can_be_closed() -> None:
    """Closing what was never opened is no error."""
    admin = RedisMonitor(parse_url("redis://nowhere.invalid"), KEYS, GROUP)
    admin.close()
