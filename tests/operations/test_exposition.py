"""`/metrics`: the text Prometheus gets, and what is asked of Redis for it."""

import os
import random
import re
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from payflux.errors import StreamUnavailable
from payflux.exporters.registry import EXPORTERS
from payflux.operations.exposition import HEALTH, INFO, REDIS_GAUGES, Exposition, Scrape
from payflux.operations.health import Readiness, Refusal
from payflux.operations.incident_gauges import GAUGES
from payflux.redis.address import parse_url
from payflux.redis.monitor import Durability, Progress, RedisMonitor
from payflux.stream.deliveries import Backlog
from payflux.stream.protocol import GROUP
from payflux.telemetry import metrics as m
from payflux.telemetry.metrics import METRICS, OF_EXPORTERS, OFFSETS, Metrics, create_slab, give_destinations
from payflux.telemetry.slab import Slab
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS, STREAM

CHILDREN = ("supervisor", "consumer", "ingest-0", "ingest-1")
BACKLOG = Backlog(length=7, pending=1, lag=2, dead=3)
CONTRACT = {
    "ingest_accepted_total": (),
    "ingest_rejected_total": ("reason",),
    "ingest_duplicate_total": (),
    "ingest_duration_seconds": (),
    "events_by_processor_total": ("processor",),
    "consumer_processed_total": (),
    "consumer_dlq_total": ("reason",),
    "stream_length": (),
    "pending_messages": (),
    "consumer_lag_messages": (),
    "events_exported_total": ("destination",),
    "export_errors_total": ("destination", "reason"),
    "exports_last_success_timestamp_seconds": ("destination",),
    "processor_risk_events_total": ("processor", "band"),
    "processor_risk_score_last": ("processor",),
    "auth_denied_total": ("reason",),
    "stream_lost_total": ("reason",),
    "dlq_depth": (),
    "events_by_outcome_total": ("processor", "outcome"),
    "failures_total": ("processor", "category"),
    "retries_total": ("processor",),
    "events_unclassified_total": ("event_type",),
    "redis_durability_info": ("aof", "fsync", "policy", "role"),
    "redis_up": (),
    "build_info": ("version", "python"),
    "consumer_stalled": (),
}
PROGRESS = Progress(waiting=20, since=17, led=True)
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


@pytest.fixture
def slab() -> Iterator[Slab]:
    """The shared memory of a node with two ingest processes."""
    slab = create_slab(CHILDREN)
    give_destinations(slab, [*EXPORTERS])
    yield slab
    os.close(slab.fd)


def samples(text: bytes) -> Samples:
    """Every sample by name without the prefix, then by labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            assert sample.name.startswith("payflux_")
            series = found.setdefault(sample.name.removeprefix("payflux_"), {})
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in series, f"{sample.name} twice"
            series[labels] = sample.value
    return found


def touch_everything(slab: Slab) -> None:
    """Give every series of every metric a number, for two processors, categories and event types."""
    metrics = Metrics(slab, "consumer")
    for name in ("stripe", "adyen"):
        metrics.processors.index(name)
        metrics.categories.index(f"{name} declined")
        metrics.event_types.index(f"{name}.updated")
        metrics.unrecognised.index(f"{name} 27")
    for metric in METRICS:
        values: list[tuple[str | int, ...]] = [label.values or (0, 1) for label in metric.labels]
        for labels in product(*values):
            metrics.add(metric, *labels) if metric.kind == "counter" else metrics.set(metric, *labels, to=1)


def test_every_metric_of_the_contract_is_exposed_with_its_labels(slab: Slab) -> None:
    """The text names every promised metric, and each of its series has exactly the promised labels."""
    touch_everything(slab)
    found = samples(Exposition(slab).text(BACKLOG, Durability(), None, PROGRESS))
    for name, labels in CONTRACT.items():
        series = found[f"{name}_count" if name.endswith("duration_seconds") else name]
        assert {tuple(key for key, _ in one) for one in series} == {tuple(sorted(labels))}, name


def test_the_text_declares_each_family_once(slab: Slab) -> None:
    """Each family has one HELP and one TYPE line, and its samples follow them."""
    touch_everything(slab)
    text = Exposition(slab).text(BACKLOG, Durability(), Refusal("redis_oom"), PROGRESS).decode()
    assert text.endswith("\n")
    helps = re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)
    types = re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)$", text, re.MULTILINE)
    assert helps == [name for name, _ in types]
    assert len(set(helps)) == len(helps) == sum(map(len, (METRICS, OF_EXPORTERS, GAUGES, REDIS_GAUGES, HEALTH, INFO)))
    current = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            current = line.split()[2]
        elif not line.startswith("#"):
            assert re.match(rf"{current}(_bucket|_sum|_count)?[{{ ]", line)


def test_counters_are_summed_over_the_processes(slab: Slab) -> None:
    """One answer for the node: what each process counted, together."""
    for number, name in enumerate(CHILDREN):
        metrics = Metrics(slab, name)
        metrics.add(m.INGEST_ACCEPTED, n=10**number)
        metrics.add(m.INGEST_REJECTED, "pan_detected", n=2 * 10**number)
        metrics.add(m.BY_PROCESSOR, metrics.processors.index("stripe"), n=3)
    found = samples(Exposition(slab).text(None, None))
    assert found["ingest_accepted_total"] == {(): 1111}
    assert found["ingest_rejected_total"][("reason", "pan_detected"),] == 2222
    assert found["events_by_processor_total"] == {(("processor", "stripe"),): 12}


def test_large_counts_are_exact(slab: Slab) -> None:
    """A count of millions of millions is exposed to the last digit."""
    Metrics(slab, "ingest-0").add(m.INGEST_ACCEPTED, n=2**53 - 2)
    Metrics(slab, "ingest-1").add(m.INGEST_ACCEPTED)
    assert samples(Exposition(slab).text(None, None))["ingest_accepted_total"] == {(): 2**53 - 1}


def test_a_fresh_node_exposes_zeros_for_counters_and_no_gauges(slab: Slab) -> None:
    """Counters with fixed labels start at 0; gauges nobody has set, and series of names nobody has seen, are absent."""
    found = samples(Exposition(slab).text(None, None))
    assert found["ingest_accepted_total"] == {(): 0}
    assert set(found["ingest_rejected_total"]) == {(("reason", reason),) for reason in m.REJECT_REASONS}
    for metric in METRICS:
        if metric.kind == "gauge" or any(label.table and not label.given for label in metric.labels):
            assert metric.name not in found
    assert set(found["events_exported_total"]) == {(("destination", name),) for name in EXPORTERS}
    assert len(found["export_errors_total"]) == len(EXPORTERS) * len(m.EXPORT_REASONS)
    assert found["ingest_duration_seconds_count"] == {(): 0}


def test_a_gauge_set_to_zero_is_exposed(slab: Slab) -> None:
    """A risk score that has decayed to 0 is a score of 0, not a series that went missing."""
    metrics = Metrics(slab, "consumer")
    metrics.set(m.RISK_SCORE, metrics.processors.index("stripe"), to=0.0)
    metrics.set(m.CONSUMER_ACTIVE, to=1.0)
    found = samples(Exposition(slab).text(None, None))
    assert found["processor_risk_score_last"] == {(("processor", "stripe"),): 0}
    metrics.set(m.CONSUMER_ACTIVE, to=0.0)
    found = samples(Exposition(slab).text(None, None))
    assert found["consumer_active"] == {(): 0}
    assert "processor_risk_score_last" not in found


def test_what_redis_says_is_absent_while_it_is_silent(slab: Slab) -> None:
    """Numbers that were not answered are not invented, and redis_up tells why."""
    exposition = Exposition(slab)
    silent = samples(exposition.text(None, None))
    assert silent["redis_up"] == {(): 0}
    assert not {*REDIS_GAUGES, "redis_durability_info"} & set(silent)
    answered = samples(exposition.text(BACKLOG, Durability("on", "always", "noeviction", "master")))
    assert answered["redis_up"] == {(): 1}
    assert [answered[name][()] for name in REDIS_GAUGES] == [7, 1, 2, 3]
    labels = (("aof", "on"), ("fsync", "always"), ("policy", "noeviction"), ("role", "master"))
    assert answered["redis_durability_info"] == {labels: 1}


@settings(deadline=None, max_examples=25)
@given(st.lists(st.one_of(st.sampled_from(m.DURATION_BUCKETS), st.floats(0, 20)), max_size=60))
def test_the_histogram_is_cumulative(durations: list[float]) -> None:
    """Each bucket holds what took at most its bound, the last everything, and the sum is the sum."""
    slab = create_slab(CHILDREN)
    start = OFFSETS[m.INGEST_DURATION]
    for number, seconds in enumerate(durations):
        values = Metrics(slab, f"ingest-{number % 2}").values
        values[start + bisect_left(m.DURATION_BUCKETS, seconds)] += 1
        values[start + len(m.DURATION_BUCKETS) + 1] += seconds
    found = samples(Exposition(slab).text(None, None))
    buckets = {dict(labels)["le"]: value for labels, value in found["ingest_duration_seconds_bucket"].items()}
    assert list(buckets) == [*map(str, m.DURATION_BUCKETS), "+Inf"]
    for bound, value in buckets.items():
        assert value == sum(seconds <= float(bound) for seconds in durations)
    assert found["ingest_duration_seconds_count"] == {(): len(durations)}
    assert found["ingest_duration_seconds_sum"][()] == pytest.approx(sum(durations))
    os.close(slab.fd)


def test_label_values_are_bounded(slab: Slab) -> None:
    """Ten thousand processors and categories become the first 100 and 50 and `other`, and no event goes uncounted."""
    source = random.Random(7)
    seen = [f"p{source.randrange(10**12)}" for _ in range(10_000)]
    workers = [Metrics(slab, "ingest-0"), Metrics(slab, "ingest-1")]
    for number, name in enumerate(seen):
        metrics = workers[number % 2]
        processor = metrics.processors.index(name)
        metrics.add(m.BY_PROCESSOR, processor)
        metrics.add(m.FAILURES, processor, metrics.categories.index(f"category of {name}"))
    found = samples(Exposition(slab).text(None, None))
    series = found["events_by_processor_total"]
    assert len(series) == 101
    assert {dict(labels)["processor"] for labels in series} == {*seen[:100], "other"}
    assert series[("processor", "other"),] == 9900
    assert sum(series.values()) == 10_000
    failures = found["failures_total"]
    assert len({dict(labels)["category"] for labels in failures}) == 51
    assert len({dict(labels)["processor"] for labels in failures}) == 101
    assert sum(failures.values()) == 10_000


def test_any_category_can_stand_in_the_text(slab: Slab) -> None:
    """Quotes, backslashes and other scripts in a name come back from the text as they were."""
    metrics = Metrics(slab, "consumer")
    odd = ['say "no"', "back\\slash", "\\n", "zu spät \U0001f4b3", "{a=b}", " "]
    for name in odd:
        metrics.add(m.FAILURES, metrics.processors.index("stripe"), metrics.categories.index(name))
    failures = samples(Exposition(slab).text(None, None))["failures_total"]
    assert [dict(labels)["category"] for labels in failures] == odd


# what is asked of Redis


def unlabelled(text: bytes) -> dict[str, float]:
    """Every sample without labels, and `redis_durability_info` whatever its labels."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if not sample.labels or sample.name == "payflux_redis_durability_info":
                found[sample.name.removeprefix("payflux_")] = sample.value
    return found


def test_what_health_finds_can_be_alerted_on(slab: Slab) -> None:
    """The code of `/health`, and whether anything comes out; absent where it is unknown."""
    exposition = Exposition(slab)
    well = samples(exposition.text(None, None, None, Progress(3, 1, led=True)))
    assert "unready" not in well
    assert (well["consumer_stalled"], well["dlq_refused"]) == ({(): 0}, {(): 0})
    broken = StreamUnavailable("redis_wrong_type", "")
    for progress in (PROGRESS, Progress(None, 1, led=True, unusable=broken)):
        found = samples(exposition.text(None, None, Refusal("consumer_stalled"), progress))
        assert found["unready"] == {(("reason", "consumer_stalled"),): 1}
        assert found["consumer_stalled"] == {(): 1}
    unburied = samples(exposition.text(None, None, None, Progress(None, 1, led=True, unburied=broken)))
    assert (unburied["consumer_stalled"], unburied["dlq_refused"]) == ({(): 0}, {(): 1})
    assert not {*HEALTH} & set(samples(exposition.text(None, None)))


@pytest.fixture
def readiness(slab: Slab, admin: RedisMonitor) -> Readiness:
    """Of a node that only takes events in, and can."""

    async def works() -> None:
        """A write path without fault."""

    return Readiness(works, admin.progress, Metrics(slab, "supervisor").notes, None)


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[RedisMonitor]:
    """Asks the test's server."""
    admin = RedisMonitor(parse_url(server.url), KEYS, GROUP)
    yield admin
    admin.close()


async def test_metrics_hold_what_redis_says_while_it_answers(
    server: Server, admin: RedisMonitor, slab: Slab, readiness: Readiness
) -> None:
    """With Redis gone the node's own numbers stay, Redis's are absent, and redis_up is 0; they return with it."""
    server.client.xadd(STREAM, {"data": "{}"})
    server.client.xadd(DEAD_LETTERS, {"data": "{}"})
    Metrics(slab, "ingest-0").add(m.INGEST_ACCEPTED, n=3)
    scrape = Scrape(slab, admin, readiness)
    for turn in range(2):
        up = unlabelled(await scrape.text())
        assert (up["redis_up"], up["ingest_accepted_total"], up["redis_durability_info"]) == (1, 3, 1)
        if not turn:
            assert (up["stream_length"], up["dlq_depth"]) == (1, 1)
            server.kill()
            down = unlabelled(await scrape.text())
            assert (down["redis_up"], down["ingest_accepted_total"]) == (0, 3)
            asked_of_redis = {"stream_length", "pending_messages", "consumer_lag_messages", "dlq_depth"}
            assert not {*asked_of_redis, "redis_durability_info"} & set(down)
            server.start()


async def test_durability_is_asked_again_after_a_minute(
    server: Server, admin: RedisMonitor, slab: Slab, readiness: Readiness
) -> None:
    """It changes seldom, and is expensive to ask at every scrape."""
    clock = [0.0]
    scrape = Scrape(slab, admin, readiness, now=lambda: clock[0])
    assert b'fsync="everysec"' in await scrape.text()
    server.client.config_set("appendfsync", "always")
    clock[0] = 59.0
    assert b'fsync="everysec"' in await scrape.text()
    clock[0] = 60.5
    assert b'fsync="always"' in await scrape.text()
