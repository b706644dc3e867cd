"""A primary whose clock is behind while events keep coming: what was accepted comes out, or is counted by number."""

import asyncio

import pytest

from consumers import pending_ids
from faulty import NodeInTest, State, clock_ahead
from servers import Server
from streams import wait_for

BATCH = 50


async def producing(node: NodeInTest, ids: list[str], ending: asyncio.Event) -> None:
    """Batch after batch, as fast as they are taken."""
    while not ending.is_set():
        ids += await node.send(BATCH)


@pytest.mark.parametrize(
    ("behind_ms", "export_first"),
    [
        (3000, False),
        *(pytest.param(*case, marks=pytest.mark.thorough) for case in ((2000, False), (60_000, True), (3000, True))),
    ],
)
async def test_a_clock_that_is_behind_under_load(every_server: Server, behind_ms: int, export_first: bool) -> None:
    """What it accepts comes out within five seconds, though the clock has not caught up; the rest is counted."""
    node, ids, ending = NodeInTest(every_server, export_first=export_first), list[str](), asyncio.Event()
    node.start()
    sending = asyncio.create_task(producing(node, ids, ending))
    await wait_for(lambda: node.processed >= 20 * BATCH)
    state = State(every_server)
    clock_ahead(every_server, behind_ms)
    await wait_for(lambda: node.processed >= 40 * BATCH)
    state.restore()
    before = len(ids)
    await wait_for(lambda: len(ids) >= before + 20 * BATCH)
    async with asyncio.timeout(5):
        while not set(ids[before + BATCH : before + 10 * BATCH]) <= set(node.lines):  # noqa: ASYNC110 - as they come
            await asyncio.sleep(0.05)
    ending.set()
    await sending
    await wait_for(lambda: pending_ids(every_server) == [] and ids[-1] in node.lines)
    await wait_for(lambda: sum(node.lost().values()) == len(set(ids) - set(node.lines)))
    assert set(node.lost()) <= {"reset"}
    assert len(node.lines) == len(set(node.lines))
    await node.end()
