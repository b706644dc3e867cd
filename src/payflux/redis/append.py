"""The append side of the stream on Redis: group commit, one script for everything that arrived meanwhile."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import hiredis

from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.log import log
from payflux.redis.address import RedisAddress
from payflux.redis.dial import connect
from payflux.redis.keys import Keys
from payflux.redis.link import RedisLink
from payflux.redis.replies import text, unavailable
from payflux.redis.script import Script, explained
from payflux.settings import Setting, integer
from payflux.stream.protocol import OnAppended

STREAM_MAXLEN = Setting(
    "PAYFLUX_STREAM_MAXLEN", integer(0), "200000", "Approximate length of the stream; 0 = no trimming."
)
DEDUP_TTL_SEC = Setting(
    "PAYFLUX_DEDUP_TTL_SEC", integer(1, 31_536_000), "86400", "How long an event_id is remembered at least, seconds."
)

SCRIPT, _PROBE = Script("append"), Script("probe")
BATCH_EVENTS = 512
WAITING_EVENTS = 20_000
REPLY_SECONDS = 4.0
PROBE_SECONDS = 2.0
GATHER_SECONDS = 0.001
BACKOFF_SECONDS = (0.05, 2.0)

# Primes, so that together they tell 87 bits of an id: the largest below 2^24 and 2^63 less the leading bits of the
# golden ratio. Closer to a power of two the remainder of an id's high bits would be a small number, which a counter in
# its low bits soon reaches.
_BUCKETS = 16_696_189
_MARKS = 8_510_827_360_647_075_823
_SPREAD = 0x9E3779  # so that the leading digits of neighbours differ most: 2^24 / golden ratio, odd

_HEX = [f"{number:03x}" for number in range(4096)]  # several times faster than formatting six digits


def mark_of(uid: bytes) -> str:
    """Where the mark of an event id is kept, and the mark: the id as a number, modulo two primes.

    All bits of the id go into both, so that ids that share most bits (versions 1 and 7, counters) spread over the
    buckets and get marks of their own; 62.8 + 4 * digits bits of a layer tell two ids apart (see append.lua).

    Args:
        uid: the 16 bytes of the UUID.

    Returns:
        In one word: 6 hex digits of the bucket, then the mark, an integer below 2^63, in decimal.
    """
    number = int.from_bytes(uid, "big")
    bucket = number % _BUCKETS * _SPREAD & 0xFFFFFF
    return _HEX[bucket >> 12] + _HEX[bucket & 4095] + str(number % _MARKS)


async def probe(link: RedisLink, keys: Keys, maxlen: bytes = b"1", told: int = 0) -> None:
    """Try what an append does, without an effect; see `probe.lua`.

    Args:
        link: the connection.
        keys: of the stream.
        maxlen: `0` when it is not trimmed.
        told: the highest number that is known.

    Raises:
        StreamUnavailable: an event would be refused; its `key` says because of which key.
    """
    try:
        await _PROBE.run(link, (keys.stream, keys.state, keys.probed), (maxlen, told), PROBE_SECONDS)
    except hiredis.ReplyError as error:
        kinds = {keys.stream: "stream", keys.state: "hash", keys.probed: "set"}
        raise await explained(link, kinds, unavailable(error)) from None


class RedisAppender:
    """Appends to the stream, over one connection that it keeps up by itself."""

    def __init__(
        self,
        address: RedisAddress,
        keys: Keys,
        *,
        maxlen: int,
        window_sec: int,
        told: Callable[[], int] = lambda: 0,
        heard: Callable[[int], None] = lambda _: None,
        producers: Callable[[], int] = lambda: 0,
        client: str = "payflux-ingest",
        source: str = "",
    ) -> None:
        """Prepare; `run` connects.

        Args:
            address: of Redis.
            keys: of the stream.
            maxlen: approximate length of the stream, 0 for no trimming.
            window_sec: how long an event id is remembered at least.
            told: the highest number any appender of this node has been told.
            heard: takes the number a reply tells; below `told()` when Redis has lost events.
            producers: how many connections may bring events; 0 when that is unknown, and no script waits for more.
            client: name of the connection.
            source: whose webhooks these events are, which have marks of their own; empty: the producers' events.
        """
        self._address, self._keys = address, keys
        self._script_keys = (keys.stream, keys.state, *([keys.webhook_marks(source)] if source else ()))
        self._limits = (str(maxlen).encode(), str(window_sec).encode())
        self._told, self._heard, self._producers, self._client = told, heard, producers, client
        self._loop = asyncio.get_running_loop()
        self._link: RedisLink | None = None
        self._refusal: StreamUnavailable | None = None  # of the last attempt to connect
        self._gone = asyncio.Event()
        self._tried = asyncio.Event()
        self._waiting: list[tuple[Sequence[StoredEvent], OnAppended]] = []
        self._count = 0
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None  # until then the next script gathers events
        self._sent_at = -GATHER_SECONDS
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def connected(self) -> bool:
        """Whether there is a connection to Redis."""
        return self._link is not None and not self._link.lost

    async def tried(self, seconds: float) -> None:
        """Wait for the first attempt to connect, whatever comes of it, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._tried.wait()

    async def run(self) -> None:
        """Keep a connection to Redis until cancelled, with jittered back-off."""
        low, high = BACKOFF_SECONDS
        delay = low
        while True:
            self._gone.clear()
            started = self._loop.time()
            try:
                self._link = await connect(self._address, self._client, self._gone.set)
            except StreamUnavailable as error:
                self._refusal = error
                if delay == low:
                    log("warning", "redis_unavailable", code=error.code, detail=str(error))
            else:
                self._refusal = None
                log("info", "redis_connected", address=str(self._address))
                self._tried.set()
                await self._gone.wait()
                log("warning", "redis_connection_lost", address=str(self._address))
                if self._loop.time() - started > high:
                    delay = low
                    continue
            self._tried.set()
            # A connection that did not last is no success: a read-only Redis would have us connect for every batch.
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(high, delay * 2)

    def append(self, events: Sequence[StoredEvent], on_appended: OnAppended) -> None:
        """Store events with the next script; see AppendStream."""
        if self._count + len(events) > WAITING_EVENTS and self._waiting:
            self._loop.call_soon(on_appended, b"", StreamUnavailable("overloaded", "too many events wait for Redis"))
            return
        self._waiting.append((events, on_appended))
        self._count += len(events)
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._arrange()
        elif self._timer is not None and self._enough():
            self._timer.cancel()
            self._timer = None
            self._loop.call_soon(self._flush)

    async def probe(self) -> None:
        """Prove that an event could be appended: PING would succeed on a read-only replica or a full one."""
        if self._link is None or self._link.lost:
            raise self._no_connection()
        await probe(self._link, self._keys, self._limits[0], self._told())

    def _no_connection(self) -> StreamUnavailable:
        """Why there is none."""
        return self._refusal or StreamUnavailable("redis_down", f"no connection to Redis at {self._address}")

    async def drain(self) -> None:
        """Wait until nothing waits and no script is in flight."""
        await self._idle.wait()

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()

    def _arrange(self) -> None:
        """Flush after everything that was read in this turn of the loop, or gather for a moment first.

        A script costs Redis and us as much as ten events or more. So those after each other wait for company, unless
        most of the connections that could bring some wait themselves.
        """
        due = self._sent_at + GATHER_SECONDS - self._loop.time()
        if due > 0 and not self._enough():
            self._timer = self._loop.call_later(due, self._flush)
        else:
            self._loop.call_soon(self._flush)

    def _enough(self) -> bool:
        return 2 * self._count >= self._producers()

    def _flush(self) -> None:
        self._timer = None
        if not self._waiting:
            self._busy = False
            self._idle.set()
            return
        self._sent_at = self._loop.time()
        batch = self._take()
        if self._link is None:
            self._replied(batch, self._no_connection())
            return
        arguments: list[str | bytes | int] = [*self._limits, str(self._told()).encode()]
        for events, _ in batch:
            arguments += [word for event in events for word in (mark_of(event.uid), event.data)]
        SCRIPT.send(self._link, self._script_keys, arguments, REPLY_SECONDS, partial(self._replied, batch))

    def _take(self) -> list[tuple[Sequence[StoredEvent], OnAppended]]:
        if self._count <= BATCH_EVENTS:
            batch, self._waiting, self._count = self._waiting, [], 0
            return batch
        taken = size = 0
        while taken < len(self._waiting) and (not taken or size + len(self._waiting[taken][0]) <= BATCH_EVENTS):
            size += len(self._waiting[taken][0])
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._count -= size
        return batch

    def _replied(self, batch: list[tuple[Sequence[StoredEvent], OnAppended]], reply: Any) -> None:
        error = unavailable(reply) if isinstance(reply, Exception) else None
        results = b""
        if error is None:
            seq, results, failure, *odd = reply
            if odd:
                log("warning", "state_rebuilt", key=self._keys.state, field="seq", value=text(odd[0])[:40], now=seq)
            self._heard(seq)
            error = unavailable(hiredis.ReplyError(failure.decode())) if failure else None
        if error is not None and error.code == "redis_readonly" and self._link is not None:
            self._link.close()  # a replica now: the name may lead to the new primary
        self._flush_next()
        at = 0
        for events, on_appended in batch:
            size = len(events)
            got = results[at : at + size]
            at += size
            on_appended(got, error if len(got) < size else None)

    def _flush_next(self) -> None:
        if self._waiting:
            self._arrange()
        else:
            self._busy = False
            self._idle.set()
