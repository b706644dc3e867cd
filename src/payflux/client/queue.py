"""The producer client's memory: a bounded queue between callers that must never wait and threads that may."""

import sys
import threading
from collections import deque
from collections.abc import Sequence

from payflux.client.counts import Counts, Fates, Places, Reason
from payflux.client.event import finished

NEVER = sys.maxsize


class _Bell:
    """Wakes a thread, once so many events wait or they have so many bytes.

    Attributes:
        events: that many; `NEVER` while nobody waits.
        size: that many bytes.
    """

    __slots__ = ("_rung", "events", "size")

    def __init__(self) -> None:
        self.events = self.size = NEVER
        self._rung = threading.Event()

    def set(self, events: int, size: int = NEVER) -> None:
        """Ring then, from now on."""
        self._rung.clear()
        self.move(events, size)

    def move(self, events: int, size: int) -> None:
        """Ring then, if it has not rung."""
        self.events, self.size = events, size

    def ring(self) -> None:
        """Wake whoever waits."""
        self.events = self.size = NEVER
        self._rung.set()

    def wait(self, seconds: float) -> None:
        """Wait for it, so long at most."""
        self._rung.wait(seconds)


class Queue:
    """Events in memory, the counters of the client, and who must be woken for what.

    Two threads take from it: the courier (`take`, `record`) and, with a spool, the keeper (`take_some`, `put_back`).

    Args:
        max_events: how many may be in memory, those on their way included.
        max_bytes: how many bytes they may have together.
    """

    # Slots lie side by side: a caller that comes once in a while finds its caches cold, and `put` touches most of them.
    __slots__ = (
        *("_max_events", "_max_bytes", "_lock", "_changed", "_arrived", "_pressed", "_places", "_fates"),
        *("_waiting", "_taken", "_bytes", "_moving", "away", "closed", "stopping", "_ended"),
    )

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        # Reentrant: a signal handler or a finaliser may call `send` while its own thread is in here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._arrived, self._pressed = _Bell(), _Bell()
        self._places, self._fates = Places(), Fates()
        self._waiting: deque[bytes] = deque()
        self._taken: Sequence[bytes] = ()
        self._bytes = 0
        self._moving = False  # the keeper has events in hand
        self.away = False
        self.closed = False
        self.stopping = False
        self._ended = False

    def put(self, body: bytes) -> bool:
        """Take an event, or count it as dropped; never waits."""
        size = len(body)
        with self._lock:
            places = self._places
            if self.closed:
                places.refuse("closed")
                return False
            if places.queued >= self._max_events or self._bytes + size > self._max_bytes:
                places.refuse("queue_full")
                return False
            places.take()
            waiting, arrived, pressed = self._waiting, self._arrived, self._pressed
            waiting.append(body)
            self._bytes += size
            if len(waiting) >= arrived.events:
                arrived.ring()
            if len(waiting) >= pressed.events or self._bytes >= pressed.size:
                pressed.ring()
            return True

    def refuse(self, reason: Reason) -> None:
        """Count an event that was given and cannot be taken."""
        with self._lock:
            self._places.refuse(reason)

    def counts(self) -> Counts:
        """All numbers of one moment."""
        with self._lock:
            places, fates = self._places, self._fates
            return Counts(
                sent=places.sent,
                recovered=places.recovered,
                accepted=fates.accepted,
                duplicate=fates.duplicate,
                rejected=dict(fates.rejected),
                dropped=dict(places.dropped),
                spooled=places.spooled,
                queued=places.queued,
                retried=fates.retried,
            )

    def until_known(self, seconds: float, *, or_away: bool = False) -> bool:
        """Wait until the fate of every event is known, or the node is away if told so; False when time ran out."""
        with self._lock:
            return self._changed.wait_for(
                lambda: not (self._places.queued or self._places.spooled) or (or_away and self.away),
                max(0.0, seconds),
            )

    def until_waiting(self, events: int, seconds: float, *, or_spooled: bool = False) -> bool:
        """The courier waits until so many events wait, or there is other work, for so long at most; whether any wait.

        Only the event that completes the number wakes it: waking it costs the caller of `send` several times what the
        rest of it does.
        """
        with self._lock:
            if len(self._waiting) >= events or self.stopping or (or_spooled and self._places.spooled):
                return bool(self._waiting)
            self._arrived.set(events)
        self._arrived.wait(seconds)
        self._arrived.move(NEVER, NEVER)
        return bool(self._waiting)

    def until_pressed(self, seconds: float) -> None:
        """The keeper waits until half of the room is taken, or anything waits while the node is away."""
        with self._lock:
            if self.stopping or self.pressed:
                return
            self._pressed.set(*self._limits)
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
        return self._places.spooled

    def close(self) -> None:
        """Take no more events."""
        with self._lock:
            self.closed = True

    def stop(self) -> None:
        """Tell both threads to end."""
        with self._lock:
            self.stopping = True
        self._arrived.ring()
        self._pressed.ring()

    def set_away(self, away: bool) -> None:  # noqa: FBT001
        """Note whether the node takes events at present."""
        with self._lock:
            if self.away != away:
                self.away = away
                self._pressed.ring()
                self._changed.notify_all()

    def take(self, events: int, size: int, *, overtake: bool = True) -> Sequence[bytes]:
        """The courier takes the oldest events: at most so many, of so many bytes together as lines, at least one.

        None while older ones are in the spool or on the way there, unless it may overtake them.
        """
        taken: list[bytes] = []
        with self._lock:
            if (self._places.spooled or self._moving) and not overtake:
                return ()
            waiting = self._waiting
            while waiting and len(taken) < events and (not taken or len(waiting[0]) < size):
                taken.append(waiting.popleft())
                size -= len(taken[-1]) + 1
            self._taken = taken
            if self._pressed.events != NEVER:  # there is less room now
                self._pressed.move(*self._limits)
            if self.pressed:
                self._pressed.ring()
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
            self._bytes -= sum(map(len, spooled))
            self._places.spool(len(spooled))
            if spooled:
                self._arrived.ring()

    def recovered(self, events: int) -> None:
        """Events were found in the spool."""
        with self._lock:
            self._places.recover(events)
            self._arrived.ring()

    def damaged(self, events: int) -> None:
        """Events in the spool cannot be read any more."""
        with self._lock:
            self._places.damage(events)
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
            self._fates.add(accepted, duplicate, codes, len(unsettled))
            self._places.settle(len(batch) - len(unsettled), from_memory=from_memory)
            if from_memory:
                self._bytes -= sum(map(len, batch)) - sum(map(len, unsettled))
                self._taken = unsettled
                self.give_back()
            self._changed.notify_all()
            return True

    def end(self) -> None:
        """Nothing will be sent any more: what is in memory is dropped."""
        with self._lock:
            self._places.end()
            self._waiting.clear()
            self._bytes = 0
            self._ended = True
