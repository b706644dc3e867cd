"""The producer client's threads: the courier posts batches, the keeper moves to the spool what cannot go."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from payflux.client.batch_result import BatchResult
from payflux.client.connection import BODY_BYTES, Connection
from payflux.client.culprits import Culprits
from payflux.client.queue import Queue
from payflux.client.spool import Spool

BATCH_EVENTS = 500
LINGER_SECONDS = 0.005
IDLE_SECONDS = 60.0
BACKOFF_SECONDS = (0.05, 5.0)
LONGEST_WAIT_SECONDS = 300.0  # whatever Retry-After says
SPOOL_AGAIN_SECONDS = 1.0
SAY_SECONDS = 60.0  # how often it is said that a node takes no events
LAST_WRITE_SECONDS = 1.0
ABORT_SECONDS = 0.5

_log = logging.getLogger("payflux.client.client")


class Rejected(NamedTuple):
    """An event the node refused for good.

    Attributes:
        event: its JSON, as it was sent.
        code: the node's reason, machine-readable.
        messages: what is wrong with it, in words, naming members and holding no value of them.
    """

    event: bytes
    code: str
    messages: tuple[str, ...]


OnRejected = Callable[[Rejected], object]


class Worker:
    """Everything that is done with events after they were queued.

    Args:
        queue: where they wait.
        connection: how they reach the node.
        spool: where they go while they cannot; None without one.
        on_rejected: told of each refused event, from the courier's thread; what it raises is logged.
        name: of the node, for logs.
    """

    def __init__(
        self, queue: Queue, connection: Connection, spool: Spool | None, on_rejected: OnRejected | None, name: str
    ) -> None:
        self._queue, self._connection, self._spool = queue, connection, spool
        self._culprits = Culprits(connection, lambda: queue.stopping)
        self._on_rejected, self._name = on_rejected, name
        self._stop = threading.Event()
        self._drain = threading.Event()
        self._in_hand: list[bytes] = []  # of the spool, read and not settled
        self._most = BATCH_EVENTS
        self._failures = 0
        self._say_at = 0.0
        self._failing: set[str] = set()  # what cannot be done with the spool
        self._courier = threading.Thread(target=self._carry, name="payflux-courier", daemon=True)
        self._keeper = threading.Thread(target=self._keep, name="payflux-keeper", daemon=True)

    def start(self) -> None:
        """Start the threads that do not run yet; raises RuntimeError when the system has none left."""
        for thread in (self._courier, self._keeper)[: 1 if self._spool is None else 2]:
            if thread.ident is None:
                thread.start()

    def end(self, deadline: float) -> None:
        """Stop sending, let the spool take what is left; by the deadline (monotonic), or about a second after it."""
        self._queue.stop()
        self._stop.set()
        if self._courier.is_alive():
            self._connection.abort()
            self._courier.join(max(ABORT_SECONDS, deadline - time.monotonic()))
        self._queue.give_back()
        self._drain.set()
        if self._keeper.is_alive():
            self._keeper.join(LAST_WRITE_SECONDS)

    def abandon(self) -> None:
        """After a fork: the threads are the other process's, only the descriptors were copied."""
        self._connection.close()
        if self._spool is not None:
            self._spool.abandon()

    def _carry(self) -> None:
        while not self._queue.stopping:
            try:
                self._carry_one()
            except Exception:  # noqa: BLE001 - whatever it is: the next batch may be better
                _log.exception("payflux client: unexpected failure")
                self._queue.give_back()
                self._stop.wait(BACKOFF_SECONDS[1])
        self._connection.close()

    def _carry_one(self) -> None:
        batch = self._next()
        if not batch:
            return
        result = self._culprits.post(batch)
        again = [batch[place] for place in result.unsettled]
        codes = [refusal.code for refusal in result.refused]
        if not self._queue.record(batch, result.accepted, result.duplicate, codes, again):
            return
        if self._in_hand:
            self._in_hand[: len(batch)] = again
            if not self._in_hand and self._spool is not None:
                self._spool.forget()
        self._tell(batch, result)
        self._pace(len(batch), result)

    def _next(self) -> Sequence[bytes]:
        """The oldest events there are: those of the spool are older than those in memory."""
        if not self._in_hand and self._spool is not None and self._queue.spooled:
            self._read_spool(self._spool)
        if self._in_hand:
            return self._in_hand[: self._most]
        readable = "read" not in self._failing
        # While events flow, none of them has to wake this thread: it looks by itself.
        if not self._queue.until_waiting(BATCH_EVENTS, LINGER_SECONDS):
            self._queue.until_waiting(1, IDLE_SECONDS if readable else SPOOL_AGAIN_SECONDS, or_spooled=readable)
            self._queue.until_waiting(BATCH_EVENTS, LINGER_SECONDS)
        if self._queue.stopping:
            return ()
        taken = self._queue.take(self._most, BODY_BYTES, overtake=not readable)
        if not taken:
            self._stop.wait(LINGER_SECONDS)  # the keeper is about to spool older ones
        return taken

    def _read_spool(self, spool: Spool) -> None:
        try:
            chunk = spool.read(BATCH_EVENTS, BODY_BYTES)
        except OSError as error:
            self._complain("read", error)
            return
        self._failing.discard("read")
        self._in_hand = chunk.events
        if chunk.damaged:
            self._queue.damaged(chunk.damaged)
            _log.warning("payflux client: %d damaged lines in the spool are skipped", chunk.damaged)
        if not chunk.events:
            spool.forget()

    def _tell(self, batch: Sequence[bytes], result: BatchResult) -> None:
        for refusal in result.refused:
            if self._on_rejected is not None:
                try:
                    self._on_rejected(Rejected(batch[refusal.place], refusal.code, refusal.messages))
                except Exception:  # noqa: BLE001 - theirs, not ours
                    _log.exception("payflux client: on_rejected failed")

    def _pace(self, events: int, result: BatchResult) -> None:
        """Go on at once, with smaller batches, or after a wait."""
        if result.split:
            self._most = max(1, events // 2)
            self._failures = 0  # the way is open, so nothing is gained by longer and longer waits
        elif not result.unsettled:
            self._most = min(BATCH_EVENTS, self._most * 2)
            if self._failures:
                _log.info("payflux client: %s takes events again", self._name)
            self._failures, self._say_at = 0, 0.0
            self._queue.set_away(False)
        else:
            if time.monotonic() >= self._say_at:
                self._say_at = time.monotonic() + SAY_SECONDS
                _log.warning("payflux client: %s takes no events: %s", self._name, result.why)
            self._failures += 1
            self._queue.set_away(True)
            self._stop.wait(self._wait(result.wait))

    def _wait(self, asked: float) -> float:
        """Seconds until the next attempt: not before the node wants it, and not all producers at once."""
        low, high = BACKOFF_SECONDS
        backoff = min(high, low * 2.0 ** min(self._failures - 1, 20))
        return min(asked, LONGEST_WAIT_SECONDS) + backoff * random.uniform(0.5, 1)

    def _keep(self) -> None:
        assert self._spool is not None
        opened = False
        while True:
            opened = opened or self._open(self._spool)
            whole = opened and self._move(self._spool)
            if self._drain.is_set():
                break
            if whole:
                self._queue.until_pressed(IDLE_SECONDS)
                self._drain.wait(LINGER_SECONDS)
            else:
                self._drain.wait(SPOOL_AGAIN_SECONDS)
            if self._queue.stopping:
                self._drain.wait()
        self._spool.close()

    def _open(self, spool: Spool) -> bool:
        try:
            self._queue.recovered(spool.open())
        except OSError as error:
            self._complain("open", error)
            return False
        return True

    def _move(self, spool: Spool) -> bool:
        """Move what waits to the spool if it must not stay; False when the spool did not take all of it."""
        if not (self._queue.pressed or self._drain.is_set()):
            return True
        while events := self._queue.take_some(BATCH_EVENTS):
            try:
                written = spool.append(events)
                self._failing.discard("write")
            except OSError as error:
                self._complain("write", error)
                written = 0
            self._queue.put_back(events[written:], events[:written])
            if written < len(events):
                return False
        return True

    def _complain(self, what: str, error: OSError) -> None:
        if what not in self._failing:
            _log.warning("payflux client: cannot %s the spool: %s", what, error)
        self._failing.add(what)
