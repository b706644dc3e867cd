"""What a child is made of follows from its plan and the settings."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from payflux.event.intake import BATCH_PATH, EVENT_PATH
from payflux.ingest.token_bucket import BUCKETS
from payflux.node.composition import appender_of, consumer_of, fan_out_of, routes_of, servers_of
from payflux.node.plan import Plan
from payflux.node.settings import SETTINGS
from payflux.operations.reads import READ_PATHS
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.redis.monitor import RedisMonitor
from payflux.settings import Values, load
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import CONSUMER_ACTIVE, EXPORT_QUEUE, RISK_SCORE, Metrics, create_slab, give_destinations
from payflux.telemetry.notes import CONSUMER, SUPERVISOR
from payflux.telemetry.slab import Slab

OPERATORS = {"/", "/health", "/livez", "/readyz", "/metrics", "/export/health", "/openapi.json", *READ_PATHS}


@pytest.fixture
def slab_fd() -> Iterator[int]:
    """The shared memory of a node with one worker."""
    slab = create_slab([SUPERVISOR, CONSUMER, "ingest-0"], **{BUCKETS: 8})
    give_destinations(slab, ["stdout", "file"])
    yield slab.fd
    os.close(slab.fd)


def plan(slab_fd: int, child: str, stdout: int = -1) -> Plan:
    """The plan of a child of that node."""
    return Plan(child, slab_fd, (), (), stdout, child != CONSUMER, child == CONSUMER, 1, True, "token", "name")


def values(**environ: str) -> Values:
    """The settings of a node without Redis."""
    return load(SETTINGS, {"PAYFLUX_API_KEY": "key", "REDIS_URL": "unix:///nowhere"} | environ)


def metrics_of(of: Plan) -> Metrics:
    """The numbers of a child."""
    return Metrics(Slab(of.slab), of.child)


@pytest.mark.parametrize("checkout", ["true", "false"])
async def test_only_who_ingests_has_the_producers_paths(checkout: str, slab_fd: int) -> None:
    """Everybody answers operators; checkout is there when it is on."""
    settings = values(PAYFLUX_CHECKOUT_ENABLED=checkout, STRIPE_API_KEY="sk_test_1")
    for child, further in (
        (CONSUMER, set()),
        ("ingest-0", {EVENT_PATH, BATCH_PATH, *(["/checkout"] * (checkout == "true"))}),
    ):
        made = plan(slab_fd, child)
        metrics = metrics_of(made)
        appender = appender_of(made, settings, metrics, lambda: 0)
        monitor = RedisMonitor(address_of(settings), Keys(), GROUP)
        assert set(routes_of(made, settings, metrics, appender, monitor, webhooks={})) == OPERATORS | further


async def test_operators_may_have_an_address_of_their_own(slab_fd: int) -> None:
    """What takes events stays with the probes, the rest moves; both keep idle connections as long as told."""
    settings = values(PAYFLUX_CHECKOUT_ENABLED="false", PAYFLUX_HTTP_KEEPALIVE_SEC="620")
    made = structs.replace(plan(slab_fd, "ingest-0"), listeners=(7, 8), admin=(9,))
    metrics = metrics_of(made)
    appender = appender_of(made, settings, metrics, lambda: 0)
    monitor = RedisMonitor(address_of(settings), Keys(), GROUP)
    servers = servers_of(made, settings, metrics, appender, monitor, webhooks={})
    assert [listeners for _, listeners in servers] == [(7, 8), (9,)]
    assert {server._limits.idle_seconds for server, _ in servers} == {620}
    probes = {"/health", "/livez", "/readyz"}
    operators = {re.sub("{.*}", "{}", path) for path in OPERATORS}
    paths = [{path for path, _ in server._shared.handler._routes} for server, _ in servers]  # type: ignore[attr-defined]
    assert paths == [{EVENT_PATH, BATCH_PATH} | probes, operators]
    [(only, listeners)] = servers_of(structs.replace(made, admin=()), settings, metrics, appender, monitor, webhooks={})
    assert listeners == (7, 8)
    assert {path for path, _ in only._shared.handler._routes} == paths[0] | paths[1]  # type: ignore[attr-defined]


async def test_the_workers_share_the_highest_number(slab_fd: int) -> None:
    """What one appender is told, that of another process of the node tells Redis."""
    settings = values()
    one, other = (plan(slab_fd, child) for child in ("ingest-0", CONSUMER))
    first, second = (appender_of(made, settings, metrics_of(made), lambda: 0) for made in (one, other))
    first._told()
    first._heard(41)
    assert second._told() == 41


def test_an_exporter_is_told_what_a_former_process_left_half_done(slab_fd: int, tmp_path: Path) -> None:
    """The line that was torn at its death is ended before the first of the successor; the file is not touched."""
    read, write = os.pipe()
    made = plan(slab_fd, CONSUMER, stdout=write)
    metrics = metrics_of(made)
    metrics.notes.destination(metrics.destinations.index("stdout")).write(begins=True)
    file = tmp_path / "out"
    both = fan_out_of(made, values(PAYFLUX_EXPORT_MODE="both", PAYFLUX_EXPORT_FILE=str(file)), metrics)
    both.publish([b"line\n"])
    both.end(10)
    os.close(write)
    assert os.read(read, 100) == b"\nline\n"
    os.close(read)
    assert file.read_bytes() == b"line\n"
    assert metrics.get(EXPORT_QUEUE, metrics.destinations.index("file")) == 0


async def test_a_new_consumer_shows_nothing_of_a_former_one(slab_fd: int) -> None:
    """Gauges of a dead process are unset, and who exports to nobody has settled everything."""
    made = plan(slab_fd, CONSUMER)
    metrics = metrics_of(made)
    metrics.set(CONSUMER_ACTIVE, to=1)
    metrics.set(RISK_SCORE, 0, to=0.9)
    _, exporting = consumer_of(made, values(PAYFLUX_EXPORT_MODE="none"), metrics)
    assert metrics.get(CONSUMER_ACTIVE) != 1
    assert metrics.get(RISK_SCORE, 0) != 0.9
    exporting.publish([b"line\n"])
    assert exporting.settled >= exporting.published == 1
