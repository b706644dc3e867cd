"""The append script on real servers: whatever fails, no mark without its event, no number doubled or skipped."""

import asyncio
import shutil
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux import redis_append
from payflux.errors import StreamUnavailable
from payflux.event import StoredEvent
from payflux.redis_append import RedisAppender, mark_of
from payflux.redis_keys import PROBE, STATE, STREAM
from payflux.redis_link import parse_url
from servers import Server, until

WINDOW = 1000
Answer = tuple[bytes, str]
"""What `settle` got: the flags, and the code of the error or an empty text."""


def event(number: int = 0) -> StoredEvent:
    """An event with an id of its own."""
    uid = uuid.uuid4()
    return StoredEvent(b'{"n":%d}' % number, str(uid), uid.bytes, "stripe")


async def wait_for(condition: Callable[[], object]) -> None:
    """Wait for a condition; fails the test when it does not come true in time."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what is waited for is often another process
            await asyncio.sleep(0.002)


@asynccontextmanager
async def appending(server: Server, maxlen: int = 0, window: int = WINDOW, **more: Any) -> AsyncIterator[RedisAppender]:
    """A connected appender."""
    appender = RedisAppender(parse_url(server.url), maxlen=maxlen, window_sec=window, **more)
    task = asyncio.ensure_future(appender.run())
    try:
        await wait_for(lambda: appender.connected)
        yield appender
    finally:
        task.cancel()
        appender.close()


async def append(appender: RedisAppender, events: Sequence[StoredEvent]) -> Answer:
    """Append, and wait for what `settle` is told."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    appender.append(events, lambda flags, error: future.set_result((flags, error.code if error else "")))
    return await asyncio.wait_for(future, 15)


def stored(server: Server) -> list[dict[bytes, bytes]]:
    """What is in the stream: the fields of each entry."""
    found: Any = server.client.xrange(STREAM)
    return [fields for _, fields in found]


def entries(server: Server) -> list[tuple[bytes, int]]:
    """What is in the stream: data and number of each entry."""
    return [(fields[b"data"], int(fields[b"seq"])) for fields in stored(server)]


def numbers(server: Server) -> list[int]:
    """The numbers in the stream."""
    return [seq for _, seq in entries(server)]


def marks(server: Server, layer: str = "*") -> list[str]:
    """The keys that hold marks."""
    return [key.decode() for key in server.client.scan_iter(f"{{{STREAM}}}:marks:{layer}:*", count=10_000)]


def layers(server: Server) -> list[list[int]]:
    """The layers of the state: id, digits, opened, closed, count, next bucket to delete."""
    text: Any = server.client.hget(STATE, "layers") or b""
    return [[int(number) for number in layer.split(",")] for layer in text.decode().split(";") if layer]


def put_layers(server: Server, *to: Sequence[int]) -> None:
    """Write the layers of the state by hand."""
    server.client.hset(STATE, "layers", ";".join(",".join(map(str, layer)) for layer in to))


def age(server: Server, seconds: int) -> None:
    """Let time pass: set back every instant in the state."""
    put_layers(
        server,
        *(
            (layer, digits, opened - seconds, closed and closed - seconds, count, sweep)
            for layer, digits, opened, closed, count, sweep in layers(server)
        ),
    )


def nothing_half_done(server: Server, events: Sequence[StoredEvent], taken: int) -> None:
    """Exactly the first `taken` events are there, marked and numbered, and the state says so."""
    assert entries(server) == [(one.data, seq) for seq, one in enumerate(events[:taken], 1)]
    assert sum(server.client.scard(key) for key in marks(server) if server.client.type(key) == b"set") == taken
    assert int(server.client.hget(STATE, "seq") or 0) == taken


# what a server may answer


async def test_a_flushed_script_is_sent_again(every_server: Server) -> None:
    """NOSCRIPT costs nobody anything."""
    batch = [event(n) for n in range(3)]
    async with appending(every_server) as appender:
        for number, one in enumerate(batch):
            every_server.client.script_flush()
            assert await append(appender, [one]) == (b"1", ""), number
    nothing_half_done(every_server, batch, 3)


async def test_a_stream_of_the_wrong_type_takes_no_mark(every_server: Server) -> None:
    """The event is refused without a mark or a number, and accepted as new when the key is gone."""
    batch = [event(1), event(2)]
    async with appending(every_server) as appender:
        every_server.client.set(STREAM, "mine")
        assert await append(appender, batch) == (b"", "redis_wrong_type")
        assert marks(every_server) == []
        assert every_server.client.exists(STATE) == 0
        with pytest.raises(StreamUnavailable) as raised:
            await appender.probe()
        assert raised.value.code == "redis_wrong_type"
        every_server.client.delete(STREAM)
        await appender.probe()
        assert await append(appender, batch) == (b"11", "")
    nothing_half_done(every_server, batch, 2)


async def test_a_stream_that_breaks_later_skips_no_number(every_server: Server) -> None:
    """The number of an event that was refused is given to the next one."""
    async with appending(every_server) as appender:
        await append(appender, [event()])
        every_server.client.rename(STREAM, "kept")
        every_server.client.set(STREAM, "mine")
        assert await append(appender, [event()]) == (b"", "redis_wrong_type")
        every_server.client.rename("kept", STREAM)
        assert await append(appender, [event()]) == (b"1", "")
    assert numbers(every_server) == [1, 2]


async def test_a_full_server_refuses_whole_events(every_server: Server) -> None:
    """OOM: nothing is stored, what is there stays a duplicate, and afterwards the same events are accepted."""
    batch = [event(n) for n in range(4)]
    async with appending(every_server) as appender:
        await append(appender, batch[:1])
        every_server.client.config_set("maxmemory", 1)
        assert await append(appender, batch[1:]) == (b"", "redis_oom")
        with pytest.raises(StreamUnavailable) as raised:
            await appender.probe()
        assert raised.value.code == "redis_oom"
        assert await append(appender, batch[:1]) == (b"0", "")
        nothing_half_done(every_server, batch, 1)
        every_server.client.config_set("maxmemory", 0)
        assert await append(appender, batch) == (b"0111", "")
    nothing_half_done(every_server, batch, 4)


async def test_deleting_old_marks_opens_no_way_around_a_full_server(every_server: Server) -> None:
    """A script that deletes marks first, which a full server allows, is as atomic as any other."""
    batch = [event(n) for n in range(3)]
    async with appending(every_server) as appender:
        await append(appender, batch[:1])
        age(every_server, 3 * WINDOW)
        await append(appender, batch[1:2])
        assert len(layers(every_server)) == 2
        every_server.client.config_set("maxmemory", 1)
        flags, code = await append(appender, batch[2:])
        every_server.client.config_set("maxmemory", 0)
        assert (flags, code) in {(b"1", ""), (b"", "redis_oom")}
        assert await append(appender, batch[2:]) == (b"0" if flags else b"1", "")
    assert entries(every_server) == [(one.data, seq) for seq, one in enumerate(batch, 1)]


async def test_a_replica_is_left_for_the_primary(every_server: Server) -> None:
    """READONLY: nothing is stored, the connection is made anew, and the event is accepted when writes are allowed."""
    batch = [event(n) for n in range(2)]
    async with appending(every_server) as appender:
        await append(appender, batch[:1])
        every_server.client.replicaof("127.0.0.1", "1")
        assert await append(appender, batch) == (b"0", "redis_readonly")
        assert not appender.connected
        every_server.client.replicaof("NO", "ONE")
        await wait_for(lambda: appender.connected)
        assert await append(appender, batch) == (b"01", "")
    nothing_half_done(every_server, batch, 2)


async def test_a_readonly_server_is_not_connected_to_for_every_batch(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it stays read-only the reconnects slow down, and so does the log."""
    server.client.replicaof("127.0.0.1", "1")
    async with appending(server) as appender:
        until_when = time.monotonic() + 0.6
        refused = 0
        while time.monotonic() < until_when:
            flags, code = await append(appender, [event()])
            assert (flags, code) in {(b"", "redis_readonly"), (b"", "redis_down")}
            refused += 1
            await asyncio.sleep(0.001)
    assert refused > 50
    assert 2 <= capsys.readouterr().err.count("redis_connected") <= 8


async def test_a_server_that_cannot_save_refuses_whole_events(every_server: Server) -> None:
    """MISCONF: nothing is stored, and the same event is accepted when saving works again."""
    one = event()
    blocked = every_server.directory / "dump.rdb"
    blocked.mkdir()
    client = every_server.client
    client.config_set("save", "3600 1000000")
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the save to fail")
    async with appending(every_server) as appender:
        assert await append(appender, [one]) == (b"", "redis_misconf")
        with pytest.raises(StreamUnavailable) as raised:
            await appender.probe()
        assert raised.value.code == "redis_misconf"
        client.config_set("save", "")
        assert await append(appender, [one]) == (b"1", "")
    nothing_half_done(every_server, [one], 1)


def start_slowly(server: Server) -> None:
    """Start it so that it loads 4000 keys in more than a second, and wait for no more than its socket."""
    server.path.unlink()
    slow = [*server._command, "--key-load-delay", "300"]
    server.process = subprocess.Popen(slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(server.path.exists, "the socket")


async def test_a_loading_server_is_waited_for(every_server: Server) -> None:
    """LOADING: refused with its own code, and accepted when the data is there."""
    one = event()
    pipeline = every_server.client.pipeline(transaction=False)
    for number in range(4000):
        pipeline.set(f"other:{number}", "x")
    pipeline.execute()
    every_server.kill()
    start_slowly(every_server)
    codes: Counter[str] = Counter()
    async with appending(every_server) as appender:
        while not codes[""]:
            flags, code = await append(appender, [one])
            assert flags == (b"" if code else b"1")
            codes[code] += 1
    assert codes["redis_loading"] > 0
    assert set(codes) <= {"redis_loading", ""}
    nothing_half_done(every_server, [one], 1)


@pytest.mark.parametrize("field", [False, True])
async def test_a_state_that_is_not_ours_stores_nothing(every_server: Server, field: bool) -> None:
    """With a state key of the wrong type, or a number that is none, nothing is appended."""
    one = event()
    if field:
        every_server.client.hset(STATE, "seq", "many")
    else:
        every_server.client.set(STATE, "mine")
    async with appending(every_server) as appender:
        assert await append(appender, [one]) == (b"", "redis_error" if field else "redis_wrong_type")
        assert every_server.client.exists(STREAM) == 0
        assert marks(every_server) == []
        every_server.client.delete(STATE)
        assert await append(appender, [one]) == (b"1", "")
    nothing_half_done(every_server, [one], 1)


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_bucket_that_is_not_ours_ends_the_batch_before_its_event(every_server: Server, at: int) -> None:
    """A mark key of the wrong type: events before are stored and told so, the rest is not, and goes in afterwards."""
    batch = [event(n) for n in range(3)]
    while len({mark_of(one.uid)[0][:3] for one in batch}) < 3:
        batch = [event(n) for n in range(3)]
    key = f"{{{STREAM}}}:marks:1:{mark_of(batch[at].uid)[0][:3]}"
    every_server.client.set(key, "mine")
    async with appending(every_server) as appender:
        assert await append(appender, batch) == (b"1" * at, "redis_wrong_type")
        nothing_half_done(every_server, batch, at)
        every_server.client.delete(key)
        assert await append(appender, batch) == (b"0" * at + b"1" * (3 - at), "")
    nothing_half_done(every_server, batch, 3)


async def test_only_the_callers_concerned_hear_of_a_failure(server: Server) -> None:
    """Of several appends in one script those before the failure succeed."""
    good, bad = [event(1)], [event(2), event(3)]
    while mark_of(bad[1].uid)[0][:3] in {mark_of(one.uid)[0][:3] for one in (*good, bad[0])}:
        bad[1] = event(3)
    server.client.set(f"{{{STREAM}}}:marks:1:{mark_of(bad[1].uid)[0][:3]}", "mine")
    async with appending(server) as appender:
        answers = await asyncio.gather(append(appender, good), append(appender, bad), append(appender, [event(4)]))
    assert list(answers) == [(b"1", ""), (b"1", "redis_wrong_type"), (b"", "redis_wrong_type")]
    assert numbers(server) == [1, 2]


# what may happen to a reply


async def test_a_lost_reply_is_unknown_and_sent_again_a_duplicate(every_server: Server) -> None:
    """The connection dies after the script ran: the caller is told that nothing is known, and one entry results."""
    one = event()
    client = every_server.client
    async with appending(every_server) as appender:
        await append(appender, [event()])
        every_server.process.send_signal(signal.SIGSTOP)
        answer = asyncio.ensure_future(append(appender, [one]))
        for _ in range(3):  # turns of the loop until it is sent
            await asyncio.sleep(0)
        appender.close()
        every_server.process.send_signal(signal.SIGCONT)
        assert await answer == (b"", "redis_down")
        until(lambda: client.xlen(STREAM) == 2, "the script to run")
        await wait_for(lambda: appender.connected)
        assert await append(appender, [one]) == (b"0", "")
    assert numbers(every_server) == [1, 2]


async def test_a_stalled_server_is_not_waited_for(every_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the deadline the caller is told; the script that ran later makes what is sent again a duplicate."""
    monkeypatch.setattr(redis_append, "REPLY_SECONDS", 0.2)
    one = event()
    async with appending(every_server) as appender:
        await append(appender, [event()])
        every_server.process.send_signal(signal.SIGSTOP)
        try:
            assert await append(appender, [one]) == (b"", "redis_timeout")
        finally:
            every_server.process.send_signal(signal.SIGCONT)
        until(lambda: every_server.client.xlen(STREAM) == 2, "the script to run")
        await wait_for(lambda: appender.connected)
        assert await append(appender, [one]) == (b"0", "")
    assert numbers(every_server) == [1, 2]


async def test_without_a_server_every_caller_is_told_at_once(server: Server) -> None:
    """No connection: redis_down, for all batches that wait; afterwards it works without anybody's help."""
    async with appending(server) as appender:
        server.kill()
        await wait_for(lambda: not appender.connected)
        answers = await asyncio.gather(*(append(appender, [event() for _ in range(300)]) for _ in range(20)))
        assert set(answers) == {(b"", "redis_down")}
        with pytest.raises(StreamUnavailable):
            await appender.probe()
        server.start()
        await wait_for(lambda: appender.connected)
        assert await append(appender, [event()]) == (b"1", "")


async def test_too_many_waiting_events_are_refused_later_not_at_once(server: Server) -> None:
    """Overload: an append beyond the bound is refused, from the loop and not from inside the call; nothing else is."""
    big = [event() for _ in range(redis_append.WAITING_EVENTS)]
    order: list[str] = []
    async with appending(server) as appender:
        taken = asyncio.ensure_future(append(appender, big))
        await asyncio.sleep(0)
        appender.append([event()], lambda _, error: order.append(error.code if error else "stored"))
        assert order == []
        await wait_for(lambda: order)
        assert order == ["overloaded"]
        assert await taken == (b"1" * len(big), "")
        await appender.drain()
        assert await append(appender, [event()]) == (b"1", "")
    assert numbers(server) == list(range(1, len(big) + 2))


async def test_the_probe_writes(every_server: Server) -> None:
    """Health proves a write, with a key that goes away by itself."""
    async with appending(every_server) as appender:
        await appender.probe()
    assert 0 < every_server.client.ttl(PROBE) <= 60


# marks


async def test_marks_are_integer_sets(every_server: Server) -> None:
    """At 256 ids a bucket the marks are still integers of 8 bytes each."""
    bucket = "abc"
    chosen: list[StoredEvent] = []
    half = (1 << 64) - 1
    back = pow(redis_append._ODD, -1, 1 << 128)
    for number in range(256):
        mixed = int(bucket, 16) << 116 | (number * 0x9E3779B97F4A7C15 + (1 << 103)) % (1 << 116)
        for _ in range(2):  # undo what mark_of does
            mixed = mixed * back % (1 << 128)
            mixed ^= mixed >> 64 & half
        chosen.append(StoredEvent(b"{}", "", mixed.to_bytes(16, "big"), "stripe"))
    assert {mark_of(one.uid)[0][:3] for one in chosen} == {bucket}
    assert max(mark_of(one.uid)[1] for one in chosen) > 1 << 62
    async with appending(every_server) as appender:
        assert await append(appender, chosen) == (b"1" * 256, "")
        assert await append(appender, chosen) == (b"0" * 256, "")
    (key,) = marks(every_server)
    assert every_server.client.scard(key) == 256
    assert every_server.client.object("encoding", key) == b"intset"


async def test_a_full_layer_is_followed_by_a_larger_one(every_server: Server) -> None:
    """When a layer is full the next one has a digit more, and what the full one holds is still known."""
    first, second = event(), event()
    async with appending(every_server) as appender:
        await append(appender, [first])
        ((layer, digits, opened, closed, _, sweep),) = layers(every_server)
        assert (layer, digits, closed, sweep) == (1, 3, 0, 0)
        put_layers(every_server, (layer, digits, opened, 0, 256 * 16**3, 0))
        assert await append(appender, [first, second]) == (b"01", "")
        (old, new) = layers(every_server)
        assert old[3] >= opened
        assert new[:2] == [2, 4]
        assert new[4] == 1
        assert marks(every_server, "2") == [f"{{{STREAM}}}:marks:2:{mark_of(second.uid)[0][:4]}"]
        assert await append(appender, [first, second]) == (b"00", "")


async def test_the_largest_layer_stays(server: Server) -> None:
    """There is no layer beyond the largest: it takes more than its mean instead."""
    async with appending(server) as appender:
        await append(appender, [event()])
        put_layers(server, (7, 6, int(time.time()), 0, 256 * 16**6, 0))
        assert await append(appender, [event()]) == (b"1", "")
        ((layer, digits, _, closed, count, _),) = layers(server)
        assert (layer, digits, closed, count) == (7, 6, 0, 256 * 16**6 + 1)


@pytest.mark.parametrize(("count", "digits"), [(256 * 16**3 - 1, 4), (256 * 16**3, 5)])
async def test_a_roomy_layer_is_followed_by_a_smaller_one(server: Server, count: int, digits: int) -> None:
    """After its window a layer that a smaller one could have held is followed by that one."""
    async with appending(server) as appender:
        await append(appender, [event()])
        now = int(time.time())
        put_layers(server, (1, 5, now - WINDOW, 0, count, 0))
        if digits == 5:
            put_layers(server, (1, 5, now - WINDOW, 0, count * 16, 0))
        await append(appender, [event()])
        assert layers(server)[-1][:2] == [2, digits]


async def test_an_id_is_remembered_for_one_to_two_windows(every_server: Server) -> None:
    """Known until a window after its layer was closed, and then new again."""
    old = event()
    async with appending(every_server) as appender:
        await append(appender, [old])
        age(every_server, WINDOW)  # the layer closes with the next new event
        assert await append(appender, [old, event(), old]) == (b"010", "")
        assert [layer[0] for layer in layers(every_server)] == [1, 2]
        age(every_server, WINDOW - 5)
        assert await append(appender, [old]) == (b"0", "")
        age(every_server, 10)
        assert await append(appender, [old, old]) == (b"10", "")
    assert numbers(every_server) == [1, 2, 3]


async def test_silence_does_not_prolong_the_memory(every_server: Server) -> None:
    """However long no event came, an id is forgotten two windows after it at the latest."""
    old = event()
    async with appending(every_server) as appender:
        await append(appender, [old])
        age(every_server, 2 * WINDOW + 5)
        assert await append(appender, [event()]) == (b"1", "")
        assert await append(appender, [old]) == (b"1", "")


async def test_an_empty_layer_takes_its_window_from_its_first_mark(every_server: Server) -> None:
    """A layer that was opened when nothing could be stored does not cut short what comes later."""
    old = event()
    async with appending(every_server) as appender:
        await append(appender, [event()])
        put_layers(every_server, (1, 3, int(time.time()) - 50 * WINDOW, 0, 0, 0))
        assert await append(appender, [old]) == (b"1", "")
        assert [layer[0] for layer in layers(every_server)] == [1]
        age(every_server, WINDOW - 5)
        assert await append(appender, [event(), old]) == (b"10", "")
        age(every_server, 10)
        assert await append(appender, [event(), old]) == (b"10", "")


async def test_the_servers_own_clock_rotates_and_forgets(server: Server) -> None:
    """With a window of a second, an id is known for more than one and new after at most about two."""
    old, first = event(), time.monotonic()
    async with appending(server, window=1) as appender:
        await append(appender, [old])
        known_until = first
        while (answer := await append(appender, [old])) == (b"0", ""):
            known_until = time.monotonic()
            assert known_until - first < 5
            await append(appender, [event()])
            await asyncio.sleep(0.01)
    assert answer == (b"1", "")
    assert known_until - first >= 0.9


async def test_old_layers_are_deleted_in_slices(every_server: Server) -> None:
    """Of a forgotten layer every script deletes some keys, until none is left and the state is as small as ever."""
    many = [event() for _ in range(1000)]
    async with appending(every_server) as appender:
        await append(appender, many)
        full = len(marks(every_server, "1"))
        assert full > 800
        age(every_server, 3 * WINDOW)
        left, scripts = full, 0
        while left:
            assert await append(appender, [event()]) == (b"1", "")
            now = len(marks(every_server, "1"))
            assert left - 65 <= now <= left
            left, scripts = now, scripts + 1
            assert scripts <= 64
        until(lambda: len(marks(every_server, "1")) == 0, "the last key to go")
        for _ in range(3):
            await append(appender, [event()])
        assert [layer[0] for layer in layers(every_server)] == [2]


async def test_a_script_of_duplicates_deletes_too(server: Server) -> None:
    """Deleting needs no new event, and what it has done is not done again."""
    one = event()
    async with appending(server) as appender:
        await append(appender, [event()])
        age(server, 3 * WINDOW)
        await append(appender, [one])
        before = layers(server)
        assert await append(appender, [one]) == (b"0", "")
        assert [layer[5] for layer in layers(server)] == [before[0][5] + 64, 0]


async def test_rare_scripts_do_not_pile_up_layers(server: Server) -> None:
    """With one event a window the slices grow, so that the number of layers stays small and old keys go."""
    async with appending(server) as appender:
        for number in range(60):
            assert await append(appender, [event()]) == (b"1", "")
            age(server, WINDOW + 1)
            assert len(layers(server)) <= 16, number
    assert len(marks(server)) <= 16


@given(
    when=st.integers(0, (1 << 48) - 1),
    step=st.sampled_from([0, 1, 3]),
    kind=st.sampled_from(["v7", "v1", "counter"]),
    node=st.integers(0, (1 << 48) - 1),
)
@settings(max_examples=15, deadline=None)
def test_ids_that_share_bits_spread_over_the_buckets(when: int, step: int, kind: str, node: int) -> None:
    """Ids of versions 7 and 1, and plain counters, fill all buckets alike, and no two of them share a mark."""
    size, ids = 16, set()
    for n in range(16 * 200):
        if kind == "v7":
            value = (when + n * step) % (1 << 48) << 80 | 7 << 76 | (n % 4096) << 64 | 2 << 62 | node << 13 | n
        elif kind == "v1":
            value = (when + n * (step + 1)) % (1 << 32) << 96 | 1 << 76 | 2 << 62 | node
        else:
            value = node << 64 | n
        ids.add(value.to_bytes(16, "big"))
    found = [mark_of(uid) for uid in ids]
    assert len(set(found)) == len(ids)
    assert all(len(bucket) == 6 and 0 <= mark < 1 << 63 for bucket, mark in found)
    mean = len(ids) / size
    counts = Counter(int(bucket[:1], 16) for bucket, _ in found)
    assert all(abs(counts[n] - mean) < 8 * mean**0.5 for n in range(size))


# what an operator or a crash may do


def test_a_cut_append_only_file_has_mark_and_entry_or_neither(every_server: Server, directory: Path) -> None:
    """Wherever the file of a killed server ends, the last batch is there with marks and numbers, or not at all."""
    first, last = [event(n) for n in range(3)], [event(n) for n in range(3, 6)]

    async def fill() -> tuple[int, int]:
        async with appending(every_server) as appender:
            await append(appender, first)
            until(lambda: b"n" in file.read_bytes(), "the first batch to be written")
            start = file.stat().st_size
            await append(appender, last)
            until(lambda: file.stat().st_size > start, "the second batch to be written")
        return start, file.stat().st_size

    (file,) = [*directory.glob("appendonly.aof"), *directory.glob("appendonlydir/*.incr.aof")]
    start, end = asyncio.run(fill())
    every_server.kill()
    whole = directory / "whole"
    shutil.copy(file, whole)
    outcomes = set()
    for cut in [*range(start + 1, end, (end - start) // 9), end - 1, end]:
        shutil.copy(whole, file)
        with file.open("r+b") as cut_file:
            cut_file.truncate(cut)
        every_server.start()
        there = every_server.client.xlen(STREAM)
        outcomes.add(there)
        nothing_half_done(every_server, [*first, *last], there)

        async def again(taken: int) -> None:
            async with appending(every_server) as appender:
                assert await append(appender, last) == (b"0" * taken + b"1" * (3 - taken), "")

        asyncio.run(again(there - 3))
        nothing_half_done(every_server, [*first, *last], 6)
        every_server.kill()
    assert outcomes == {3, 6}


async def test_the_stream_is_trimmed_to_about_its_length(every_server: Server) -> None:
    """Never below `maxlen`, and above it by no more than one node of the stream."""
    async with appending(every_server, maxlen=200) as appender:
        for _ in range(10):
            await append(appender, [event() for _ in range(100)])
            length = every_server.client.xlen(STREAM)
            assert length <= 200 + 100
        assert length >= 200
    assert numbers(every_server)[-1] == 1000


async def test_without_a_length_nothing_is_trimmed(every_server: Server) -> None:
    """`maxlen` 0 keeps everything."""
    async with appending(every_server) as appender:
        for _ in range(4):
            await append(appender, [event() for _ in range(500)])
    assert every_server.client.xlen(STREAM) == 2000


async def test_the_first_entry_after_a_loss_says_what_was_lost(every_server: Server) -> None:
    """When Redis knows fewer numbers than we were told, the next entry carries `lost_to`, and only that one."""
    heard: list[int] = []
    async with appending(every_server, told=lambda: max(heard, default=0), heard=heard.append) as appender:
        await append(appender, [event() for _ in range(5)])
        assert heard == [5]
        every_server.client.flushall()
        await append(appender, [event(), event()])
    assert heard == [5, 2]
    assert [fields.get(b"lost_to") for fields in stored(every_server)] == [b"5", None]
    assert numbers(every_server) == [1, 2]


async def test_no_loss_no_marker(every_server: Server) -> None:
    """An appender that has been told less than Redis knows marks nothing."""
    async with appending(every_server) as one, appending(every_server, told=lambda: 2) as other:
        await append(one, [event() for _ in range(2)])
        await append(other, [event()])
    assert [set(fields) for fields in stored(every_server)] == [{b"data", b"seq"}] * 3
