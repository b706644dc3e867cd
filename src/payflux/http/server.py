"""The HTTP/1.1 server: accepts connections, keeps their deadlines and their number, and stops gracefully.

When descriptors run out, libuv accepts with one it keeps in reserve and closes at once, and the standard loop pauses
accepting for a second: neither spins, and both go on when descriptors are free again. `Limits.connections` has to
stay well below the limit of open files, so that it is the cap that acts.
"""

import asyncio
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from email.utils import formatdate

from payflux.http.connection import Connection
from payflux.http.limits import TOO_MANY_CONNECTIONS
from payflux.http.limits import Limits as Limits
from payflux.http.messages import Handler, Refused, Response
from payflux.http.pipeline import Shared

DEFAULTS = Limits()
SWEEP_SECONDS = 0.5
"""How often deadlines are looked at, so how late one may be noticed."""
BACKLOG = 1024
"""Connections the kernel completes before they are accepted; it caps this by its own limit."""
SPARE = 64
"""Connections beyond the limit that get an answer; what comes on top is closed without a word."""


class HttpServer:
    """Serves one handler on one listening socket or several.

    Args:
        handler: the application.
        limits: sizes, deadlines and numbers of connections.
        now: a monotonic clock, for deadlines only.
        refused: told of each request that is refused by its head, or by the server.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits = DEFAULTS,
        now: Callable[[], float] = time.monotonic,
        refused: Refused | None = None,
    ) -> None:
        self._limits = limits
        self._now = now
        self._shared = Shared(handler, limits, now, _tails(), refused=refused)
        self._connections: set[Connection] = set()
        self._refused: set[Connection] = set()  # which take their 503 and leave
        self._idle: list[Connection] = []  # found at the last look, those that are to go first last
        self._looked = False  # in vain since the last sweep
        self._listeners: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections) + len(self._refused)

    async def start(self, *sockets: socket.socket) -> None:
        """Accept connections.

        Args:
            sockets: bound, and listening or not; the server closes them when it stops.
        """
        loop = asyncio.get_running_loop()
        for sock in sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it, whatever the loop
            self._listeners.append(await loop.create_server(self._connection, sock=sock, backlog=BACKLOG))
        self._tick()

    async def stop(self, grace_seconds: float) -> None:
        """Stop accepting, let the requests that have begun finish, and close.

        Args:
            grace_seconds: what is open after this long is aborted.
        """
        if not self._listeners:
            return
        for listener in self._listeners:
            listener.close()
        self._shared.drain()
        for connection in self._all():
            connection.drain()
        await self._emptied(grace_seconds)
        for connection in self._all():
            connection.abort()
        await self._emptied(SWEEP_SECONDS)
        if self._timer is not None:
            self._timer.cancel()

    def sweep(self) -> None:
        """Close what is past its deadline; the timer calls it."""
        now = self._now()
        self._idle = []
        self._looked = False
        for connection in self._all():
            connection.expire(now)
        self._limit_peers()

    def _limit_peers(self) -> None:
        """Close what one address has begun and not finished beyond its share, the slowest first."""
        most = self._limits.unfinished_per_peer
        if len(self._connections) <= most:
            return
        by_peer: defaultdict[str, list[Connection]] = defaultdict(list)
        for connection in _slowest_first(self._connections):
            by_peer[connection.peer.rpartition(":")[0]].append(connection)
        for found in by_peer.values():
            for connection in found[: max(0, len(found) - most)]:
                self._connections.discard(connection)
                connection.abort()

    def _all(self) -> list[Connection]:
        return [*self._connections, *self._refused]

    async def _emptied(self, seconds: float) -> None:
        if self.connections:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                return

    def _tick(self) -> None:
        self._shared.date(_tails())
        self.sweep()
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._tick)

    def _connection(self) -> Connection:
        return Connection(self._shared, self._opened, self._closed)

    def _opened(self, connection: Connection) -> Response | None:
        if self._shared.draining:
            connection.abort()
        elif len(self._connections) < self._limits.connections or self._make_room():
            self._connections.add(connection)
            return None
        elif len(self._refused) < SPARE:
            self._refused.add(connection)
        else:
            connection.abort()
        return TOO_MANY_CONNECTIONS

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._refused.discard(connection)
        if not self.connections:
            self._empty.set()

    def _make_room(self) -> bool:
        """Close the slowest of those that owe a head, else the one that has been idle longest; false when none is."""
        if not self._idle and not self._looked:
            idle = [(since, c) for c in self._connections if (since := c.idle_since) is not None]
            idle.sort(key=lambda pair: pair[0], reverse=True)
            self._idle = [*(c for _, c in idle), *reversed(_slowest_first(self._connections))]
            self._looked = not self._idle
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since is not None or connection.unfinished_since is not None:
                self._connections.discard(connection)
                connection.abort()
                return True
        return False


def _slowest_first(connections: Iterable[Connection]) -> list[Connection]:
    """Those that owe a head, who owes it longest first."""
    owing = [(since, c) for c in connections if (since := c.unfinished_since) is not None]
    return [c for _, c in sorted(owing, key=lambda pair: pair[0])]


def _tails() -> tuple[bytes, bytes, bytes]:
    date = b"Date: " + formatdate(usegmt=True).encode() + b"\r\n"
    return date + b"\r\n", date + b"Connection: keep-alive\r\n\r\n", date + b"Connection: close\r\n\r\n"
