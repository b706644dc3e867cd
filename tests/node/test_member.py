"""A member: its process is started, heard, told and killed, and another takes its place."""

import asyncio
import os
import signal
from collections.abc import Iterator

import msgspec
import pytest

from payflux.node.member import Member
from payflux.node.plan import END, GIVEN, READY, Plan
from payflux.telemetry.metrics import create_slab
from payflux.telemetry.notes import CONSUMER, SUPERVISOR


@pytest.fixture
def member() -> Iterator[Member]:
    """An ingest process of a node whose Redis is away, without a socket; its settings are in the slab alone."""
    settings = {
        "PAYFLUX_API_KEY": "key",
        "PAYFLUX_CHECKOUT_ENABLED": "false",
        "REDIS_URL": "unix:///nowhere/redis.sock",
    }
    given = msgspec.json.encode(settings)
    slab = create_slab([SUPERVISOR, CONSUMER], **{GIVEN: len(given)})
    slab.bytes(GIVEN)[:] = given
    yield Member(Plan(CONSUMER, slab.fd, (), (), -1, False, True, 0, True, "token", "name"))
    os.close(slab.fd)


async def heard(said: "asyncio.Queue[bytes]") -> bytes:
    """What it says next."""
    async with asyncio.timeout(30):
        return await said.get()


@pytest.mark.process
async def test_a_process_says_when_it_is_at_work_and_ends_when_it_is_told(member: Member) -> None:
    """A second one is another process that has to say so again."""
    said: asyncio.Queue[bytes] = asyncio.Queue()
    pids = set()
    for _ in range(2):
        process = await member.start(lambda member: said.put_nowait(member.heard()))
        pids.add(process.pid)
        ready = [member.ready]
        assert await heard(said) == READY
        assert [*ready, member.ready] == [False, True]
        member.tell(END)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
        assert await heard(said) == b""
        member.ended()
        member.tell(END)  # nobody hears it
        assert member.heard() == b""
        assert (member.process, member.control) == (None, None)
        assert member.kill() is False
    assert len(pids) == 2


@pytest.mark.process
async def test_a_signal_is_passed_on_and_a_process_can_be_killed(member: Member) -> None:
    """What a child gets concerns the node, so it tells; `kill` ends it whatever it does."""
    said: asyncio.Queue[bytes] = asyncio.Queue()
    process = await member.start(lambda member: said.put_nowait(member.heard()))
    assert await heard(said) == READY
    process.send_signal(signal.SIGTERM)
    assert await heard(said) == END
    assert member.kill()
    async with asyncio.timeout(30):
        assert await process.wait() == -signal.SIGKILL
    member.ended()
