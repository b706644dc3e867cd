"""The producer client's memory: a bounded queue between callers that must never wait and threads that may.

Every event given to the client is at every moment in exactly one of the numbers of `Counts`, so their sum is exact.
"""

import re
import sys
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from payflux.client.event import finished

NEVER = sys.maxsize
CODES = 50
Reason = Literal["queue_full", "closed", "unencodable", "pan_detected", "too_large", "unsent", "spool_damaged"]
"""Why an event is dropped: no room; given after `close`; no JSON object; a card number in it; larger than a node takes;
in memory still when `close` ran out of time and no spool could take it; its line in the spool damaged or deleted."""

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Counts:
    """What became of the events so far: `sent + recovered` is the sum of all that follow, but `retried`.

    Attributes:
        sent: calls of `send`.
        recovered: found in the spool, left there by processes that are gone.
        accepted: stored by the node.
        duplicate: stored by the node before.
        rejected: refused by the node for good, by its code.
        dropped: given up, by reason.
        spooled: in the spool now.
        queued: in memory now, waiting or on their way.
        retried: how often an event stayed without a settled answer and had to be sent again.
    """

    sent: int
    recovered: int
    accepted: int
    duplicate: int
    rejected: Mapping[str, int]
    dropped: Mapping[str, int]
    spooled: int
    queued: int
    retried: int

    @property
    def outstanding(self) -> int:
        """Events whose fate is open."""
        return self.spooled + self.queued


class Queue:
    """Events in memory, the counters of the client, and who must be woken for what.

    Two threads take from it: the courier (`take`, `record`) and, with a spool, the keeper (`take_some`, `put_back`).

    Args:
        max_events: how many may be in memory, those on their way included.
        max_bytes: how many bytes they may have together.
    """

    # Slots lie side by side: a caller that comes once in a while finds its caches cold, and `put` touches most of them.
    __slots__ = (
        *("_max_events", "_max_bytes", "_lock", "_changed", "_arrived", "_pressed"),
        *("_arrived_at", "_pressed_at", "_pressed_bytes", "_waiting", "_taken", "_queued", "_bytes", "_spooled"),
        *("_moving",),
        *("_sent", "_recovered", "_accepted", "_duplicate", "_retried", "_rejected", "_dropped"),
        *("away", "closed", "stopping", "_ended"),
    )

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        # Reentrant: a signal handler or a finaliser may call `send` while its own thread is in here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._arrived = threading.Event()
        self._pressed = threading.Event()
        self._arrived_at = self._pressed_at = self._pressed_bytes = NEVER
        self._waiting: deque[bytes] = deque()
        self._taken: Sequence[bytes] = ()
        self._queued = self._bytes = self._spooled = 0
        self._moving = False  # the keeper has events in hand
        self._sent = self._recovered = self._accepted = self._duplicate = self._retried = 0
        self._rejected: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self.away = False
        self.closed = False
        self.stopping = False
        self._ended = False

    def put(self, body: bytes) -> bool:
        """Take an event, or count it as dropped; never waits."""
        size = len(body)
        with self._lock:
            self._sent += 1
            if self.closed:
                self._dropped["closed"] += 1
                return False
            if self._queued >= self._max_events or self._bytes + size > self._max_bytes:
                self._dropped["queue_full"] += 1
                return False
            waiting = self._waiting
            waiting.append(body)
            self._queued += 1
            self._bytes += size
            if len(waiting) >= self._arrived_at:
                self._arrived_at = NEVER
                self._arrived.set()
            if len(waiting) >= self._pressed_at or self._bytes >= self._pressed_bytes:
                self._pressed_at = self._pressed_bytes = NEVER
                self._pressed.set()
            return True

    def refuse(self, reason: Reason) -> None:
        """Count an event that was given and cannot be taken."""
        with self._lock:
            self._sent += 1
            self._dropped[reason] += 1

    def counts(self) -> Counts:
        """All numbers of one moment."""
        with self._lock:
            return Counts(
                sent=self._sent,
                recovered=self._recovered,
                accepted=self._accepted,
                duplicate=self._duplicate,
                rejected=dict(self._rejected),
                dropped=dict(self._dropped),
                spooled=self._spooled,
                queued=self._queued,
                retried=self._retried,
            )

    def until_known(self, seconds: float, *, or_away: bool = False) -> bool:
        """Wait until the fate of every event is known, or the node is away if told so; False when time ran out."""
        with self._lock:
            return self._changed.wait_for(
                lambda: not (self._queued or self._spooled) or (or_away and self.away), max(0.0, seconds)
            )

    def until_waiting(self, events: int, seconds: float, *, or_spooled: bool = False) -> bool:
        """The courier waits until so many events wait, or there is other work, for so long at most; whether any wait.

        Only the event that completes the number wakes it: waking it costs the caller of `send` several times what the
        rest of it does.
        """
        with self._lock:
            if len(self._waiting) >= events or self.stopping or (or_spooled and self._spooled):
                return bool(self._waiting)
            self._arrived.clear()
            self._arrived_at = events
        self._arrived.wait(seconds)
        self._arrived_at = NEVER
        return bool(self._waiting)

    def until_pressed(self, seconds: float) -> None:
        """The keeper waits until half of the room is taken, or anything waits while the node is away."""
        with self._lock:
            if self.stopping or self.pressed:
                return
            self._pressed.clear()
            self._pressed_at, self._pressed_bytes = self._limits
        self._pressed.wait(seconds)

    @property
    def pressed(self) -> bool:
        """Whether what waits must not stay in memory."""
        with self._lock:
            events, size = self._limits
            return bool(self._waiting) and (len(self._waiting) >= events or self._bytes >= size)

    @property
    def _limits(self) -> tuple[int, int]:
        """How many may wait, of how many bytes together with those on their way: half of the room there is."""
        if self.away:
            return 1, 1
        return max(1, (self._max_events - len(self._taken)) // 2), max(1, self._max_bytes // 2)

    @property
    def spooled(self) -> int:
        """Events in the spool."""
        return self._spooled

    def close(self) -> None:
        """Take no more events."""
        with self._lock:
            self.closed = True

    def stop(self) -> None:
        """Tell both threads to end."""
        with self._lock:
            self.stopping = True
        self._arrived.set()
        self._pressed.set()

    def set_away(self, away: bool) -> None:  # noqa: FBT001
        """Note whether the node takes events at present."""
        with self._lock:
            if self.away != away:
                self.away = away
                self._pressed.set()
                self._changed.notify_all()

    def take(self, events: int, size: int, *, overtake: bool = True) -> Sequence[bytes]:
        """The courier takes the oldest events: at most so many, of so many bytes together as lines, at least one.

        None while older ones are in the spool or on the way there, unless it may overtake them.
        """
        taken: list[bytes] = []
        with self._lock:
            if (self._spooled or self._moving) and not overtake:
                return ()
            waiting = self._waiting
            while waiting and len(taken) < events and (not taken or len(waiting[0]) < size):
                taken.append(waiting.popleft())
                size -= len(taken[-1]) + 1
            self._taken = taken
            if self._pressed_at != NEVER:  # there is less room now
                self._pressed_at, self._pressed_bytes = self._limits
            if self.pressed:
                self._pressed.set()
        whole = [finished(event) for event in taken]
        with self._lock:
            if self._taken is not taken:  # given back meanwhile
                return ()
            self._taken = whole
        return whole

    def give_back(self) -> None:
        """What the courier has taken and not recorded waits again, in front; what becomes of it will be ignored."""
        with self._lock:
            self._waiting.extendleft(reversed(self._taken))
            self._taken = ()

    def take_some(self, events: int) -> list[bytes]:
        """The keeper takes the oldest events, at most so many."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(events, len(self._waiting)))]
            self._moving = bool(taken)
        return [finished(event) for event in taken]

    def put_back(self, events: Sequence[bytes], spooled: Sequence[bytes]) -> None:
        """The keeper is done with what it took: some are in the spool, the rest waits again, in front."""
        with self._lock:
            self._moving = False
            if self._ended:
                return
            self._waiting.extendleft(reversed(events))
            self._queued -= len(spooled)
            self._bytes -= sum(map(len, spooled))
            self._spooled += len(spooled)
            if spooled:
                self._arrived.set()

    def recovered(self, events: int) -> None:
        """Events were found in the spool."""
        with self._lock:
            self._recovered += events
            self._spooled += events
            self._arrived.set()

    def damaged(self, events: int) -> None:
        """Events in the spool cannot be read any more."""
        with self._lock:
            self._dropped["spool_damaged"] += events
            self._spooled -= events
            self._changed.notify_all()

    def record(
        self, batch: Sequence[bytes], accepted: int, duplicate: int, codes: Sequence[str], unsettled: Sequence[bytes]
    ) -> bool:
        """Note what became of a batch.

        Args:
            batch: what `take` returned, or events of the spool.
            accepted: how many of it are stored.
            duplicate: how many were stored before.
            codes: why others are refused.
            unsettled: the rest; it waits again, in front, if it came from `take`.

        Returns:
            False when the batch had been given back meanwhile: nothing was noted.
        """
        with self._lock:
            from_memory = batch is self._taken
            if self._ended or (self.stopping and not from_memory):
                return False
            settled = len(batch) - len(unsettled)
            self._accepted += accepted
            self._duplicate += duplicate
            self._retried += len(unsettled)
            for code in codes:
                self._rejected[self._bounded(code)] += 1
            if from_memory:
                self._queued -= settled
                self._bytes -= sum(map(len, batch)) - sum(map(len, unsettled))
                self._taken = unsettled
                self.give_back()
            else:
                self._spooled -= settled
            self._changed.notify_all()
            return True

    def end(self) -> None:
        """Nothing will be sent any more: what is in memory is dropped."""
        with self._lock:
            if self._queued:
                self._dropped["unsent"] += self._queued
            self._waiting.clear()
            self._queued = self._bytes = 0
            self._ended = True

    def _bounded(self, code: str) -> str:
        known = code in self._rejected or len(self._rejected) < CODES
        return code if known and _CODE.fullmatch(code) else "other"
