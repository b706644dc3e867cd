"""The producer client's spool: what is on disk, and what survives nodes, processes and crashes."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_node import KEY, Reply, ThreadNode, exact, nobody, thread_node
from payflux.client import Client, Counts
from payflux.client.spool import Spool
from payflux.testing import make_event
from servers import until


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*.jsonl"))


def fresh(directory: Path, max_bytes: int = 1 << 30) -> Spool:
    spool = Spool(directory, max_bytes)
    spool.open()
    return spool


def drain(spool: Spool) -> tuple[list[bytes], int]:
    """Everything in it, and how much of it was damaged."""
    events: list[bytes] = []
    damaged = 0
    while True:
        chunk = spool.read(100, 1 << 20)
        if not (chunk.events or chunk.damaged):
            return events, damaged
        events += chunk.events
        damaged += chunk.damaged
        spool.forget()


_events = st.lists(st.binary(min_size=1, max_size=300).map(lambda data: data.replace(b"\n", b" ")), max_size=30)


@given(batches=st.lists(_events, max_size=8), reads=st.integers(1, 50), again=st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_goes_in_comes_out_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[bytes]],
    reads: int,
    again: bool,
) -> None:
    """Also over the end of the process, and nothing stays on disk afterwards."""
    directory = tmp_path_factory.mktemp("spool")
    spool = fresh(directory)
    for batch in batches:
        assert spool.append(batch) == len(batch)
    given_in = [event for batch in batches for event in batch]
    if again:
        spool.close()
        spool = Spool(directory, 1 << 30)
        assert spool.open() == len(given_in)
    assert spool.read(reads, 1 << 20) == spool.read(reads, 1 << 20)
    assert drain(spool) == (given_in, 0)
    spool.close()
    assert [path for path in directory.iterdir() if path.is_dir()] == []


def test_it_takes_no_more_bytes_than_it_may(tmp_path: Path) -> None:
    """What does not fit is not written, and room comes back when a segment is settled."""
    spool = fresh(tmp_path, 10 * 110)
    assert spool.append([b"x" * 100] * 25) == 10
    assert spool.append([b"x" * 100]) == 0
    assert segments(tmp_path)[0].stat().st_size == 1100
    assert len(drain(spool)[0]) == 10
    assert spool.append([b"x" * 100]) == 1
    spool.close()


def test_segments_end_and_go_when_settled(tmp_path: Path) -> None:
    """Each holds about a mebibyte, and is deleted when all of it is settled."""
    spool = fresh(tmp_path)
    for number in range(30):
        spool.append([b"%d" % number + b"x" * 100_000])
    assert len(segments(tmp_path)) == 3
    read = 0
    while len(segments(tmp_path)) == 3:
        read += len(spool.read(1, 1 << 20).events)
        spool.forget()
    assert read == 11
    assert [event[:2] for event in drain(spool)[0]] == [b"%d" % number for number in range(11, 30)]
    spool.close()


def test_two_processes_do_not_take_each_others_events(tmp_path: Path) -> None:
    """A directory whose owner lives is left alone; afterwards it is taken over once."""
    one, two = fresh(tmp_path), fresh(tmp_path)
    one.append([b"1"])
    two.append([b"2"])
    three = Spool(tmp_path, 1 << 20)
    assert three.open() == 0
    one.close()
    two.close()
    assert three.open() == 0
    four, five = Spool(tmp_path, 1 << 20), Spool(tmp_path, 1 << 20)
    assert (four.open(), five.open()) == (2, 0)
    assert sorted(drain(four)[0]) == [b"1", b"2"]
    for spool in (three, four, five):
        spool.close()


@pytest.mark.parametrize(
    ("old", "new", "left", "damaged"),
    [
        (b"two", b"twO", [b"one", b"three"], 1),
        (b"\n", b"", [b"one", b"two"], 0),
        (b"three\n", b"th", [b"one", b"two"], 0),
        (b"one\n", b"\0\0\0\n", [b"two", b"three"], 1),
        (b" two\n", b" t\nwo\n", [b"one", b"three"], 2),
    ],
)
def test_damage_costs_only_the_lines_it_hit(
    tmp_path: Path, old: bytes, new: bytes, left: list[bytes], damaged: int
) -> None:
    """A torn end, a flipped bit, zeros: what is whole is delivered."""
    spool = fresh(tmp_path)
    spool.append([b"one", b"two", b"three"])
    spool.close()
    (segment,) = segments(tmp_path)
    head, _, tail = segment.read_bytes().rpartition(old)
    segment.write_bytes(head + new + tail)
    spool = fresh(tmp_path)
    assert drain(spool) == (left, damaged)
    spool.close()


def test_deleted_segments_are_counted(tmp_path: Path) -> None:
    """Somebody who empties the directory costs exactly what was in it, and later events are kept."""
    spool = fresh(tmp_path)
    spool.append([b"one", b"two"])
    segments(tmp_path)[0].unlink()
    assert drain(spool) == ([], 2)
    spool.append([b"three"])
    assert drain(spool) == ([b"three"], 0)
    spool.close()


def test_damaged_events_are_counted(tmp_path: Path) -> None:
    """Every event found in the spool is delivered or counted as damaged."""
    with nobody() as url:
        client = Client(url, KEY, spool=tmp_path)
        for _ in range(20):
            client.send(make_event())
        until(lambda: client.counts().spooled == 20, "the spool")
        client.close(0)
    for segment in segments(tmp_path):
        segment.write_bytes(segment.read_bytes().replace(b"stripe", b"STRIPE", 5))
    with thread_node() as node:
        client = Client(node.url, KEY, spool=tmp_path)
        until(lambda: client.counts().recovered == 20, "the recovery")
        assert client.flush(10)
        counts = client.counts()
        assert (counts.accepted, counts.dropped) == (15, {"spool_damaged": 5})
        assert exact(counts)
        client.close()


def test_files_are_for_this_user_alone(tmp_path: Path) -> None:
    """What is on disk is readable by nobody else."""
    directory = tmp_path / "new" / "spool"
    spool = fresh(directory)
    spool.append([b"event"])
    modes = [path.stat().st_mode & 0o077 for path in (directory, *directory.rglob("*"))]
    assert len(modes) == 5
    assert set(modes) == {0}
    spool.close()


def test_a_directory_that_cannot_be_used_costs_the_spool_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and events go by memory."""
    (tmp_path / "file").touch()
    with thread_node() as node:
        client = Client(node.url, KEY, spool=tmp_path / "file")
        client.send(make_event())
        assert client.flush(10)
        assert client.counts().accepted == 1
        client.close()
    assert caplog.text.count("cannot open the spool") == 1


def test_a_full_queue_goes_to_the_spool_while_the_node_is_slow(tmp_path: Path) -> None:
    """A request that hangs does not keep the rest from the disk; everything arrives in the end, in order."""
    go_on = threading.Event()

    def slow(_: ThreadNode, __: Sequence[bytes]) -> Reply | None:
        go_on.wait(20)
        return None

    with thread_node(slow) as node:
        client = Client(node.url, KEY, spool=tmp_path, max_events=600)
        ids = []
        for _ in range(3000):
            event = make_event()
            ids.append(event["event_id"])
            assert client.send(event)
            until(lambda: client.counts().queued < 600, "room")
        counts = client.counts()
        assert counts.accepted == 0
        assert counts.spooled >= 2400
        assert exact(counts)
        go_on.set()
        assert client.flush(20)
        assert client.counts() == Counts(3000, 0, 3000, 0, {}, {}, 0, 0, 0)
        assert list(node.stored) == ids
        client.close()
    assert segments(tmp_path) == []


def test_a_full_spool_leaves_the_rest_in_memory_and_then_drops(tmp_path: Path) -> None:
    """Both bounds hold, and every event is counted."""
    with nobody() as url:
        client = Client(url, KEY, spool=tmp_path, spool_max_bytes=20_000, max_events=50)
        until(lambda: not client.send(make_event()), "the end of all room")
        counts = client.counts()
        assert 30 <= counts.spooled <= 50
        assert counts.queued == 50
        assert exact(counts)
        client.close(0)
        counts = client.counts()
        assert counts.dropped["unsent"] == 50
        assert exact(counts)
    assert sum(segment.stat().st_size for segment in segments(tmp_path)) <= 20_000
