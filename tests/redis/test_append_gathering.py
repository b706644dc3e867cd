"""Scripts gather events while there may be more, and keep nobody waiting for those who cannot come."""

import asyncio

import pytest

from payflux.redis import append as redis_append
from servers import Server
from streams import append, appending, event, several, wait_for


def scripts(server: Server) -> int:
    """How many append scripts have run."""
    return int(server.client.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"])


async def test_a_script_waits_for_half_of_the_connections(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first goes out at once; then three of eight wait, and with the fourth all of them go."""
    monkeypatch.setattr(redis_append, "GATHER_SECONDS", 3600.0)
    async with appending(server, producers=lambda: 8) as appender:
        assert await append(appender, [event()]) == (b"1", "")
        answers: list[bytes] = []
        for _ in range(3):
            appender.append([event()], lambda flags, _: answers.append(flags))
            await asyncio.sleep(0)
        assert appender._link is not None
        await appender._link.call("PING")  # a round trip on the same connection
        assert (scripts(server), answers) == (1, [])
        assert await append(appender, [event()]) == (b"1", "")
        assert (scripts(server), answers) == (2, [b"1"] * 3)


async def test_a_batch_is_company_enough(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events count, not its connection."""
    monkeypatch.setattr(redis_append, "GATHER_SECONDS", 3600.0)
    async with appending(server, producers=lambda: 20) as appender:
        for _ in range(3):
            assert await append(appender, several(10)) == (b"1" * 10, "")
    assert scripts(server) == 3


async def test_nobody_waits_longer_than_a_moment(server: Server) -> None:
    """However many connections are open and silent; and not at the end either."""
    async with appending(server, producers=lambda: 4000) as appender:
        for _ in range(5):
            assert await append(appender, [event()]) == (b"1", "")
        answers: list[bytes] = []
        appender.append([event()], lambda flags, _: answers.append(flags))
        await appender.drain()
        assert answers == [b"1"]


async def test_what_waits_while_the_connection_is_lost_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not forgotten with the script it was to go with."""
    monkeypatch.setattr(redis_append, "GATHER_SECONDS", 0.3)
    async with appending(server, producers=lambda: 8) as appender:
        assert await append(appender, [event()]) == (b"1", "")
        answers: list[str] = []
        appender.append([event()], lambda _, error: answers.append(error.code if error else ""))
        server.client.client_kill_filter(skipme=True)
        await wait_for(lambda: answers)
        assert answers[0] in ("redis_down", "")
