"""Reading histories: what is an event, when it was, and what is said of everything else."""

import gzip
import json
from pathlib import Path

import pytest

from events import EVENT
from payflux.commands.backtest.history import LATE_MS, SHOWN, History, bytes_of, in_order, timed

AT_MS = 1_767_957_855_596


def line(at_ms: int = AT_MS, **members: object) -> bytes:
    """A line as a node exports it."""
    further = {"stream_message_id": f"{at_ms}-0", "consumer_name": "c", "processor_risk_drivers": ["x"], "seq": 7}
    return json.dumps(EVENT | further | members).encode()


def written(path: Path, *lines: bytes) -> str:
    """A file of lines."""
    path.write_bytes(b"".join(one + b"\n" for one in lines))
    return str(path)


def test_the_time_of_an_exported_line_is_that_of_its_entry() -> None:
    """What the producer says is only shown."""
    found = timed(line())
    assert found is not None
    assert (found.at_ms, found.entry.processor, found.entry.amount_minor) == (AT_MS, EVENT["processor"], 0)


@pytest.mark.parametrize(
    ("stamp", "at_ms"),
    [
        ("2026-01-09T12:00:00Z", 1_767_960_000_000),
        ("2026-01-09T12:00:00.1Z", 1_767_960_000_100),
        ("2026-01-09T12:00:00.123456Z", 1_767_960_000_123),
        ("2026-01-09T13:00:00.5+01:00", 1_767_960_000_500),
        ("2026-01-09t12:00z", 1_767_960_000_000),
    ],
)
def test_the_time_of_an_event_is_the_producers(stamp: str, at_ms: int) -> None:
    """In every form that a node takes."""
    found = timed(json.dumps(EVENT | {"event_timestamp": stamp}).encode())
    assert found is not None
    assert found.at_ms == at_ms


def test_an_event_is_taken_as_a_node_takes_it() -> None:
    """Null for an absent member, a whole number with a fraction, no id at all: all the same to a backtest."""
    found = timed(json.dumps(EVENT | {"geo_bucket": None, "retry_count": 2.0}).encode())
    assert found is not None
    assert (found.entry.geo_bucket, found.entry.retry_count) == ("", 2)
    assert (
        timed(b'{"event_type":"payment_failed","processor":"p","event_timestamp":"2026-01-09T12:00:00Z"}') is not None
    )


@pytest.mark.parametrize("other", [b'{"kind":"incident","id":"1"}', b'{"ts":"x","level":"info","msg":"started"}'])
def test_incidents_and_logs_are_no_events_and_need_not_be(other: bytes) -> None:
    """They stand in the files of people who collect everything."""
    assert timed(other) is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not json", "invalid_json"),
        (b'{"event_type":"payment_failed"}', "event_timestamp"),
        (line(stream_message_id="yesterday"), "stream_message_id"),
        (b'{"event_type":"a_failed","processor":"p","event_timestamp":"yesterday"}', "event_timestamp"),
        (b'{"event_type":"a_failed","processor":"p","event_timestamp":"2026-01-09T12:00:61Z"}', "event_timestamp"),
        (b"\xff\xfe{}", "UTF"),
        (b"[" * 100_000, "invalid_json"),
        (None, "1,048,576"),
    ],
)
def test_a_bad_line_says_what_is_wrong(bad: bytes | None, reason: str) -> None:
    """Never by a traceback."""
    with pytest.raises(ValueError, match=reason):
        timed(bad)


def test_bad_lines_are_counted_and_named(tmp_path: Path) -> None:
    """By file and line, the first of them; all else is read."""
    name = written(tmp_path / "a.jsonl", line(), b"", b"{", *[b"x"] * 30, line(), b'{"kind":"incident"}')
    history = History([name])
    assert [one.at_ms for one in history] == [AT_MS, AT_MS]
    assert (history.events, history.bad, history.others, len(history.problems)) == (2, 31, 1, SHOWN)
    assert history.problems[0].startswith(f"{name}: line 3: invalid_json")


def test_files_come_in_the_order_of_their_time(tmp_path: Path) -> None:
    """Rotated ones are named in any order, and some are packed."""
    old, new = tmp_path / "events.jsonl.1.gz", written(tmp_path / "events.jsonl", line(AT_MS + 5000))
    old.write_bytes(gzip.compress(line() + b"\n"))
    ordered = in_order([new, str(old)])
    assert ordered == [str(old), new]
    assert [one.at_ms for one in History(ordered)] == [AT_MS, AT_MS + 5000]
    assert bytes_of([new]) == Path(new).stat().st_size
    assert bytes_of(ordered) is None


def test_an_array_is_read_item_by_item(tmp_path: Path) -> None:
    """As `jq -s` writes it, spread over lines or not; a bad item has a number."""
    file = tmp_path / "array.json"
    file.write_bytes(b"[" + line() + b",\n7,\n" + line(AT_MS + 1) + b"]")
    history = History([str(file)])
    assert [one.at_ms for one in history] == [AT_MS, AT_MS + 1]
    assert history.problems[0].startswith(f"{file}: item 2: ")


def test_what_is_out_of_order_is_counted(tmp_path: Path) -> None:
    """A little is how the world is; minutes say that the file is not sorted."""
    late = [line(AT_MS), line(AT_MS - LATE_MS), line(AT_MS - LATE_MS - 1)]
    history = History([written(tmp_path / "late.jsonl", *late)])
    assert len(list(history)) == 3
    assert history.late == 1


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    """All of them in the end."""
    told: list[int] = []
    name = written(tmp_path / "long.jsonl", *[line()] * 3)
    list(History([name], told.append))
    assert sum(told) == Path(name).stat().st_size
