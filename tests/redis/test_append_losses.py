"""The append script after a crash, under trimming, and after a loss of data."""

import asyncio
import shutil
from pathlib import Path

from append_state import nothing_half_done, numbers, stored
from servers import Server, until
from stream_keys import STREAM
from streams import append, appending, event

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
