"""Marks of event ids: small, spread, remembered for one to two windows, and forgotten."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from append_state import age, layers, marks, numbers, put_layers
from payflux.event.decode import StoredEvent
from payflux.redis.append import mark_of
from servers import Server, until
from stream_keys import KEYS, STATE, STREAM
from streams import WINDOW, append, appending, event

# marks


def in_bucket(bucket: str) -> Callable[[bytes], bool]:
    """Whether the mark of an id is kept in a bucket."""
    return lambda uid: mark_of(uid).startswith(bucket)


async def test_marks_are_integer_sets(every_server: Server) -> None:
    """At 256 ids a bucket the marks are still integers of 8 bytes each."""
    bucket = "abc"
    ids = (uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)).bytes for number in count())
    chosen = [StoredEvent(b"{}", "", uid, "stripe") for uid in islice(filter(in_bucket(bucket), ids), 256)]
    assert max(int(mark_of(one.uid)[6:]) for one in chosen) > 1 << 62
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
        assert marks(every_server, "2") == [f"{{{STREAM}}}:marks:2:{mark_of(second.uid)[:4]}"]
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
    found = [(mark_of(uid)[:6], int(mark_of(uid)[6:])) for uid in ids]
    assert len({mark for _, mark in found}) == len(ids)
    assert all(len(bucket) == 6 and 0 <= mark < 1 << 63 for bucket, mark in found)
    mean = len(ids) / size
    counts = Counter(int(bucket[:1], 16) for bucket, _ in found)
    assert all(abs(counts[n] - mean) < 8 * mean**0.5 for n in range(size))


async def test_webhooks_have_marks_and_windows_of_their_own(every_server: Server) -> None:
    """What a producer sent is new to a processor, and a window that is longer forgets later; numbers have no gap."""
    one = event()
    source = KEYS.webhook_marks("stripe")
    async with (
        appending(every_server) as producers,
        appending(every_server, window=10 * WINDOW, source="stripe") as webhooks,
        appending(every_server, window=10 * WINDOW, source="adyen") as others,
    ):
        for appender in (producers, webhooks, others):
            assert await append(appender, [one, one]) == (b"10", "")
        text: Any = every_server.client.hget(source, "layers")
        layer = [int(number) for number in text.decode().split(",")]
        layer[2] -= 3 * WINDOW
        every_server.client.hset(source, "layers", ",".join(map(str, layer)))
        age(every_server, 3 * WINDOW)
        assert await append(webhooks, [one]) == (b"0", "")
        assert await append(producers, [one]) == (b"1", "")
    assert numbers(every_server) == [1, 2, 3, 4]
    assert set(every_server.client.hkeys(STATE)) == {b"seq", b"layers"}
    assert set(every_server.client.hkeys(source)) == {b"layers"}
