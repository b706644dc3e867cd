"""What the benchmark measures with: CPU time, its load generators, the model of the marks, its table of scenarios."""

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from benchmarks import webhooks as webhooks_benchmark
from benchmarks.bench import PRESETS, choose, measure, parse
from benchmarks.load.generator import EXAMPLE_ID, KEY, Load, LoadGenerator, Shape, event_of, fill, store
from benchmarks.machine import ROOT, cpu_seconds
from benchmarks.parts import webhooks
from benchmarks.report.result import Result, Run
from benchmarks.report.summary import RESULTS, summarised
from benchmarks.report.targets import TARGETS, judge
from benchmarks.scenarios.alone import buckets, fit, layout, modelled, remember
from benchmarks.scenarios.catalogue import KINDS, SCENARIOS
from benchmarks.servers.fleet import Servers
from benchmarks.servers.node import Node as NodeUnderTest
from benchmarks.servers.node import NodeFailed
from benchmarks.servers.redis import Commands, Redis
from nodes import KEY as NODE_KEY
from payflux.event.decode import decode_event
from payflux.redis.append import mark_of
from real_parts import MakeNode
from servers import until

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs /proc, which only Linux has"),
]

BUSY = "import time\nwhile time.process_time() < 0.2: pass\nprint(time.process_time(), flush=True)\ninput()"


def test_cpu_time_is_what_a_process_spent() -> None:
    """To a few milliseconds, whatever it waited in between."""
    child = subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    spent = float(child.stdout.readline())
    assert cpu_seconds(child.pid) == pytest.approx(spent, abs=0.02)
    child.communicate("\n")


@pytest.mark.parametrize("shape", [Shape(4), Shape(4, size=20, form="array"), Shape(4, size=20, form="ndjson")])
def test_the_paced_generator_sends_what_is_due(make_node: MakeNode, shape: Shape) -> None:
    """A process of its own, on a real node: as many events as the rate asks for, each of them stored once."""
    node = make_node({"PAYFLUX_API_KEY": "", "PAYFLUX_API_KEYS": f"{KEY},{NODE_KEY}"})
    load = LoadGenerator(1, threads=1).paced(node.port, shape, 400, 0.5)
    assert (load.bad, load.broken) == (0, 0)
    assert load.answers * shape.size == pytest.approx(200, abs=shape.size)
    assert load.rate == 400 / shape.size
    assert 0 < load.p50_ms <= load.p99_ms <= load.p999_ms <= load.max_ms
    assert node.metrics()["ingest_accepted_total"] == load.answers * shape.size
    until(lambda: node.line_count() == load.answers * shape.size, "every line")


@pytest.fixture
def node_under_test(directory: Path) -> Iterator[NodeUnderTest]:
    redis = Redis(directory / "redis", "off")
    node = NodeUnderTest(directory / "node", redis, 1)
    yield node
    node.stop()
    redis.stop()


@pytest.mark.parametrize("shape", [Shape(8), Shape(4, size=50, form="ndjson")])
def test_a_node_is_measured(node_under_test: NodeUnderTest, shape: Shape) -> None:
    """All counts agree, every figure is there, and the scripts are told apart by what they run."""
    node = node_under_test
    found = node.measure(lambda: LoadGenerator(1, threads=1).paced(node.port, shape, 1000, 1.0), shape)
    assert found.wrong == []
    assert found.events == pytest.approx(1000, abs=shape.size)
    assert found.ingest_us > 1
    assert found.consumer_us > 1
    assert 0 < found.redis_consumer_us < found.redis_append_us < found.redis_us
    assert 1 <= found.batch <= 512
    assert 1 < found.read_batch < found.events
    assert found.node_mib > found.ingest_mib + found.consumer_mib > 20


def test_what_nobody_sent_is_found(node_under_test: NodeUnderTest) -> None:
    """One event more than could have been cut, one that is refused, and one that was there before."""
    node, shape = node_under_test, Shape(1)

    answers: list[int] = []

    def load() -> Load:
        seen = LoadGenerator(1, threads=1).paced(node.port, shape, 100, 0.2)
        answers.append(seen.answers)
        fill(node.port, shape, 2)
        store(node.port, shape, iter([EXAMPLE_ID, EXAMPLE_ID, "no-uuid"]))
        return seen

    wrong = " · ".join(node.measure(load, shape).wrong)
    assert "1 events rejected" in wrong
    assert "1 duplicates, 0 expected" in wrong
    assert 19 <= answers[0] <= 21
    assert f"accepted or duplicates, but {answers[0]} answered" in wrong


def test_a_line_too_many_is_found(node_under_test: NodeUnderTest) -> None:
    """Whatever the node says of itself."""
    node, shape = node_under_test, Shape(1)

    def load() -> Load:
        node.lines.count += 1
        return LoadGenerator(1, threads=1).paced(node.port, shape, 100, 0.2)

    found = node.measure(load, shape)
    assert 19 <= found.events <= 21
    assert found.wrong == [f"{found.events} accepted, but {found.events + 1} lines written"]


def test_a_wrong_answer_is_bad(make_node: MakeNode) -> None:
    """Here a key the node does not know."""
    load = LoadGenerator(1, threads=1).paced(make_node().port, Shape(2), 100, 0.2)
    assert load.bad > 0


@pytest.mark.parametrize("shape", [Shape(stored=700), Shape(stored=1000), Shape(ignored=2000), Shape(spaced=True)])
def test_events_are_valid_and_as_large_as_they_should_be(shape: Shape) -> None:
    """What is ignored is not stored."""
    stored = decode_event(event_of(shape).encode()).data
    usual = len(decode_event(event_of(Shape()).encode()).data)
    assert len(stored) == (shape.stored or usual)
    assert len(event_of(shape)) >= usual + shape.ignored


def test_the_webhooks_that_are_measured_are_taken() -> None:
    """Every one of them is answered as Stripe wants, and its steps are parts of the whole."""
    answers: set[int] = set()
    whole, together, *steps = webhooks(lambda answer: answers.add(answer.status))
    assert answers == {200}
    assert sum(step.us for step in steps) > 0
    assert {step.within for step in steps} == {"webhook"}
    assert min(whole.us, together.us) > 0


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_webhooks_are_measured_beside_events(capfd: pytest.CaptureFixture[str]) -> None:
    """A short run: both tables are there, and whatever a webhook cost is a figure above nothing."""
    arguments = ["--rounds", "1", "--seconds", "1", "--rate", "100", "--beside", "20"]
    assert webhooks_benchmark.main(arguments) in (0, 1)
    rows = [line.split(" | ") for line in capfd.readouterr().out.splitlines() if line.startswith("| a")]
    assert [row[0] for row in rows] == ["| an event of a producer", "| a webhook of Stripe", "| alone"]
    assert all(float(row[1]) > 0 for row in rows)


def test_every_target_has_its_scenario_and_floors() -> None:
    """A target nobody measures would never fail."""
    for target in TARGETS:
        assert target.scenario in SCENARIOS, target
        assert set(target.floors) <= set(SCENARIOS[target.scenario].floors), target
    for name, scenario in SCENARIOS.items():
        assert name == scenario.name
        assert scenario.kind in KINDS
        assert all(re.fullmatch(r"nginx|bare|xadd|script\d+", floor) for floor in scenario.floors)


def test_the_choice_of_scenarios() -> None:
    """The short run is the brief ones, `--full` all, `--only` takes names and families, a soak has to be asked for."""
    names = [scenario.name for scenario in choose(parse([]))]
    assert names == ["single-64", "single-64-2w", "ndjson-100-2w", "consumer"]
    assert {s.name for s in choose(parse(["--full"]))} == set(SCENARIOS) - {"soak"}
    assert [s.name for s in choose(parse(["--only", "open", "idle"]))] == ["open-25", "open-50", "open-75", "idle"]
    assert [s.name for s in choose(parse(["--only", "idle", "--soak", "10"]))] == ["idle", "soak"]
    assert parse(["--full", "--rounds", "7"]).rounds == 7
    assert parse(["--quick"]).seconds == PRESETS["quick"]["seconds"]
    with pytest.raises(SystemExit):
        parse(["--only", "nothing"])


def test_the_model_counts_the_sets_that_ids_fall_into() -> None:
    """By the layout the append script has: ids in random buckets, layer after layer."""
    mean, smallest, largest = layout()
    assert 16**smallest * mean < 2_000_000
    assert largest > smallest
    draw = random.Random(1)
    for ids in (1000, 5000, 20_000):
        real = len({mark_of(draw.randbytes(16))[:smallest] for _ in range(ids)})
        assert buckets(ids) == pytest.approx(real, rel=0.03)
    full = mean * 16**smallest
    assert buckets(full + 10_000) == pytest.approx(16**smallest + 10_000, rel=0.1)


def test_the_fit_finds_what_made_the_figures() -> None:
    """Bytes of an id and of a set."""
    ids = [50_000.0, 200_000.0, 800_000.0, 2_000_000.0]
    keys = [buckets(n) for n in ids]
    trace = {"x": ids, "keys": keys, "bytes": [8.0 * n + 120.0 * k for n, k in zip(ids, keys, strict=True)]}
    per_id, per_bucket = fit(trace)
    assert per_id == pytest.approx(8.0)
    assert per_bucket == pytest.approx(120.0)
    assert modelled(1_000_000, per_id, per_bucket) == pytest.approx(8.0 + 120.0 * buckets(1e6) / 1e6)


async def test_ids_are_really_remembered(directory: Path) -> None:
    """Through the append script: memory and keys grow with them, by about what the model says."""
    redis = Redis(directory / "redis", "off")
    try:
        trace = await remember(redis, 60_000)
        commands: Commands = redis.commands()
    finally:
        redis.stop()
    assert trace["x"] == [50_000, 60_000]
    assert trace["keys"][-1] == pytest.approx(buckets(60_000), rel=0.05)
    assert 8 < trace["bytes"][-1] / 60_000 < 40
    assert commands.append_us > 0
    assert commands.consumer_us == 0


def test_the_bench_cannot_run_without_a_floor() -> None:
    """Where nginx is missing it says what to install, and exits with 2; no result is kept."""
    before = sorted(RESULTS.iterdir())
    command = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 2, done.stderr
    assert "nginx is not installed: apt-get install" in done.stdout
    assert sorted(RESULTS.iterdir()) == before


WITHOUT = """import shutil, sys
shutil.which = lambda *_, **__: None
from benchmarks import bench
sys.exit(bench.main(['--quick']))"""


def test_a_scenario_that_goes_wrong_fails_the_run_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured before is kept, and why it ended is told."""

    def fails(*_: object) -> Iterator[Run]:
        yield Run({"start_ms": 1.0})
        raise NodeFailed("it did not start")

    monkeypatch.setitem(KINDS, "start", fails)
    found = measure(cast("Servers", None), SCENARIOS["start"])
    result = summarised(Result("", {}, {}, "", [found], judge([found])))
    assert result.wrong == ["start, round 2: failed: NodeFailed: it did not start"]
    assert not result.passed
