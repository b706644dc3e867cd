"""The history before a scene: hours of traffic in the stream as if they had come at their time, in a minute."""

import time
from collections.abc import Iterator, Mapping
from itertools import islice, takewhile

import msgspec
import redis

from payflux.event.decode import decode_event
from payflux.load.corpus.population import DEMO, Processor
from payflux.load.traffic import Traffic
from payflux.redis.keys import Keys
from scripts.scenes.stages import LEARNING_SEC, VOLUME_SEC

BATCH = 500
APPEND = """
local seq = tonumber(redis.call('HGET', KEYS[2], 'seq') or '0')
for i = 1, #ARGV, 2 do
  redis.call('XADD', KEYS[1], ARGV[i] .. '-*', 'data', ARGV[i + 1], 'seq', seq + 1)
  seq = seq + 1
end
redis.call('HSET', KEYS[2], 'seq', seq)
return seq
"""
"""Append events at times of their own, numbered as those that come."""

Stored = tuple[int, bytes]
"""Milliseconds of Unix time, and the event as it is stored."""


def teach(url: str, seed: int, absent: frozenset[str] = frozenset()) -> int:
    """Fill the stream with what came until now, the last event a moment ago; nobody may read it meanwhile.

    Args:
        url: of Redis, `unix://…`.
        seed: of the traffic.
        absent: processors of which also is to be learned how much comes from them.

    Returns:
        How many events there are.
    """
    keys = Keys()
    with redis.Redis.from_url(url) as client:
        append = client.register_script(APPEND)
        number, coming = 0, _events(seed, absent)
        while events := list(islice(coming, BATCH)):
            number = append(keys=[keys.stream, keys.state], args=[word for event in events for word in event])
    return int(number)


def _events(seed: int, absent: frozenset[str]) -> Iterator[Stored]:
    learning = time.time() - LEARNING_SEC
    if absent:
        far = {name: DEMO[name] for name in sorted(absent)}
        yield from takewhile(lambda one: one[0] < 1000 * learning, _traffic(seed, learning - VOLUME_SEC, far))
    # More comes while it is written, until there is none left that would have come by now.
    yield from takewhile(lambda one: one[0] < 1000 * time.time(), _traffic(seed, learning, DEMO))


def _traffic(seed: int, start: float, processors: Mapping[str, Processor]) -> Iterator[Stored]:
    for at, event in Traffic(seed, start, (), processors).arrivals():
        yield round(1000 * at), decode_event(msgspec.json.encode(event)).data
