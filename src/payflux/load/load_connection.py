"""One connection of a load. It reads of an answer what is counted and no more, so it costs little beside a node."""

import asyncio
from collections import deque
from typing import Protocol

PAUSE_SECONDS = 0.1  # of a connection that was refused for now, or broke
CACHED_HEADS = 64


class Load(Protocol):
    """What a connection needs of its load.

    Attributes:
        depth: requests sent before their answers are awaited.
    """

    depth: int

    def now(self) -> float:
        """The time in seconds."""

    def next_request(self) -> bytes:
        """A request that is about to be sent."""

    def ready(self, client: "LoadConnection") -> None:
        """A connection can take requests."""

    def answered(self, status: int, body: bytes, since: float) -> None:
        """One request has its answer."""

    def lost(self, client: "LoadConnection", unanswered: int) -> None:
        """A connection ended; there will be another."""


class LoadConnection(asyncio.Protocol):
    """One connection: as many requests at once as the load has depth, then their answers.

    Args:
        load: what it belongs to.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.WriteTransport | None = None
        self._since: deque[float] = deque()
        self._rest = b""
        self._heads: dict[bytes, tuple[int, int]] = {}
        self._pause = False
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can send."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's are not instances of it

    def send(self, due: float) -> None:
        """Send requests; `due` is when they should have gone, 0 for now."""
        load = self._load
        assert self._transport is not None
        since = due or load.now()
        for _ in range(load.depth):
            self._since.append(since)
            self._transport.write(load.next_request())

    def close(self) -> None:
        """End it."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take the answers that are complete; what is no HTTP, or was not asked for, ends it."""
        if self._rest:
            data = self._rest + data
        at = 0
        while (end := data.find(b"\r\n\r\n", at)) >= 0:
            status, length = self._head(data[at:end])
            body = end + 4
            if len(data) < body + length:
                break
            if status == 0 or not self._since:
                self._end()  # that is no HTTP, or nobody asked
                return
            self._load.answered(status, data[body : body + length], self._since.popleft())
            self._pause = status in (429, 503)
            at = body + length
        self._rest = data[at:]
        if not self._since and not self._rest:
            self._again()

    def _again(self) -> None:
        if self._pause:
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._load.ready, self)
        else:
            self._load.ready(self)

    def _head(self, head: bytes) -> tuple[int, int]:
        """Status and length of the body; heads come again and again until the date changes."""
        if (known := self._heads.get(head)) is None:
            length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r")[0].strip() or b"0"
            known = (int(head[9:12]), int(length)) if head[9:12].isdigit() and length.isdigit() else (0, 0)
            if len(self._heads) >= CACHED_HEADS:
                self._heads.clear()
            self._heads[head] = known
        return known

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended makes no difference
        """Tell the load, unless that ended it."""
        if not self._closing:
            self._load.lost(self, len(self._since))
            self._since.clear()
