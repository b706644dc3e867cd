"""A consumer of `events_stream` with a group of its own: what every such program has to do, once."""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any, NamedTuple

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:
    sys.exit("this needs redis for Python: .venv/bin/pip install redis, and run it with .venv/bin/python")

STREAM = "events_stream"
BATCH = 500
BLOCK_SECONDS = 1.0
IDLE_SECONDS = 60.0


class Entry(NamedTuple):
    """One entry of the stream: its id, its number, and the event."""

    id: str
    seq: int
    event: dict[str, Any]


@contextmanager
def for_a_reader() -> Iterator[None]:
    """What is printed goes to somebody who may have read enough, as `head` has: then it ends without a word."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # of Redis it would be a ConnectionError
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def connect(url: str) -> Any:
    """A client of Redis whose replies are text."""
    return redis.Redis.from_url(url, decode_responses=True)


class Group:
    """This program's place in the stream.

    Args:
        url: of Redis.
        name: of the group; made, from the oldest entry on, when there is none.
        consumer: name in the group; the same after a restart, so that own pending entries are found.
        idle_seconds: how long an entry of another consumer must have been pending to be taken over.
    """

    def __init__(self, url: str, name: str, consumer: str | None = None, idle_seconds: float = IDLE_SECONDS) -> None:
        self.name, self.consumer = name, consumer or socket.gethostname()
        # No retry by the library: it would repeat an XREADGROUP whose entries are ours already, and skip those.
        self.redis = redis.Redis.from_url(
            url, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=BLOCK_SECONDS + 10
        )
        self.stopping = Event()
        self._idle_ms = int(idle_seconds * 1000)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())

    def run(self, work: Callable[[list[Entry]], object]) -> None:
        """Give entries to `work` until SIGTERM: own pending ones, those of the dead, new ones.

        Args:
            work: works on entries and then acks them. It is given them again when the ack failed, or the program died.
        """
        while not self.stopping.is_set():
            try:
                self._create()
                self._pending(work)
                self._new(work)
            except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError) as error:
                self._say(f"{error}; trying again")
                self.stopping.wait(1.0)
            except redis.ResponseError as error:
                if not str(error).startswith(("NOGROUP", "UNBLOCKED")):  # the stream is gone: make both again
                    raise
        self.redis.close()

    def ack(self, entries: list[Entry]) -> None:
        """The work on them is done and safe."""
        self.redis.xack(STREAM, self.name, *(entry.id for entry in entries))

    def _create(self) -> None:
        try:
            self.redis.xgroup_create(STREAM, self.name, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _pending(self, work: Callable[[list[Entry]], object]) -> None:
        """What this consumer was given and has not acked, from the oldest on."""
        after = "0"
        while not self.stopping.is_set():
            found: Any = self.redis.xreadgroup(self.name, self.consumer, {STREAM: after}, count=BATCH)
            raw = found[0][1] if found else []
            if not raw:
                return
            after = raw[-1][0]
            self._give(raw, work)

    def _new(self, work: Callable[[list[Entry]], object]) -> None:
        """What others left behind, then what nobody was given yet, for ever."""
        claim_from = "0-0"
        while not self.stopping.is_set():
            claimed: Any = self.redis.xautoclaim(STREAM, self.name, self.consumer, self._idle_ms, claim_from, BATCH)
            claim_from = claimed[0]
            self._give(claimed[1], work)
            found: Any = self.redis.xreadgroup(
                self.name, self.consumer, {STREAM: ">"}, count=BATCH, block=int(BLOCK_SECONDS * 1000)
            )
            self._give(found[0][1] if found else [], work)

    def _give(self, raw: Any, work: Callable[[list[Entry]], object]) -> None:
        """The entries as events; one that is gone or is none is acked, as no repetition would help."""
        entries, useless = [], []
        for entry_id, fields in raw:
            if entry_id is None:  # Redis 6.2 tells of a deleted entry so
                continue
            try:
                entries.append(Entry(entry_id, int((fields or {})["seq"]), json.loads((fields or {})["data"])))
            except (KeyError, ValueError):
                useless.append(entry_id)
        if useless:
            self._say(f"skipped, trimmed or no event: {', '.join(useless[:5])} ({len(useless)} in all)")
            self.redis.xack(STREAM, self.name, *useless)
        if entries:
            work(entries)

    def _say(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(f"{self.name}: {text}\n")
