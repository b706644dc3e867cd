"""CPU of an event in each exporter with a group of its own, beside its library alone: `python -m benchmarks.exporters`.

Both sides read the same entries from a Redis of their own and make the lines; then one hands them to the exporter, and
the other does the least its library can do for the same to arrive: a file, a request, records with key and headers.
This process alone is counted; the web server and the brokers, those inside librdkafka, are in it on both sides.
"""

import asyncio
import gzip
import http.client
import io
import json
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import arro3.io
import confluent_kafka

from benchmarks.machine import describe
from benchmarks.servers.redis import Redis
from payflux.consume.line import Enricher
from payflux.exporters import GroupExporter, GroupOpening
from payflux.exporters.grouped import common, group_destination
from payflux.exporters.parquet import WRITER, _schema
from payflux.redis.address import parse_url
from payflux.redis.follow import RedisReader
from payflux.redis.keys import Keys
from payflux.risk.history import History
from payflux.settings import load
from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import Metrics, create_slab
from payflux.testing import make_event

EVENTS = 20_000
BATCH = 1000
ROUNDS = 5
HEADERS = [("event_id", "550e8400-e29b-41d4-a716-446655440000"), ("schema_version", b"1"), ("risk_band", "low")]
Work = Callable[[Sequence[bytes]], object]
Make = Callable[[], GroupExporter]


def entries() -> list[Delivery]:
    """Entries as they are read."""
    found = []
    for seq in range(1, EVENTS + 1):
        data = json.dumps(make_event(event_id=str(uuid.uuid4())), separators=(",", ":")).encode()
        found.append(Delivery(b"%d-0" % (1_767_960_000_000 + seq), seq, data))
    return found


async def stored(redis: Redis) -> RedisReader:
    """A reader of the stream, which holds them."""
    for one in entries():
        redis.command("XADD", Keys().stream, one.id.decode(), "data", (one.data or b"").decode(), "seq", str(one.seq))
    reader = RedisReader(parse_url(redis.url), Keys(), GROUP, "bench", "bench")
    await reader.connect()
    return reader


async def read(reader: RedisReader) -> list[Delivery]:
    """All of them, by the code of the node."""
    found: list[Delivery] = []
    while page := await reader.follow(found[-1].id if found else b"0-0", BATCH, 0.001):
        found += page
    return found


def lines_of(deliveries: Sequence[Delivery]) -> list[bytes]:
    """Their lines, by the code of the node."""
    enricher = Enricher("bench", History().score, Metrics(create_slab(["bench"]), "bench"))
    return [enricher.line(one, b"2026-01-09T12:00:00Z").data for one in deliveries]


def exporter(name: str, **environ: str) -> GroupExporter:
    """An exporter, set up."""
    kind = group_destination(name)
    own = {f"PAYFLUX_EXPORT_{name.upper()}_{key}": text for key, text in environ.items()}
    values = load((*kind.settings, *kind.further(own), *common(name)), own)
    return kind.make(GroupOpening(values, name, 30.0, "bench"))


def cpu(work: Work, lines: Sequence[bytes]) -> float:
    """Seconds of CPU, in batches."""
    begun = time.process_time()
    for start in range(0, len(lines), BATCH):
        work(lines[start : start + BATCH])
    return time.process_time() - begun


def bare_parquet(lines: Sequence[bytes]) -> None:
    """The library alone."""
    table = arro3.io.read_json(io.BytesIO(b"".join(lines)), _schema(), batch_size=len(lines))
    arro3.io.write_parquet(table, io.BytesIO(), **WRITER)  # type: ignore[arg-type]


class _Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def bare_post(port: int) -> Work:
    """A compressed request, and no more."""

    def work(lines: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/", gzip.compress(b"".join(lines), 1))
        connection.getresponse().read()
        connection.close()

    return work


def bare_kafka(servers: str, **record: Any) -> Work:
    """Records of the same bytes, and what else is given of each, the same for all."""
    producer: Any = confluent_kafka.Producer(
        {"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
    )

    def work(lines: Sequence[bytes]) -> None:
        for line in lines:
            producer.produce("bare", line, **record)
            producer.poll(0)
        producer.flush()

    return work


class Round(NamedTuple):
    """Seconds of CPU for all events."""

    reading: float
    making: float
    bare: float
    ours: float

    @property
    def ratio(self) -> float:
        """What the exporter's way costs, of what the library's costs."""
        before = self.reading + self.making
        return (before + self.ours) / (before + self.bare)


async def measured(reader: RedisReader, make: Make, bare: Work) -> Round:
    """One round, with an exporter that has delivered nothing yet but one line, so that it is connected."""
    ours = make()
    begun = time.process_time()
    deliveries = await read(reader)
    reading, begun = time.process_time() - begun, time.process_time()
    lines = lines_of(deliveries)
    making = time.process_time() - begun
    ours.deliver(lines[:1])
    found = Round(reading, making, cpu(bare, lines), cpu(ours.deliver, lines))
    ours.close()
    return found


def row(name: str, rounds: Sequence[Round]) -> str:
    """What a table says of an exporter: the median of each, and of the ratios within a round."""
    reading, making, bare, ours = (median(times) / EVENTS * 1e6 for times in zip(*rounds, strict=True))
    ratio = median(one.ratio for one in rounds)
    alone = 1e6 / (reading + making + ours)
    micros = " | ".join(f"{one:.1f}" for one in (reading, making, bare, ours))
    return f"| {name} | {micros} | {ratio:.2f} | {alone:,.0f} |\n"


async def compare(redis: Redis, sides: Mapping[str, tuple[Make, Work]]) -> None:
    """Measure each, in turn, and print a table."""
    reader = await stored(redis)
    rounds = [{name: await measured(reader, *side) for name, side in sides.items()} for _ in range(ROUNDS)]
    machine = describe(())
    sys.stdout.write(f"{machine['cpu']}, {machine['cpus']} CPUs, Python {machine['python']}\n\n")
    sys.stdout.write(
        "| exporter | read µs | line µs | library alone µs | exporter µs | ratio | events/s on one core |\n"
    )
    sys.stdout.write("| --- | --- | --- | --- | --- | --- | --- |\n")
    for name in sides:
        sys.stdout.write(row(name, [one[name] for one in rounds]))


def main() -> int:
    """Set up both sides of each, and compare them."""
    cluster: Any = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0})
    broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
    servers = f"{broker.host}:{broker.port}"
    server = HTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    with tempfile.TemporaryDirectory() as folder:
        web = partial(exporter, "webhook", URL=f"http://127.0.0.1:{port}/", PRIVATE="true")
        kafka = partial(exporter, "kafka", SERVERS=servers, CONF_COMPRESSION_TYPE="none")
        sides: dict[str, tuple[Make, Work]] = {
            "webhook": (web, bare_post(port)),
            "parquet": (lambda: exporter("parquet", URL=tempfile.mkdtemp(dir=folder)), bare_parquet),
            "kafka": (kafka, bare_kafka(servers, key="stripe", headers=HEADERS)),
            "kafka, library without key and headers": (kafka, bare_kafka(servers)),
        }
        redis = Redis(Path(folder, "redis"), "off")
        try:
            asyncio.run(compare(redis, sides))
        finally:
            redis.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
