"""Readiness and health: each is true, and cheap to ask."""

import asyncio
import json
import os
import time
from collections.abc import Iterator

import pytest

from payflux.errors import StreamUnavailable
from payflux.http.messages import Response
from payflux.operations.health import BEAT_SECONDS, FRESH_SECONDS, OK, Readiness
from payflux.redis.monitor import STALLED_SECONDS, Progress
from payflux.telemetry.metrics import CONSUMER_ACTIVE, CONSUMER_HALTED, Metrics, create_slab
from payflux.telemetry.notes import CONSUMER, SUPERVISOR
from payflux.telemetry.slab import Slab


@pytest.fixture
def slab() -> Iterator[Slab]:
    """The shared memory of a node with a consumer."""
    slab = create_slab([SUPERVISOR, CONSUMER, "ingest-0"])
    yield slab
    os.close(slab.fd)


class WritePath:
    """A write path that works until it is broken, and counts how often it was tried."""

    def __init__(self) -> None:
        self.tried = 0
        self.broken: StreamUnavailable | None = None
        self.gate: asyncio.Event | None = None
        self.flow = Progress(None, None, led=True)
        self.asked = 0

    async def progress(self) -> Progress:
        """What comes out of the stream."""
        self.asked += 1
        return self.flow

    async def probe(self) -> None:
        """Try it."""
        self.tried += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.broken is not None:
            raise self.broken


class Node:
    """A node's readiness, with a clock set by hand."""

    def __init__(self, slab: Slab, *, consumes: bool = True) -> None:
        self.time = 5000.0
        self.path = WritePath()
        self.metrics = Metrics(slab, CONSUMER)
        self.supervisor, self.consumer = Metrics(slab, SUPERVISOR).notes, self.metrics.notes
        consumer = self.metrics if consumes else None
        self.readiness = Readiness(
            self.path.probe, self.path.progress, self.supervisor, consumer, now=lambda: self.time
        )
        self.beat()

    def beat(self) -> None:
        """The consumer is at work now."""
        self.consumer.beat(self.time)

    def fail_parts(self, *, failing: bool) -> None:
        """The supervisor says whether a child keeps dying."""
        self.supervisor.fail(failing=failing)


@pytest.fixture
def node(slab: Slab) -> Node:
    """A node that is well."""
    return Node(slab)


def refused(response: Response) -> str:
    """The code of a 503."""
    assert response.status == 503
    assert b"Retry-After: 1\r\n" in response.head
    assert b"application/problem+json" in response.head
    code: str = json.loads(response.body)["code"]
    return code


async def test_a_node_that_is_well_says_ok(node: Node) -> None:
    """Health is the two letters a human or a script looks for."""
    for response in (await node.readiness.healthy(), await node.readiness.ready()):
        assert (response.status, response.body) == (200, b"ok\n")
        assert b"Content-Type: text/plain" in response.head


async def test_a_flood_of_questions_is_one_write(node: Node) -> None:
    """What was found is the answer for a second, then it is found anew."""
    for _ in range(50):
        assert await node.readiness.ready() is OK
        assert await node.readiness.healthy() is OK
        node.time += FRESH_SECONDS / 60
    assert node.path.tried == 1
    node.time += FRESH_SECONDS
    assert await node.readiness.ready() is OK
    assert node.path.tried == 2


async def test_questions_asked_at_once_wait_for_one_write(node: Node) -> None:
    """Those who ask while the write path is being tried get the same answer."""
    node.path.gate = asyncio.Event()
    asking = [asyncio.create_task(node.readiness.ready()) for _ in range(20)]
    async with asyncio.timeout(5):
        while not node.path.tried:  # noqa: ASYNC110 - nothing tells of its start
            await asyncio.sleep(0)
        node.time += FRESH_SECONDS * 2  # however long it takes
        node.path.gate.set()
        assert await asyncio.gather(*asking) == [OK] * 20
    assert node.path.tried == 1


async def test_a_broken_write_path_is_503_until_it_works(node: Node) -> None:
    """Readiness and health say why by the code, not in Redis's own words."""
    node.path.broken = StreamUnavailable("redis_readonly", "READONLY You can't write against a read only replica")
    assert refused(await node.readiness.ready()) == "redis_readonly"
    assert refused(await node.readiness.healthy()) == "redis_readonly"
    assert b"You can't write" not in (await node.readiness.ready()).body
    assert node.path.tried == 1
    node.path.broken = None
    node.time += FRESH_SECONDS * 1.01
    assert await node.readiness.healthy() is OK


async def test_a_part_that_keeps_dying_makes_the_node_unready(node: Node) -> None:
    """What the supervisor says counts before the write path is tried."""
    node.fail_parts(failing=True)
    assert refused(await node.readiness.ready()) == "part_failing"
    assert node.path.tried == 0
    node.fail_parts(failing=False)
    node.time += FRESH_SECONDS * 1.01
    assert await node.readiness.ready() is OK


async def test_a_silent_consumer_is_unhealthy_and_not_unready(node: Node) -> None:
    """Events can still be taken in, so only health fails, at once when the time is over and until the next beat."""
    node.time += BEAT_SECONDS
    assert await node.readiness.healthy() is OK
    node.time += 0.001
    assert refused(await node.readiness.healthy()) == "consumer_stuck"
    assert await node.readiness.ready() is OK
    node.beat()
    assert await node.readiness.healthy() is OK


async def test_nothing_comes_out(node: Node) -> None:
    """Only while events wait and nobody commits; then health alone fails, and says what the consumer meets."""
    for waiting, since in ((None, None), (None, 99), (STALLED_SECONDS, None), (99, STALLED_SECONDS), (99, 0)):
        node.path.flow = Progress(waiting, since, led=True)
        assert await node.readiness.healthy() is OK
        node.time += FRESH_SECONDS * 1.01
    for since in (None, STALLED_SECONDS + 1):
        node.path.flow = Progress(STALLED_SECONDS + 1, since, led=True)
        assert refused(await node.readiness.healthy()) == "consumer_stalled"
        assert await node.readiness.ready() is OK
        node.time += FRESH_SECONDS * 1.01
    node.consumer.meet("redis_forbidden")
    assert b"(redis_forbidden)" in (await node.readiness.healthy()).body
    node.consumer.meet("")
    assert b"(redis_forbidden)" not in (await node.readiness.healthy()).body


async def test_a_key_without_which_nothing_comes_out_is_named_at_once(node: Node) -> None:
    """Lease, ledger or stream of another type or out of reach; a dead-letter stream like that holds nobody up."""
    node.path.flow = Progress(None, 0, led=True, unusable=StreamUnavailable("redis_wrong_type", "a", "{s}:ledger"))
    assert refused(await node.readiness.healthy()) == "redis_wrong_type"
    assert b"({s}:ledger)" in (await node.readiness.healthy()).body
    assert await node.readiness.ready() is OK
    node.time += FRESH_SECONDS * 1.01
    node.path.flow = Progress(None, 0, led=True, unburied=StreamUnavailable("redis_wrong_type", "a", "dlq"))
    assert await node.readiness.healthy() is OK


async def test_a_halted_consumer_is_unhealthy_while_it_is_the_active_one(node: Node) -> None:
    """On standby it does not see what would end it."""
    node.metrics.set(CONSUMER_HALTED, to=1)
    assert await node.readiness.healthy() is OK
    node.metrics.set(CONSUMER_ACTIVE, to=1)
    assert refused(await node.readiness.healthy()) == "consumer_halted"
    assert await node.readiness.ready() is OK


async def test_progress_is_asked_once_a_second_and_of_consuming_nodes_alone(slab: Slab) -> None:
    """Each question is a script in Redis."""
    node = Node(slab)
    for _ in range(20):
        assert await node.readiness.healthy() is OK
        assert await node.readiness.progress() == node.path.flow
    assert node.path.asked == 1
    other = Node(slab, consumes=False)
    other.path.flow = Progress(99, None, led=False)
    assert await other.readiness.healthy() is OK
    assert await other.readiness.progress() is None
    assert other.path.asked == 0


async def test_a_node_without_consumer_needs_no_heartbeat(slab: Slab) -> None:
    """With `--role ingest` nobody beats."""
    node = Node(slab, consumes=False)
    node.time += 10 * BEAT_SECONDS
    assert await node.readiness.healthy() is OK


async def test_a_consumer_that_never_began_is_unhealthy(slab: Slab) -> None:
    """A node is not healthy before its consumer is at work, however long the machine runs."""
    node = Node(slab)
    node.consumer.beat(0.0)
    assert refused(await node.readiness.healthy()) == "consumer_stuck"


def test_the_clock_of_the_heartbeat_is_shared() -> None:
    """Readiness and consumer are different processes: their default clock has to be the machine's."""
    assert Readiness.__init__.__defaults__ == (time.monotonic,)
