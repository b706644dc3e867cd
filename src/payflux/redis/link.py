"""One connection to Redis: commands out, replies back in order, nothing retried.

Written by hand because a client library's generality costs 4 to 40 µs of CPU an event here, and because its helpful
retries are what loses or doubles events. A reply that does not come in time closes the connection, so that no later
reply can be taken for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from payflux.errors import StreamUnavailable
from payflux.redis.replies import unavailable

Command = tuple[str | bytes | int, ...]

OnReply = Callable[[Any], None]
"""Gets a reply, or the exception that stands for it: hiredis.ReplyError or StreamUnavailable."""


def pack(command: Sequence[str | bytes | int]) -> bytes:
    """A command as it goes over the wire."""
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # its stub says tuple of one
    return packed


class RedisLink(asyncio.Protocol):
    """A connection: made by `connect`, used until `lost` is set, then thrown away.

    Attributes:
        lost: it is closed, and never opens again.
        clustered: the server is part of a Redis Cluster.
    """

    def __init__(self, on_lost: Callable[[], None] | None = None) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[OnReply] = deque()
        self._transport: asyncio.WriteTransport | None = None
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._why: StreamUnavailable | None = None
        self.lost = False
        self.clustered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the socket is connected."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are not instances of it

    def data_received(self, data: bytes) -> None:
        """Asyncio: hand every complete reply to whoever waits for it."""
        self._reader.feed(data)
        while (reply := self._next()) is not False:
            if not self._waiting:
                unasked = reply if isinstance(reply, hiredis.ReplyError) else "Redis sent a reply nobody asked for"
                self.fail(unavailable(hiredis.ReplyError(str(unasked))))
                return
            self._waiting.popleft()(reply)

    def _next(self) -> Any:
        try:
            return self._reader.gets()
        except hiredis.ProtocolError as error:
            self.fail(StreamUnavailable("redis_protocol", f"this is not Redis: {error}"))
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the socket is closed."""
        self.fail(StreamUnavailable("redis_down", f"connection to Redis lost: {exc or 'closed by the server'}"))

    def fail(self, error: StreamUnavailable) -> None:
        """Close the connection and tell everyone who waits why; the fate of what they sent is unknown."""
        if self.lost:
            return
        self.lost = True
        if error.code not in {"redis_down", "redis_timeout"}:
            self._why = error
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for on_reply in waiting:
            on_reply(error)
        if self._on_lost is not None:
            self._on_lost()

    def close(self) -> None:
        """Close the connection."""
        self.fail(StreamUnavailable("redis_down", "connection closed"))

    def send(self, packed: bytes, on_reply: OnReply) -> None:
        """Send one packed command; `on_reply` gets its reply later, or at once the reason why it could not be sent."""
        if self.lost or self._transport is None:
            on_reply(self._why or StreamUnavailable("redis_down", "no connection to Redis"))
            return
        self._waiting.append(on_reply)
        self._transport.write(packed)

    def deadline(self, seconds: float) -> asyncio.TimerHandle:
        """Close the connection after so many seconds, unless the handle is cancelled because the reply came."""
        late = StreamUnavailable("redis_timeout", "Redis did not answer in time")
        return self._loop.call_later(seconds, self.fail, late)

    async def call(self, *command: str | bytes | int, timeout: float = 5.0) -> Any:  # noqa: ASYNC109
        """Send one command and wait for its reply.

        Raises:
            hiredis.ReplyError: Redis answered with an error.
            StreamUnavailable: no reply within `timeout` seconds, or the connection was lost.
        """
        (reply,) = await self.calls([command], timeout=timeout)
        return reply

    async def ask(self, *command: str | bytes | int, timeout: float = 5.0) -> Any:  # noqa: ASYNC109
        """As `call`, but an error reply is StreamUnavailable too; `code` says which."""
        try:
            return await self.call(*command, timeout=timeout)
        except hiredis.ReplyError as error:
            raise unavailable(error) from None

    async def calls(
        self,
        commands: list[Command],
        timeout: float = 5.0,  # noqa: ASYNC109
    ) -> list[Any]:
        """Send several commands at once and wait for all their replies; raises as `call` does, the first error."""
        replies = await self.replies(commands, timeout)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def replies(
        self,
        commands: list[Command],
        timeout: float = 5.0,  # noqa: ASYNC109
    ) -> list[Any]:
        """Send several commands at once and wait for all their replies; an error reply stands for itself.

        Raises:
            StreamUnavailable: not all of them came within `timeout` seconds, or the connection was lost.
        """
        futures: list[asyncio.Future[Any]] = [self._loop.create_future() for _ in commands]
        timer = self.deadline(timeout)
        for command, future in zip(commands, futures, strict=True):
            self.send(pack(command), resolving(future))
        try:
            replies = [await future for future in futures]
        finally:
            timer.cancel()
        for reply in replies:
            if isinstance(reply, StreamUnavailable):
                # In protected mode the first command is refused, and then the server hangs up.
                denied = [one for one in replies if isinstance(one, hiredis.ReplyError) and str(one)[:6] == "DENIED"]
                raise unavailable(denied[0]) if denied else reply
        return replies


def resolving(future: asyncio.Future[Any]) -> OnReply:
    """Gives a reply to whoever waits for the future, if anybody still does."""

    def on_reply(reply: Any) -> None:
        if not future.done():
            future.set_result(reply)

    return on_reply
