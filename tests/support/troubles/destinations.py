"""Real destinations of exporters, each behind a gate of its own: a web server, an object store, a broker."""

import gzip
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from broker import broker, kafka_answer, ready
from bucket import aws, bucket
from gate import Gate, Refuse, gate, http_answer
from needs import module
from their_server import Answer, serving

TOPIC = "payflux.events"
Line = dict[str, Any]


class Destination(NamedTuple):
    """One of them.

    Attributes:
        name: of its exporter.
        gate: before it.
        environ: how the exporter is set up.
        refusals: what the gate may answer instead of it.
        once: whether no event ever comes twice.
        lines: what it holds, so many lines at least; those of each processor in the order they came in.
    """

    name: str
    gate: Gate
    environ: Mapping[str, str]
    refusals: Mapping[str, Refuse]
    once: bool
    lines: Callable[[int], list[Line]]


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


HTTP_REFUSALS = {"5xx": http_answer(503), "4xx": http_answer(403), "429": http_answer(429, Retry_After="1")}


@contextmanager
def web() -> Iterator[Destination]:
    """What takes batches by HTTP."""
    bodies: list[bytes] = []

    def keep(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        bodies.append(body)
        return 200, {}, b""

    def lines(count: int) -> list[Line]:
        del count
        return [json.loads(line) for body in bodies for line in gzip.decompress(body).splitlines()]

    with serving(keep) as url, gate(int(url.rpartition(":")[2])) as before:
        environ = {
            "PAYFLUX_EXPORT_WEBHOOK_URL": f"http://127.0.0.1:{before.port}/in",
            "PAYFLUX_EXPORT_WEBHOOK_PRIVATE": "true",
        }
        yield Destination("webhook", before, environ, HTTP_REFUSALS, once=False, lines=lines)


@contextmanager
def objects(folder: Path) -> Iterator[Destination]:
    """What takes files as objects; they are copied into a folder to be read."""
    port = free_port()
    with bucket(port) as store, gate(port) as before:

        def lines(count: int) -> list[Line]:
            import duckdb  # noqa: PLC0415 - not everywhere

            del count
            store.copy(folder)
            with duckdb.connect() as connection:
                files = f"read_parquet('{folder}/kept/dt=*/hour=*/*.parquet', filename = true, file_row_number = true)"
                members = "* EXCLUDE (event_timestamp, processed_at)"  # whose types want one more library
                stem = "string_split(parse_filename(filename, true), '-')"  # an id, ordered as ids are
                order = f"{stem}[1]::BIGINT, {stem}[2]::BIGINT, file_row_number"
                found = connection.execute(f"SELECT {members} FROM {files} ORDER BY {order}")  # noqa: S608
                names = [one[0] for one in found.description or ()]
                return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

        environ = {"PAYFLUX_EXPORT_PARQUET_URL": "s3://events/kept", **aws(before.port)}
        yield Destination("parquet", before, environ, HTTP_REFUSALS, once=True, lines=lines)


@contextmanager
def records() -> Iterator[Destination]:
    """What takes records."""
    port = free_port()
    with gate(port) as before, broker(port, f"127.0.0.1:{before.port}") as running:
        ready(running, TOPIC)

        def lines(count: int) -> list[Line]:
            return [json.loads(record.value()) for record in running.records(TOPIC, count)]

        environ = {"PAYFLUX_EXPORT_KAFKA_SERVERS": f"127.0.0.1:{before.port}", "PAYFLUX_EXPORT_KAFKA_TOPIC": TOPIC}
        # Kafka's words for these: not enough replicas, not authorised, over the quota.
        refusals = {"5xx": kafka_answer(19), "4xx": kafka_answer(29), "429": kafka_answer(89)}
        yield Destination("kafka", before, environ, refusals, once=False, lines=lines)


@contextmanager
def every_kind(folder: Path) -> Iterator[list[Destination]]:
    """A real one of each kind; what the object store holds is copied into the folder."""
    module("duckdb")
    with ExitStack() as stack:
        yield [stack.enter_context(made) for made in (web(), objects(folder), records())]


def environ_of(destinations: Sequence[Destination]) -> dict[str, str]:
    """The settings of a node that exports to all of them, from the oldest event on."""
    found = {
        "PAYFLUX_EXPORTERS": ",".join(one.name for one in destinations),
        "PAYFLUX_EXPORT_FROM": "oldest",
        "PAYFLUX_WORKERS": "1",
        "PAYFLUX_EXPORT_PARQUET_BATCH_SEC": "0",
        "PAYFLUX_EXPORT_WEBHOOK_BATCH_SEC": "0",
    }
    for one in destinations:
        found |= one.environ
    return found
