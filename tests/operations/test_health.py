"""What operators ask: readiness, health, metrics and export health of a node."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from payflux.errors import StreamUnavailable
from payflux.http.messages import Request, Response
from payflux.operations.health import (
    BEAT_SECONDS,
    CONSUMER,
    FRESH_SECONDS,
    OK,
    SUPERVISOR,
    Answer,
    ExportHealth,
    Readiness,
    Scrape,
    alive,
    routes,
)
from payflux.redis.address import parse_url
from payflux.redis.monitor import RedisMonitor
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import (
    EXPORT_LAST_ERROR,
    EXPORT_LAST_SUCCESS,
    EXPORT_REASONS,
    INGEST_ACCEPTED,
    Metrics,
    create_slab,
    state_slot,
)
from payflux.telemetry.slab import Slab
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS, STREAM

NOBODY = RedisMonitor(parse_url("unix:///nowhere/redis.sock"), KEYS, GROUP)


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
        self.readiness = Readiness(self.path.probe, slab, consumes=consumes, now=lambda: self.time)
        self._consumer, self._supervisor = slab.doubles("child:consumer"), slab.doubles("child:supervisor")
        self.beat()

    def beat(self) -> None:
        """The consumer is at work now."""
        self._consumer[state_slot("heartbeat")] = self.time

    def fail_parts(self, *, failing: bool) -> None:
        """The supervisor says whether a child keeps dying."""
        self._supervisor[state_slot("unready")] = float(failing)


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


# readiness and health


async def test_a_node_that_is_well_says_ok(node: Node) -> None:
    """Health is the two letters a human or a script looks for."""
    for response in (await node.readiness.healthy(), await node.readiness.ready(), await alive()):
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
        node.path.gate.set()
        assert await asyncio.gather(*asking) == [OK] * 20
    assert node.path.tried == 1


async def test_a_broken_write_path_is_503_until_it_works(node: Node) -> None:
    """Readiness and health say why by the code, not in Redis's own words; liveness is another matter."""
    node.path.broken = StreamUnavailable("redis_readonly", "READONLY You can't write against a read only replica")
    assert refused(await node.readiness.ready()) == "redis_readonly"
    assert refused(await node.readiness.healthy()) == "redis_readonly"
    assert b"replica" not in (await node.readiness.ready()).body
    assert await alive() is OK
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


async def test_a_node_without_consumer_needs_no_heartbeat(slab: Slab) -> None:
    """With `--role ingest` nobody beats."""
    node = Node(slab, consumes=False)
    node.time += 10 * BEAT_SECONDS
    assert await node.readiness.healthy() is OK


async def test_a_consumer_that_never_began_is_unhealthy(slab: Slab) -> None:
    """A node is not healthy before its consumer is at work, however long the machine runs."""
    node = Node(slab)
    slab.doubles("child:consumer")[state_slot("heartbeat")] = 0.0
    assert refused(await node.readiness.healthy()) == "consumer_stuck"


# metrics


def samples(response: Response) -> dict[str, float]:
    """Every sample without labels, and `redis_durability_info` whatever its labels."""
    assert response.status == 200
    assert b"Content-Type: text/plain; version=0.0.4" in response.head
    found = {}
    for family in text_string_to_metric_families(response.body.decode()):
        for sample in family.samples:
            if not sample.labels or sample.name == "payflux_redis_durability_info":
                found[sample.name.removeprefix("payflux_")] = sample.value
    return found


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[RedisMonitor]:
    """Asks the test's server."""
    admin = RedisMonitor(parse_url(server.url), KEYS, GROUP)
    yield admin
    admin.close()


async def test_metrics_hold_what_redis_says_while_it_answers(server: Server, admin: RedisMonitor, slab: Slab) -> None:
    """With Redis gone the node's own numbers stay, Redis's are absent, and redis_up is 0; they return with it."""
    server.client.xadd(STREAM, {"data": "{}"})
    server.client.xadd(DEAD_LETTERS, {"data": "{}"})
    Metrics(slab, "ingest-0").add(INGEST_ACCEPTED, n=3)
    scrape = Scrape(slab, admin)
    for turn in range(2):
        up = samples(await scrape.answer())
        assert (up["redis_up"], up["ingest_accepted_total"], up["redis_durability_info"]) == (1, 3, 1)
        if not turn:
            assert (up["stream_length"], up["dlq_depth"]) == (1, 1)
            server.kill()
            down = samples(await scrape.answer())
            assert (down["redis_up"], down["ingest_accepted_total"]) == (0, 3)
            asked_of_redis = {"stream_length", "pending_messages", "consumer_lag_messages", "dlq_depth"}
            assert not {*asked_of_redis, "redis_durability_info"} & set(down)
            server.start()


async def test_durability_is_asked_again_after_a_minute(server: Server, admin: RedisMonitor, slab: Slab) -> None:
    """It changes seldom, and is expensive to ask at every scrape."""
    clock = [0.0]
    scrape = Scrape(slab, admin, now=lambda: clock[0])
    assert b'fsync="everysec"' in (await scrape.answer()).body
    server.client.config_set("appendfsync", "always")
    clock[0] = 59.0
    assert b'fsync="everysec"' in (await scrape.answer()).body
    clock[0] = 60.5
    assert b'fsync="always"' in (await scrape.answer()).body


# export health


async def export_health(slab: Slab, mode: str, *, consumes: bool = True) -> dict[str, Any]:
    """The answer, read."""
    response = await ExportHealth(slab, mode, consumes=consumes).answer()
    assert response.status == 200
    assert b"Content-Type: application/json\r\n" in response.head
    answer: dict[str, Any] = json.loads(response.body)
    assert list(answer) == ["enabled", "export_mode", "destinations"]
    assert answer["export_mode"] == mode
    return answer


@pytest.mark.parametrize(
    ("mode", "destinations"), [("stdout", ["stdout"]), ("file", ["file"]), ("both", ["stdout", "file"])]
)
async def test_export_health_has_every_destination_of_the_mode(slab: Slab, mode: str, destinations: list[str]) -> None:
    """All members are there from the start, null while nothing happened."""
    answer = await export_health(slab, mode)
    assert answer["enabled"] is True
    assert list(answer["destinations"]) == destinations
    for status in answer["destinations"].values():
        assert status == {
            "enabled": True,
            "last_success_ts": None,
            "last_success_rfc3339": None,
            "last_error_ts": None,
            "last_error_rfc3339": None,
            "last_error_reason": None,
        }


@pytest.mark.parametrize("reason", EXPORT_REASONS)
async def test_export_health_says_when_and_why(slab: Slab, reason: str) -> None:
    """Times are whole seconds of Unix time and RFC 3339 in UTC, each destination has its own."""
    metrics = Metrics(slab, CONSUMER)
    metrics.set(EXPORT_LAST_SUCCESS, "stdout", to=1767957855.6)
    metrics.set(EXPORT_LAST_ERROR, "file", to=0.5)
    metrics.values[metrics.state("error:file")] = list(EXPORT_REASONS).index(reason)
    found = (await export_health(slab, "both"))["destinations"]
    assert found["stdout"]["last_success_ts"] == 1767957855
    assert found["stdout"]["last_success_rfc3339"] == "2026-01-09T11:24:15Z"
    assert found["stdout"]["last_error_reason"] is None
    assert (found["file"]["last_error_ts"], found["file"]["last_error_rfc3339"]) == (0, "1970-01-01T00:00:00Z")
    assert found["file"]["last_error_reason"] == reason
    assert found["file"]["last_success_ts"] is None


async def test_a_node_without_consumer_exports_nothing(slab: Slab) -> None:
    """With `--role ingest` there are no destinations, and the answer says so."""
    answer = await export_health(slab, "both", consumes=False)
    assert (answer["enabled"], answer["destinations"]) == (False, {})


# paths


async def test_every_operator_path_answers(slab: Slab, node: Node) -> None:
    """Each of the five paths takes GET from anybody and answers."""
    found = routes(node.readiness, Scrape(slab, NOBODY), ExportHealth(slab, "stdout", consumes=True))
    assert set(found) == {"/health", "/livez", "/readyz", "/metrics", "/export/health"}
    for path, methods in found.items():
        (handler,) = methods.values()
        assert list(methods) == ["GET"]
        assert handler.admit(Request("GET", path)) is None
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        handler.handle(Request("GET", path), answered.set_result)
        async with asyncio.timeout(5):
            assert (await answered).status == 200


async def test_a_question_that_fails_is_answered_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A defect is a 500 without its words, and a log line with them."""

    async def broken() -> Response:
        raise RuntimeError("a secret detail")

    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    Answer(broken).handle(Request("GET", "/x"), answered.set_result)
    async with asyncio.timeout(5):
        response = await answered
    assert response.status == 500
    assert b"secret" not in response.body
    line = json.loads(capsys.readouterr().err)
    assert (line["msg"], line["error"], line["detail"]) == ("operation_failed", "RuntimeError", "a secret detail")


def test_the_clock_of_the_heartbeat_is_shared() -> None:
    """Readiness and consumer are different processes: their default clock has to be the machine's."""
    assert (Readiness.__init__.__kwdefaults__ or {})["now"] is time.monotonic
