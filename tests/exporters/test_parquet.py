"""Parquet: every event in one file exactly once, whoever writes and dies, in columns that others can read."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from bucket import aws, bucket
from destinations import free_port
from needs import module
from payflux.errors import ExportFailed
from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS
from payflux.exporters import GroupOpening
from payflux.exporters.parquet import COLUMNS, DESTINATION, URL, ParquetExporter
from payflux.settings import Values, load
from payflux.testing import make_event

HOUR = 3_600_000
NOON = 1_767_960_000_000  # 2026-01-09T12:00:00Z


@pytest.fixture(autouse=True)
def _libraries() -> None:
    """What it writes and reads with."""
    for name in ("arro3", "obstore", "duckdb"):
        module(name)


def line(seq: int, at: int = NOON, **members: object) -> bytes:
    """The line of one event."""
    more = {
        "stream_message_id": f"{at + seq}-0",
        "consumer_name": "one",
        "processed_at": "2026-01-09T12:00:01Z",
        "processor_risk_score": 0.25,
        "processor_risk_band": "low",
        "processor_risk_drivers": ["nominal_behavior", "geo_entropy_increase"],
        "seq": seq,
        "schema_version": 1,
    }
    return json.dumps(make_event() | more | members, separators=(",", ":")).encode() + b"\n"


def given(folder: object) -> Values:
    """The settings of an exporter to a folder."""
    return load(DESTINATION.settings, {URL.name: str(folder)})


def exporter(folder: Path, chosen: str = "") -> ParquetExporter:
    """One that writes there what came through a filter, as a new process makes it."""
    return ParquetExporter(GroupOpening(given(folder), "parquet", 5.0, filter=chosen))


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """What DuckDB finds in all files."""
    import duckdb  # noqa: PLC0415 - not everywhere

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        files = f"read_parquet('{folder}/dt=*/hour=*/*.parquet', hive_partitioning = true)"
        found: list[tuple[Any, ...]] = connection.execute(sql.replace("EVENTS", files)).fetchall()
        return found


def test_events_are_read_back_as_they_were(tmp_path: Path) -> None:
    """By DuckDB: texts, numbers, times with their fractions, lists, and what was not sent is null."""
    writing = exporter(tmp_path / "new" / "folder")
    sent = line(7, event_timestamp="2026-01-09T11:59:59.123456Z", amount_minor=2**40)
    assert writing.deliver([sent]) == {}
    writing.close()
    wanted = json.loads(sent)
    columns = "event_id, processor, retry_count, amount_minor, currency, processor_risk_score, seq, schema_version"
    (row,) = query(tmp_path / "new" / "folder", f"SELECT {columns}, processor_risk_drivers FROM EVENTS")  # noqa: S608
    assert row == tuple(wanted.get(name) for name in (*columns.split(", "), "processor_risk_drivers"))
    (times,) = query(
        tmp_path / "new" / "folder", "SELECT epoch_us(event_timestamp), dt::varchar, hour::int FROM EVENTS"
    )
    assert times == (1_767_959_999_123_456, "2026-01-09", 12)


def test_there_is_a_column_for_each_member() -> None:
    """None is forgotten, and those of old have the places they had."""
    assert {*EVENT_FIELDS, *ADDITIVE_FIELDS} < set(COLUMNS)
    assert list(COLUMNS)[-2:] == ["seq", "schema_version"]


def test_each_hour_has_files_of_its_own_and_a_manifest_each(tmp_path: Path) -> None:
    """By the time Redis took the events; the manifest says how many there are, and from where to where."""
    assert exporter(tmp_path).deliver([line(1), line(2), line(3, NOON + HOUR)]) == {}
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert files == [
        f"_manifest/dt=2026-01-09/hour=12/{NOON + 1}-0.json",
        f"_manifest/dt=2026-01-09/hour=13/{NOON + HOUR + 3}-0.json",
        f"dt=2026-01-09/hour=12/{NOON + 1}-0.parquet",
        f"dt=2026-01-09/hour=13/{NOON + HOUR + 3}-0.parquet",
    ]
    assert json.loads((tmp_path / files[0]).read_bytes()) == {
        "file": files[2],
        "first_id": f"{NOON + 1}-0",
        "last_id": f"{NOON + 2}-0",
        "first_seq": 1,
        "last_seq": 2,
        "rows": 2,
        "filter": "",
    }


@pytest.mark.parametrize("seed", range(6))
def test_every_event_is_there_once_whoever_writes(tmp_path: Path, seed: int) -> None:
    """Processes that die before their ack and are replaced, and one that was given up and comes back, in any order."""
    chance = random.Random(seed)
    lines = [line(seq, NOON + HOUR - 30) for seq in range(1, 61)]  # over the end of an hour
    acked, old, held = 0, exporter(tmp_path), lines[:0]
    writing = exporter(tmp_path)
    while acked < len(lines):
        batch = lines[acked : acked + chance.randint(1, 20)]
        if chance.random() < 0.3 and held:
            old.deliver(held)
        assert writing.deliver(batch) == {}
        if chance.random() < 0.5:
            acked += len(batch)
        else:  # it died before its ack: another one takes its place, and the former may still be at work
            old, held, writing = writing, lines[acked : acked + chance.randint(1, 20)], exporter(tmp_path)
    assert query(tmp_path, "SELECT count(*), count(DISTINCT seq), min(seq), max(seq) FROM EVENTS") == [(60, 60, 1, 60)]
    manifests = [json.loads(path.read_bytes()) for path in (tmp_path / "_manifest").rglob("*.json")]
    assert sum(one["rows"] for one in manifests) == 60


@pytest.mark.parametrize("seed", range(4))
def test_gaps_are_filled_without_an_overlap(tmp_path: Path, seed: int) -> None:
    """Spans of the past in any order, each by a process of its own, some of them lines that fit no column."""
    chance = random.Random(seed)
    lines = [line(seq, NOON + HOUR - 30) for seq in range(1, 61)]
    lines[chance.randrange(60)] = line(99, NOON, retry_count=2**40)
    spans = [sorted((chance.randrange(61), chance.randrange(61))) for _ in range(5)]
    for start, end in [*(span for span in spans if span[0] < span[1]), (0, 60)]:
        writing, batch = exporter(tmp_path), chance.randint(1, 30)
        for first in range(start, end, batch):
            writing.deliver(lines[first : min(first + batch, end)])
    assert query(tmp_path, "SELECT count(*), count(DISTINCT seq) FROM EVENTS") == [(59, 59)]


@pytest.mark.parametrize("first", [1, 4, 7])
@pytest.mark.parametrize(
    ("there", "here"), [("stripe alone", ""), ("", "stripe alone"), ("stripe alone", "adyen alone")]
)
def test_what_a_filter_left_out_does_not_pass_for_written(tmp_path: Path, first: int, there: str, here: str) -> None:
    """A file of another filter stops whoever meets it, wherever it begins, and says what to do; its own go on."""
    lines = [line(seq) for seq in range(1, 10)]
    assert exporter(tmp_path, there).deliver(lines[3:6:2]) == {}
    with pytest.raises(
        ExportFailed, match=r"through another filter, .*: give each filter a folder of its own"
    ) as caught:
        exporter(tmp_path, here).deliver(lines[first - 1 :])
    assert caught.value.code == "denied"
    assert f"the filter there is {there or 'none'}, here {here or 'none'}" in str(caught.value)
    assert exporter(tmp_path, here).deliver([line(1, NOON + HOUR)]) == {}
    assert exporter(tmp_path, there).deliver(lines[3::2]) == {}
    assert query(tmp_path, "SELECT seq FROM EVENTS ORDER BY seq") == [(1,), (4,), (6,), (8,)]


def test_a_filter_is_met_in_the_midst_of_an_hour_too(tmp_path: Path) -> None:
    """A process that has looked at the hour already finds it out when a file has the name of its own."""
    writing = exporter(tmp_path)
    assert writing.deliver([line(1)]) == {}
    assert exporter(tmp_path / "other", "stripe alone").deliver([line(2), line(5)]) == {}
    place = Path("dt=2026-01-09", "hour=12", f"{NOON + 2}-0.parquet")
    (tmp_path / "other" / place).rename(tmp_path / place)
    with pytest.raises(ExportFailed, match="through another filter"):
        writing.deliver([line(2), line(3)])


def test_files_of_others_are_passed_over(tmp_path: Path) -> None:
    """Those in the folder of an hour whose names are no entries."""
    assert exporter(tmp_path).deliver([line(1)]) == {}
    for name in ("data_0", "1-", "part-1-0", ""):
        (tmp_path / "dt=2026-01-09" / "hour=12" / f"{name}.parquet").write_text("somebody else's")
    assert exporter(tmp_path).deliver([line(1), line(2)]) == {}
    assert (tmp_path / "dt=2026-01-09" / "hour=12" / f"{NOON + 2}-0.parquet").exists()


def test_a_record_that_fits_no_column_is_refused_alone(tmp_path: Path) -> None:
    """By its place; the others are written."""
    odd = line(2, event_timestamp="when it was")
    assert list(exporter(tmp_path).deliver([line(1), odd, line(3), line(4, retry_count=2**40)])) == [1, 3]
    assert query(tmp_path, "SELECT seq FROM EVENTS ORDER BY seq") == [(1,), (3,)]
    assert list(exporter(tmp_path).deliver([line(1), odd])) == [1]  # also when it died before it could say so
    assert list(exporter(tmp_path / "alone").deliver([odd])) == [0]


def test_what_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    """Told with the path; a file of somebody else's with the name of ours is not taken for it."""
    (tmp_path / "dt=2026-01-09").write_text("in the way")
    with pytest.raises(ExportFailed) as caught:
        exporter(tmp_path).deliver([line(1)])
    assert caught.value.code in {"unreachable", "write"}
    (tmp_path / "dt=2026-01-09").unlink()
    folder = tmp_path / "dt=2026-01-09" / "hour=12"
    folder.mkdir(parents=True)
    (folder / f"{NOON + 1}-0.parquet").write_text("rubbish")
    with pytest.raises(ExportFailed, match="no file of PayFlux's"):
        exporter(tmp_path).deliver([line(1)])


def test_an_object_store_that_is_not_there_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out at the first delivery, not when it is made."""
    for name, text in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "eu-central-1"),
    ):
        monkeypatch.setenv(name, text)
    values = given("s3://bucket/folder")
    with pytest.raises(ExportFailed) as caught:
        ParquetExporter(GroupOpening(values, "parquet", 1.0)).deliver([line(1)])
    assert caught.value.code == "unreachable"


def test_an_object_is_made_by_who_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that do not know of each other deliver the same to S3: the second goes on behind the first one's object."""
    with bucket(free_port()) as store:
        for name, text in aws(store.port).items():
            monkeypatch.setenv(name, text)
        lines = [line(seq) for seq in range(1, 31)]
        first, second = (ParquetExporter(GroupOpening(given("s3://events/f"), "parquet", 5.0)) for _ in range(2))
        assert first.deliver(lines[:5]) == second.deliver(lines[:5]) == {}
        assert first.deliver(lines[5:15]) == {}
        assert second.deliver(lines[5:]) == {}
        store.copy(tmp_path)
    assert query(tmp_path / "f", "SELECT count(*), count(DISTINCT seq) FROM EVENTS") == [(30, 30)]
    rows = [json.loads(path.read_bytes())["rows"] for path in sorted((tmp_path / "f" / "_manifest").rglob("*.json"))]
    assert rows == [5, 10, 15]


@pytest.mark.parametrize("text", ["relative/path", "ftp://host/x", "file://host/x", "s3:bucket"])
def test_wrong_places_are_refused(text: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match="an absolute path, or a URL such as s3://bucket/folder"):
        URL.parse(text)


def test_the_check_says_whether_files_can_be_written(tmp_path: Path) -> None:
    """For a folder; nothing is made there."""
    assert list(DESTINATION.refuse(load(DESTINATION.settings, {}))) == [
        f"{URL.name}: expected a path, or a URL such as s3://bucket/folder"
    ]
    (finding,) = DESTINATION.look(given(tmp_path / "later"))
    assert (finding.verdict, list(tmp_path.iterdir())) == ("pass", [])
