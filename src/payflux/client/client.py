"""A small producer client: hands payment events to a node in the background, and never gets in the way of a payment.

    client = Client("http://payflux:8080", key, spool="/var/spool/payflux")
    client.send({"event_type": "payment_failed", "processor": "stripe", ...})      # takes microseconds, never raises

`send` only queues. Threads of the client post batches, honour `Retry-After`, repeat what is not settled (the node
de-duplicates by `event_id`, which the client fills in), and keep events in the spool while the node is away. Without a
spool, events in memory are lost with the process; with one, those that cannot be delivered survive its end, and a crash
costs what was given in the milliseconds before or is on its way. Order is kept as a rule; a retry may break it.

Nothing starts before the first event, or before the client is made if it has a spool. After a fork the child has an
empty client of its own, counters at zero; the parent sends what was queued. Processes that end without exit handlers
(`os._exit`, workers of `multiprocessing`) must call `close` themselves.
"""

import asyncio
import atexit
import contextlib
import os
import ssl
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from payflux.client.connection import BODY_BYTES, Address, Connection, address
from payflux.client.counts import Counts
from payflux.client.event import CardNumber, encode
from payflux.client.queue import Queue
from payflux.client.spool import Spool
from payflux.client.worker import OnRejected, Worker

EXIT_SECONDS = 2.0
"""How long all clients of a process together may hold up its exit, but for a second to write the spool."""


@dataclass(frozen=True)
class _Plan:
    to: Address
    key: str = field(repr=False)
    max_events: int
    max_bytes: int
    spool: Path | None
    spool_max_bytes: int
    timeout_seconds: float
    on_rejected: OnRejected | None
    tls: ssl.SSLContext | None

    def problems(self) -> list[str]:
        """What is wrong with it; never names the key."""
        found = []
        if not (self.key and self.key.isascii() and self.key.isprintable() and " " not in self.key):
            found.append("key: expected printable ASCII without blanks")
        numbers = ("max_events", "max_bytes", "spool_max_bytes", "timeout_seconds")
        return found + [f"{name}: expected more than 0" for name in numbers if not getattr(self, name) > 0]


class _Core:
    """Queue and threads of one process."""

    def __init__(self, plan: _Plan) -> None:
        self.queue = Queue(plan.max_events, plan.max_bytes)
        spool = None if plan.spool is None else Spool(plan.spool, plan.spool_max_bytes)
        connection = Connection(plan.to, plan.key, plan.timeout_seconds, plan.tls)
        self.worker = Worker(self.queue, connection, spool, plan.on_rejected, plan.to.authority)
        self.started = False
        self.lock = threading.RLock()

    def start(self) -> None:
        """Start the threads; RuntimeError when there is none to be had."""
        self.worker.start()
        self.started = True


class Client:
    """A producer of events. Thread-safe and fork-safe; the same for threads and for asyncio, as nothing in it waits.

    Args:
        url: of the node, `http://host:port`, or `https://…` of the proxy before it.
        key: an API key of the node; appears in no log and no repr.
        max_events: how many events may be in memory.
        max_bytes: how many bytes they may have together.
        spool: a directory for events that cannot be delivered at present; several processes may share it. None: none.
        spool_max_bytes: how much this process may keep there.
        timeout_seconds: for one request.
        on_rejected: told of each event that the node refuses for good, from a thread of the client, just after it was
            counted.
        tls: for `https`; the system's certificates when None.

    Raises:
        ValueError: an argument is unusable.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        max_events: int = 10_000,
        max_bytes: int = 16_777_216,
        spool: Path | str | None = None,
        spool_max_bytes: int = 268_435_456,
        timeout_seconds: float = 10.0,
        on_rejected: OnRejected | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        directory = None if spool is None else Path(spool).absolute()
        self._plan = _Plan(
            address(url), key, max_events, max_bytes, directory, spool_max_bytes, timeout_seconds, on_rejected, tls
        )
        if problems := self._plan.problems():
            raise ValueError("; ".join(problems))
        self._core = _Core(self._plan)
        _made.add(self)
        if directory is not None:
            self._start(self._core)  # there may be something to replay

    def __repr__(self) -> str:
        counts = self.counts()
        return f"<{type(self).__name__} {self._plan.to.authority} sent={counts.sent} outstanding={counts.outstanding}>"

    def send(self, event: Mapping[str, Any] | bytes) -> bool:
        """Queue an event. Takes microseconds, never waits, never raises.

        Args:
            event: its members, or its JSON; `event_id` and `event_timestamp` (now) are filled in when it has none. It
                is encoded at once, so changing it afterwards changes nothing.

        Returns:
            Whether it was queued; if not, it is counted in `counts().dropped`: as `pan_detected` when a card number
            stands anywhere in it, which is kept nowhere.
        """
        core = self._core
        try:
            body = encode(event)
        except CardNumber:
            core.queue.refuse("pan_detected")
            return False
        except Exception:  # noqa: BLE001 - a payment must not fail for what is only observed
            core.queue.refuse("unencodable")
            return False
        if len(body) >= BODY_BYTES:
            core.queue.refuse("too_large")
            return False
        if not core.started:
            self._start(core)
        return core.queue.put(body)

    def counts(self) -> Counts:
        """What became of the events of this process so far; exact, and of one moment."""
        return self._core.queue.counts()

    def flush(self, timeout: float) -> bool:
        """Wait until the fate of every event is known, those in the spool included.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether it is.
        """
        return self._core.queue.until_known(timeout)

    def close(self, timeout: float = EXIT_SECONDS) -> bool:
        """Deliver what can be delivered, leave the rest in the spool, end the threads; idempotent.

        With a spool it does not wait for a node that is away. Events sent afterwards are dropped.

        Args:
            timeout: seconds to wait for the node at most; writing the spool may take one more.

        Returns:
            Whether the fate of every event is known.
        """
        core, deadline = self._core, time.monotonic() + timeout
        with core.lock:
            if not core.queue.closed:
                core.queue.close()
                if core.started:
                    core.queue.until_known(timeout, or_away=self._plan.spool is not None)
                core.worker.end(deadline)
                core.queue.end()
        _started.discard(self)
        return not core.queue.counts().outstanding and not core.queue.counts().dropped.get("unsent")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, core: _Core) -> None:
        with core.lock:
            if not (core.started or core.queue.closed):
                with contextlib.suppress(RuntimeError):  # no thread to be had: the next event tries again
                    core.start()
                    _started.add(self)

    def _forked(self) -> None:
        former, self._core = self._core, _Core(self._plan)
        former.worker.abandon()


class AsyncClient:
    """The same for asyncio: `send` is a plain call, as it never waits; `flush` and `close` are awaited.

    Args:
        url: of the node.
        key: an API key of the node.
        options: as those of `Client`; `on_rejected` is called from a thread of the client, not from the event loop.
    """

    def __init__(self, url: str, key: str, **options: Any) -> None:
        self._client = Client(url, key, **options)
        self.send = self._client.send
        self.counts = self._client.counts

    def __repr__(self) -> str:
        return repr(self._client).replace("<Client", "<AsyncClient", 1)

    async def flush(self, timeout: float) -> bool:  # noqa: ASYNC109 - the same as the synchronous one
        """Wait until the fate of every event is known; see `Client.flush`."""
        return await asyncio.to_thread(self._client.flush, timeout)

    async def close(self, timeout: float = EXIT_SECONDS) -> bool:  # noqa: ASYNC109
        """Deliver what can be delivered and end; see `Client.close`."""
        return await asyncio.to_thread(self._client.close, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


_made: weakref.WeakSet[Client] = weakref.WeakSet()
_started: set[Client] = set()  # their threads run, also when nobody else refers to them any more


def _close_all() -> None:
    deadline = time.monotonic() + EXIT_SECONDS
    for client in list(_started):
        client.close(max(0.0, deadline - time.monotonic()))


def _after_fork() -> None:
    for client in list(_made):
        client._forked()  # noqa: SLF001 - the same module


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)
