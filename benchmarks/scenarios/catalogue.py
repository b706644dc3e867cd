"""Every scenario there is."""

from collections.abc import Callable, Iterator

from benchmarks.load.generator import Shape
from benchmarks.report.result import Run
from benchmarks.scenarios.alone import run_dedup_memory, run_idle, run_start
from benchmarks.scenarios.scenario import Scenario
from benchmarks.scenarios.under_load import run_arriving, run_consumer, run_load, run_open_loop, run_soak
from benchmarks.servers.fleet import Servers

KINDS: dict[str, Callable[[Servers, Scenario], Iterator[Run]]] = {
    "load": run_load,
    "open-loop": run_open_loop,
    "arriving": run_arriving,
    "soak": run_soak,
    "consumer": run_consumer,
    "idle": run_idle,
    "start": run_start,
    "dedup-memory": run_dedup_memory,
}

SINGLE = ("nginx", "bare", "xadd", "script30")
BATCH = ("nginx", "xadd", "script100")
REDIS = ("xadd", "script30")
CONNECTIONS = (8, 32, 128, 512, 1024, 2048, 4000)  # a node takes 4,096, and the benchmark looks at it over one of them
WORKERS = ("", ", 2 workers")
SUFFIX = ("", "-2w")


def _singles() -> Iterator[Scenario]:
    for workers in (1, 2):
        for connections in (8, 64, 256):
            yield Scenario(
                name=f"single-{connections}{SUFFIX[workers - 1]}",
                family=f"single{SUFFIX[workers - 1]}",
                title=f"single, {connections} connections{WORKERS[workers - 1]}",
                x=connections,
                floors=SINGLE,
                shape=Shape(connections),
                workers=workers,
                brief=connections == 64,
            )
    shape = Shape(8, depth=16)
    yield Scenario(name="pipelined", family="single", title="single, 8 x 16 pipelined", floors=SINGLE, shape=shape)


def _batches() -> Iterator[Scenario]:
    for form in ("json", "ndjson"):
        for size in (10, 100, 1000):
            for workers in (1, 2):
                if workers == 1 or size == 100:
                    yield Scenario(
                        name=f"{form}-{size}{SUFFIX[workers - 1]}",
                        family=f"{form}{SUFFIX[workers - 1]}",
                        title=f"{form.upper()} of {size}{WORKERS[workers - 1]}",
                        x=size,
                        floors=BATCH,
                        shape=Shape(8 if workers == 2 else 4, size, "array" if form == "json" else "ndjson"),
                        workers=workers,
                        brief=(form, size, workers) == ("ndjson", 100, 2),
                    )


def _variations() -> Iterator[Scenario]:
    for percent in (50, 100):
        yield Scenario(
            name=f"duplicates-{percent}",
            family="duplicates",
            title=f"single, {percent} % duplicates",
            x=percent,
            floors=SINGLE,
            shape=Shape(64, duplicates=100 if percent == 100 else 50),
        )
    for aof in ("everysec", "always"):
        yield Scenario(
            name=f"aof-{aof}",
            family="aof",
            title=f"single, 2 workers, AOF {aof}",
            floors=SINGLE,
            workers=2,
            aof=aof,
        )
        batch = Shape(8, 100, "ndjson")
        title, name = f"NDJSON of 100, 2 workers, AOF {aof}", f"ndjson-aof-{aof}"
        yield Scenario(name=name, family="aof", title=title, floors=BATCH, shape=batch, workers=2, aof=aof)
    spaced = Shape(64, spaced=True)
    yield Scenario(name="spaced", family="single", title="single, JSON with blanks", floors=SINGLE, shape=spaced)


def _latencies() -> Iterator[Scenario]:
    for percent in (25, 50, 75):
        title = f"open loop at {percent} % of capacity"
        yield Scenario(
            name=f"open-{percent}",
            family="open",
            title=title,
            x=percent,
            kind="open-loop",
            percent=percent,
            workers=2,
        )
    yield Scenario(name="idle", family="idle", title="one event at a time on an idle node", kind="idle", workers=2)
    yield Scenario(name="start", family="start", title="start to first 202", kind="start", workers=2)


def _long() -> Iterator[Scenario]:
    yield Scenario(name="consumer", family="consumer", title="consumer alone", kind="consumer", brief=True)
    yield Scenario(
        name="arriving",
        family="arriving",
        title="80,000 events/s in batches of 100",
        kind="arriving",
        shape=Shape(16, 100, "ndjson"),
        workers=2,
        rate=80_000,
        seconds=60,
    )
    yield Scenario(name="dedup-memory", family="dedup", title="memory of remembered ids", kind="dedup-memory")
    yield Scenario(name="soak", family="soak", title="soak at half the capacity", kind="soak", workers=2)


def _scaling() -> Iterator[Scenario]:
    for connections in CONNECTIONS:
        name, title = f"connections-{connections}", f"{connections:,} connections"
        yield Scenario(
            name=name, family="connections", title=title, x=connections, floors=("nginx",), shape=Shape(connections)
        )
    for octets in (700, 1000):
        name, title = f"stored-{octets}", f"events of {octets} bytes"
        yield Scenario(name=name, family="stored", title=title, x=octets, floors=REDIS, shape=Shape(stored=octets))
    for octets in (2_000, 16_000, 128_000):
        name, title = f"ignored-{octets}", f"with {octets:,} bytes that are not stored"
        yield Scenario(
            name=name, family="ignored", title=title, x=octets, floors=("nginx",), shape=Shape(ignored=octets)
        )
    for length in (10_000, 1_000_000):
        yield Scenario(
            name=f"stream-{length}",
            family="stream",
            title=f"stream of {length:,} events",
            x=length,
            floors=REDIS,
            maxlen=length,
            prefill=length,
        )
    for number in (10, 100, 1000):
        name, title = f"keys-{number}", f"{number:,} API keys"
        yield Scenario(name=name, family="keys", title=title, x=number, shape=Shape(keys=number))
    for number in (10, 100, 1000):
        name, title = f"processors-{number}", f"{number:,} processors"
        yield Scenario(name=name, family="processors", title=title, x=number, shape=Shape(processors=number))


SCENARIOS = {
    scenario.name: scenario
    for group in (_singles, _batches, _variations, _latencies, _long, _scaling)
    for scenario in group()
}
"""All of them, in the order in which they are measured."""
