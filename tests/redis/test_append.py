"""The append script on real servers: whatever fails, no mark without its event, no number doubled or skipped."""

import asyncio
import signal
import subprocess
import time
from collections import Counter

import pytest

from append_state import age, entries, layers, marks, nothing_half_done, numbers
from payflux.errors import StreamUnavailable
from payflux.redis import append as redis_append
from payflux.redis.append import mark_of
from servers import Server, until
from stream_keys import STATE, STREAM
from streams import WINDOW, append, appending, event, wait_for

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


async def test_a_mark_set_first_is_taken_back_when_its_append_fails(every_server: Server) -> None:
    """The stream has one id left: the first event takes it, the second is neither stored nor known afterwards."""
    batch = [event(1), event(2), event(3)]
    last = 2**64 - 1
    every_server.client.xadd(STREAM, {"data": "{}"}, id=f"{last}-{last - 1}")
    async with appending(every_server) as appender:
        assert await append(appender, batch) == (b"1", "redis_exhausted")
        assert [every_server.client.scard(key) for key in marks(every_server)] == [1]
        assert every_server.client.hget(STATE, "seq") == b"1"
        every_server.client.delete(STREAM)
        assert await append(appender, batch) == (b"011", "")
    assert numbers(every_server) == [2, 3]


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
        assert await append(appender, [one]) == (b"", "redis_bad_value" if field else "redis_wrong_type")
        assert every_server.client.exists(STREAM) == 0
        assert marks(every_server) == []
        every_server.client.delete(STATE)
        assert await append(appender, [one]) == (b"1", "")
    nothing_half_done(every_server, [one], 1)


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_bucket_that_is_not_ours_ends_the_batch_before_its_event(every_server: Server, at: int) -> None:
    """A mark key of the wrong type: events before are stored and told so, the rest is not, and goes in afterwards."""
    batch = [event(n) for n in range(3)]
    while len({mark_of(one.uid)[:3] for one in batch}) < 3:
        batch = [event(n) for n in range(3)]
    key = f"{{{STREAM}}}:marks:1:{mark_of(batch[at].uid)[:3]}"
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
    while mark_of(bad[1].uid)[:3] in {mark_of(one.uid)[:3] for one in (*good, bad[0])}:
        bad[1] = event(3)
    server.client.set(f"{{{STREAM}}}:marks:1:{mark_of(bad[1].uid)[:3]}", "mine")
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
