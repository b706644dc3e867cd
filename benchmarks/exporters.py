"""CPU of an event in each exporter with a group of its own, beside its library alone: `python -m benchmarks.exporters`.

Both sides make the lines of the same entries; then one hands them to the exporter, and the other does the least its
library can do with the same bytes: a file, a request, records without key and headers. What Redis costs is the same on
both sides and left out, which makes the ratio larger than it is. The brokers are those inside librdkafka.
"""

import gzip
import http.client
import io
import json
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import arro3.io
import confluent_kafka

from payflux.consume.line import Enricher
from payflux.exporters import GroupExporter, GroupOpening
from payflux.exporters.grouped import common, group_destination
from payflux.exporters.parquet import WRITER, _schema
from payflux.risk.history import History
from payflux.settings import load
from payflux.stream.deliveries import Delivery
from payflux.telemetry.metrics import Metrics, create_slab
from payflux.testing import make_event

EVENTS = 20_000
BATCH = 1000
Work = Callable[[Sequence[bytes]], object]


def entries() -> list[Delivery]:
    """Entries as they are read."""
    found = []
    for seq in range(1, EVENTS + 1):
        data = json.dumps(make_event(event_id=str(uuid.uuid4())), separators=(",", ":")).encode()
        found.append(Delivery(b"%d-0" % (1_767_960_000_000 + seq), seq, data))
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


def bare_kafka(servers: str) -> Work:
    """Records without key and headers."""
    producer: Any = confluent_kafka.Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 5})

    def work(lines: Sequence[bytes]) -> None:
        for line in lines:
            producer.produce("bare", line)
            producer.poll(0)
        producer.flush()

    return work


def main() -> int:
    """Measure and print a table."""
    deliveries = entries()
    begun = time.process_time()
    lines = lines_of(deliveries)
    making = time.process_time() - begun
    cluster: Any = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})
    broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
    servers = f"{broker.host}:{broker.port}"
    server = HTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    folder = tempfile.mkdtemp()
    sides: dict[str, tuple[GroupExporter, Work]] = {
        "webhook": (exporter("webhook", URL=f"http://127.0.0.1:{port}/", PRIVATE="true"), bare_post(port)),
        "parquet": (exporter("parquet", URL=folder), bare_parquet),
        "kafka": (exporter("kafka", SERVERS=servers, CONF_COMPRESSION_TYPE="none"), bare_kafka(servers)),
    }
    sys.stdout.write("| exporter | line µs | library alone µs | exporter µs | with lines, of the floor |\n")
    sys.stdout.write("| --- | --- | --- | --- | --- |\n")
    for name, (ours, bare) in sides.items():
        floor, took = cpu(bare, lines), cpu(ours.deliver, lines)
        ratio = (making + took) / (making + floor)
        shown = (f"{seconds / EVENTS * 1e6:.1f}" for seconds in (making, floor, took))
        sys.stdout.write(f"| {name} | {' | '.join(shown)} | {ratio:.2f} |\n")
        ours.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
