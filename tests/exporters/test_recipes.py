"""The recipes of the documentation, as they stand there: set up from their blocks, against what they speak to."""

import gzip
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clickhouse import clickhouse
from deploying import ROOT
from needs import module
from payflux.errors import ExportFailed
from payflux.exporters import GroupOpening
from payflux.exporters.grouped import settings
from payflux.exporters.parquet import COLUMNS, ParquetExporter
from payflux.exporters.webhook import WebhookExporter
from payflux.settings import load
from payflux.testing import make_event
from their_server import Answer, serving

SETTING = re.compile(r"^(PAYFLUX_\w+)=(.*)$", re.MULTILINE)
HOST = re.compile(r"^https://[^/]+")


def line(seq: int, **members: object) -> bytes:
    """The line of one event."""
    more = {
        "stream_message_id": f"1767960000000-{seq}",
        "consumer_name": "one",
        "processed_at": "2026-01-09T12:00:01Z",
        "processor_risk_score": 0.25,
        "processor_risk_band": "low",
        "processor_risk_drivers": ["nominal_behavior"],
        "seq": seq,
        "schema_version": 1,
    }
    return json.dumps(make_event() | more | members, separators=(",", ":")).encode() + b"\n"


def blocks(page: str, kind: str) -> list[str]:
    """The blocks of a page of one kind."""
    text = (ROOT / "docs" / "export" / f"{page}.md").read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


LINES = [line(number) for number in range(10)]


def exporter(page: str, url: str) -> WebhookExporter:
    """One that is set up as a page says, the host aside."""
    text = (ROOT / "docs" / "export" / f"{page}.md").read_text()
    environ = {name: "".join(shlex.split(value)) for name, value in SETTING.findall(text)}
    environ["PAYFLUX_EXPORT_WEBHOOK_URL"] = HOST.sub(url, environ["PAYFLUX_EXPORT_WEBHOOK_URL"])
    environ["PAYFLUX_EXPORT_WEBHOOK_PRIVATE"] = "true"
    return WebhookExporter(GroupOpening(load(settings(), environ), "webhook", 5.0))


def test_clickhouse_takes_batches_into_the_table_that_is_shipped(directory: Path) -> None:
    """Each row once with FINAL when a batch comes twice; a line that is no row is refused alone; no table: denied."""
    with clickhouse(directory / "clickhouse") as server:
        sending = exporter("clickhouse", server.url)
        with pytest.raises(ExportFailed, match="payflux_events doesn't exist") as caught:
            sending.deliver(LINES)
        assert caught.value.code == "denied"
        server.ask((ROOT / "deploy" / "clickhouse" / "events.sql").read_text())
        odd = line(99, event_timestamp="when it was")
        for _ in range(2):
            assert list(sending.deliver([*LINES[:3], odd, *LINES[3:]])) == [3]
        sending.close()
        columns = "seq, event_id, toString(event_timestamp), processor_risk_score, processor_risk_drivers"
        rows = server.ask(f"SELECT {columns} FROM payflux_events FINAL ORDER BY seq")  # noqa: S608
        sent = [json.loads(one) for one in LINES]
        assert rows == [
            [str(one["seq"]), one["event_id"], "2026-01-09 12:00:00", "0.25", "['nominal_behavior']"] for one in sent
        ]


def said(status: int, **members: object) -> Answer:
    """An answer in JSON."""
    return status, {"Content-Type": "application/json"}, json.dumps(members).encode()


class Splunk:
    """The raw endpoint of an event collector."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.busy = 1

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Take a batch."""
        if headers["authorization"] != "Splunk 11111111-2222-3333-4444-555555555555":
            return said(403, text="Invalid token", code=4)
        if not re.match(r"/services/collector/raw\?channel=[0-9a-f-]{36}&", path):
            return said(400, text="Data channel is missing", code=10)
        if self.busy:
            self.busy -= 1
            return said(503, text="Server is busy", code=9)
        self.events += map(json.loads, gzip.decompress(body).splitlines())
        return said(200, text="Success", code=0)


class Datadog:
    """The intake of logs."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.busy = 1

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Take a batch."""
        if len(headers["dd-api-key"]) != 32 or not path.startswith("/api/v2/logs?ddsource="):
            return said(403, errors=[{"title": "Forbidden"}])
        if self.busy:
            self.busy -= 1
            return said(429, errors=[{"title": "Too many requests"}])
        plain = gzip.decompress(body)
        entries = json.loads(plain)
        if len(entries) > 1000 or len(plain) > 5_000_000 or headers["content-type"] != "application/json":
            return said(413, errors=[{"title": "Payload too large"}])
        self.events += entries
        return said(202)


class Elastic:
    """The bulk endpoint of an index whose mapping knows that `retry_count` is a number."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.busy = 1

    @property
    def events(self) -> list[Any]:
        """The documents."""
        return list(self.found.values())

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Take a batch; once, its second item is turned away for the moment."""
        if not headers["authorization"].startswith("ApiKey ") or not path.startswith("/payflux-events/_bulk?"):
            return said(401, error={"type": "security_exception", "reason": "missing credentials"})
        assert headers["content-type"] == "application/x-ndjson"
        rows = list(map(json.loads, gzip.decompress(body).splitlines()))
        items = [self._item(number, *pair) for number, pair in enumerate(zip(rows[::2], rows[1::2], strict=True))]
        return said(200, errors=any("error" in one for one in items), items=[{"create": one} for one in items])

    def _item(self, number: int, action: Any, document: Any) -> dict[str, object]:
        if number == 1 and self.busy:
            self.busy -= 1
            return {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}}
        if action["create"]["_id"] in self.found:
            return {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}
        if not isinstance(document["retry_count"], int):
            return {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "retry_count"}}
        self.found[action["create"]["_id"]] = document
        return {"status": 201}


@contextmanager
def speaking(their: Splunk | Datadog | Elastic) -> Iterator[str]:
    """One of them at work; its address."""
    with serving(their.take) as url:
        yield url


@pytest.mark.parametrize(
    ("page", "their"), [("splunk", Splunk()), ("datadog", Datadog()), ("elasticsearch", Elastic())]
)
def test_services_take_what_they_document(page: str, their: Splunk | Datadog | Elastic) -> None:
    """Busy at first, and told so; then every event is there, in order, as it was sent."""
    with speaking(their) as url:
        sending = exporter(page, url)
        with pytest.raises(ExportFailed) as caught:
            sending.deliver(LINES)
        assert caught.value.code == "busy"
        assert sending.deliver(LINES) == {}
    assert sorted(their.events, key=lambda one: one["seq"]) == list(map(json.loads, LINES))


def test_elasticsearch_refuses_single_documents() -> None:
    """Each with its reason, and the others are there once, whatever comes again."""
    their = Elastic()
    their.busy = 0
    with speaking(their) as url:
        sending = exporter("elasticsearch", url)
        for _ in range(2):
            refused = sending.deliver([LINES[0], line(99, retry_count="many"), LINES[1]])
            assert refused == {1: "HTTP 400: mapper_parsing_exception: retry_count"}
    assert their.events == [json.loads(LINES[0]), json.loads(LINES[1])]


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"<html>", "no answer to a bulk request"), (b'{"errors":true,"items":[]}', "0 items to a bulk request of 10")],
)
def test_what_is_no_bulk_answer_confirms_nothing(answer: bytes, words: str) -> None:
    """A proxy's page with status 200, say."""
    with serving(lambda *_: (200, {}, answer)) as url, pytest.raises(ExportFailed, match=words):
        exporter("elasticsearch", url).deliver(LINES)


def test_duckdb_reads_files_as_the_page_has_it(tmp_path: Path) -> None:
    """The folder aside."""
    for name in ("arro3", "obstore", "duckdb"):
        module(name)
    import duckdb  # noqa: PLC0415 - not everywhere

    values = load(settings(), {"PAYFLUX_EXPORT_PARQUET_URL": str(tmp_path)})
    lines = [line(number, processor=f"p{number % 2}") for number in range(10)]
    assert ParquetExporter(GroupOpening(values, "parquet", 5.0)).deliver(lines) == {}
    (query, *_) = blocks("parquet", "sql")
    with duckdb.connect() as connection:
        found = connection.execute(query.replace("s3://bucket/payflux", str(tmp_path))).fetchall()
    assert found == [("p0", 5, 0.25), ("p1", 5, 0.25)]


def test_the_table_of_athena_has_the_columns_of_the_files() -> None:
    """Each by its name, in their order, with the type that Athena has for it."""
    (table,) = [one for one in blocks("parquet", "sql") if "EXTERNAL TABLE" in one]
    columns = re.findall(
        r"(\w+) (string|int|bigint|double|timestamp|array<string>)[,)]", table.partition("PARTITIONED")[0]
    )
    kinds = {"utf8": "string", "int32": "int", "int64": "bigint", "float64": "double", "list": "array<string>"}
    assert dict(columns) == {name: kinds.get(kind, kind) for name, (kind, _) in COLUMNS.items()}
    assert [name for name, _ in columns] == list(COLUMNS)
