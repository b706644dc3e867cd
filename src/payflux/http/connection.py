"""One connection of the HTTP server: its socket, its deadlines and its end. No task per request.

What is read becomes requests in `payflux.http.reader`, and these are judged and answered in `payflux.http.pipeline`;
most requests pass both by, in `payflux.http.lane`.
"""

import asyncio
import math
import socket
import struct
from collections.abc import Callable
from typing import cast

from payflux.http.lane import Lane
from payflux.http.last_head import LastHead
from payflux.http.limits import TIMED_OUT
from payflux.http.messages import Response
from payflux.http.pipeline import Pipeline, Shared
from payflux.http.reader import BODY, CHUNKS, DEAF, HEAD, IDLE, Reader

LINGER_SECONDS = 2.0
"""How long what a refused client still sends is read and dropped, so that it sees the answer and not a reset."""

_RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` of no time: otherwise what was sent and not read is kept, megabytes for many minutes."""


class Connection(asyncio.Protocol):
    """The asyncio protocol of one connection.

    Args:
        shared: what it has in common with the server's other connections.
        opened: told of it when it is there; a response refuses it.
        closed: told of it when it is lost.

    Attributes:
        blocked_since: when the client began to leave its answers unread; None while it reads them.
    """

    __slots__ = (
        "_busy_at", "_closed", "_eof", "_lane", "_late", "_lingering", "_opened", "_paused", "_pending", "_pipeline",
        "_reader", "_shared", "_transport", "_unsent", "blocked_since",
    )  # fmt: skip

    def __init__(
        self,
        shared: Shared,
        opened: Callable[["Connection"], Response | None],
        closed: Callable[["Connection"], None],
    ) -> None:
        self._shared, self._opened, self._closed = shared, opened, closed
        self._transport: asyncio.Transport | None = None
        self._pipeline = Pipeline(shared, self)
        last = LastHead(shared.limits)
        self._reader = Reader(self._pipeline, shared.limits, shared.now, shared.known, last)
        self._lane = Lane(shared, self._pipeline, self, last)
        self._pending = b""  # received and not read
        self._busy_at = -math.inf  # when last seen with a request
        self._unsent = self._pipeline.unsent
        self._paused = False
        self.blocked_since: float | None = None
        self._eof = False
        self._late = self._lingering = False  # data came after the last request; they are dropped now

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless the server has no room."""
        self._transport = cast("asyncio.Transport", transport)
        refusal = self._opened(self)
        if refusal is not None:
            self._fail(refusal)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it was lost changes nothing
        """Forget everything; answers that are still to come will be dropped."""
        self._transport = None
        self._lane.clear()
        self._pipeline.clear()
        self._pending = b""
        self._reader.close()
        self._closed(self)

    def data_received(self, data: bytes) -> None:
        """Deal with a read, and write all answers that are ready in one go."""
        phase = self._reader.phase
        if phase == IDLE:
            lane = self._lane
            if not (lane.busy or self._unsent or self._paused) and lane.take(data):
                return
        elif phase == DEAF:
            self._late = True  # closing on unread data would destroy the answer
            return
        self._lane.leave()
        self._pipeline.cork()
        self._pending = self._reader.read(data)
        self._settle()

    def eof_received(self) -> bool:
        """The client sends no more, and still gets the answers it waits for; True keeps the transport open."""
        self._lane.leave()
        self._eof = True
        self._reader.stop()
        self._pipeline.cut()
        return not self._lingering and self._pipeline.close_after_last()

    def pause_writing(self) -> None:
        """The client does not read its answers: take nothing more from it."""
        self.blocked_since = self._shared.now()
        self._pause()

    def resume_writing(self) -> None:
        """It reads again."""
        self.blocked_since = None
        self._resume_soon()

    # what the lane and the pipeline call

    @property
    def peer(self) -> str:
        """The client's address; empty once it has gone."""
        found = None if self._transport is None else self._transport.get_extra_info("peername")
        if not found:
            return ""
        host = found[0].removeprefix("::ffff:")  # an IPv4 client of a socket of both families
        return f"[{host}]:{found[1]}" if ":" in host else f"{host}:{found[1]}"

    def send(self, answers: bytes) -> None:
        """Send every answer whose turn has come; then end after the last one, or read on when there is room again."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(answers)
        if self._reader.phase == DEAF and not self._unsent:
            self._end()
        elif self._paused and not self._pipeline.corked:
            self._resume_soon()

    # flow

    def _settle(self) -> None:
        """After a read: send, then read on, or wait for the client to read, or for the handler."""
        pipeline = self._pipeline
        pipeline.uncork()
        if self._reader.phase == DEAF and not self._unsent:
            self._end()  # a large last answer may have left before it was known to be the last
        if not (self._unsent or self._pending or self._paused or self.blocked_since is not None):
            return  # nearly always
        if pipeline.full:
            self._pause()
        elif pipeline.holds or self._pending:
            self._pause()
            self._resume_soon()
        elif self._paused:
            self._paused = False
            if self._transport is not None and not self._eof:
                self._transport.resume_reading()

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._eof:
            self._paused = True
            self._transport.pause_reading()

    def _resume_soon(self) -> None:
        """Not at once: the handler is not to be called from within its own `respond`."""
        asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        if not self._paused or self._transport is None or self._transport.is_closing():
            return
        self._pipeline.cork()
        self._pipeline.start_held()
        if not self._pipeline.crowded():
            self._pending = self._reader.read(self._pending)
        self._settle()

    def _fail(self, response: Response) -> None:
        """Answer what is being read, after all that was read before, and close."""
        self._pipeline.fail(response)
        self._reader.stop()
        self._pipeline.flush()

    def _end(self) -> None:
        """Close; on a client that may still be sending, only after it has seen its answer."""
        if self._transport is None or self._transport.is_closing() or self._lingering:
            return
        self._reader.wait_from(self._shared.now())
        self._reader.stop()
        if (self._late or self._pipeline.failed) and not self._eof:
            self._lingering = True
            self._transport.write_eof()
        else:
            self._transport.close()

    # what the server calls

    @property
    def idle_since(self) -> float | None:
        """When it began to wait for a request; None while it reads or answers one, and when it closes."""
        if self._reader.phase != IDLE or self._lane.busy or self._unsent or self._pending:
            return None
        self._look(self._shared.now())
        return max(self._reader.since, self._busy_at)

    @property
    def unfinished_since(self) -> float | None:
        """Since when it owes the head of a request: one that it began, or its first; None when it owes none."""
        self._look(self._shared.now())
        phase = self._reader.phase
        is_new = phase == IDLE and not (self._lane.busy or self._unsent or self._pending or self._has_sent)
        return self._reader.since if phase == HEAD or is_new else None

    def _look(self, now: float) -> None:
        """Note that requests came by the lane, which reads no clock."""
        if self._lane.used():
            self._busy_at = now

    def drain(self) -> None:
        """Close after the requests that have begun."""
        self._lane.leave()
        if self._reader.phase in {CHUNKS, BODY}:
            self._pipeline.close_after_last()
        elif self._reader.phase == IDLE:
            self._reader.stop()
            self._pending = b""
            if not self._pipeline.close_after_last():
                self._end()

    def abort(self) -> None:
        """Close now, whatever it owes."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Close now, and let the kernel drop what nobody reads."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def expire(self, now: float) -> None:
        """Act on the deadline that has passed, if one has.

        Args:
            now: by the clock the connection was given, in seconds.
        """
        limits, reader, transport = self._shared.limits, self._reader, self._transport
        if transport is None:
            return
        self._look(now)
        waited = now - reader.since
        if self._lingering or transport.is_closing():
            if waited >= (limits.write_seconds if transport.get_write_buffer_size() else LINGER_SECONDS):
                self.reset()
        elif self.blocked_since is not None:
            if now - self.blocked_since >= limits.write_seconds:
                self.reset()
        elif self._paused:
            reader.wait_from(now)  # it waits for us
        elif self._lane.busy or self._unsent or reader.phase != IDLE:
            self._busy_at = now
            self._expire_request(waited)
        elif now - max(reader.since, self._busy_at) >= self._idle_seconds:
            self._end()

    @property
    def _idle_seconds(self) -> float:
        """How long it may be silent; a connection that has sent nothing yet shorter."""
        limits = self._shared.limits
        return limits.idle_seconds if self._has_sent else limits.head_seconds

    @property
    def _has_sent(self) -> bool:
        return bool(self._pipeline.served) or self._busy_at > -math.inf

    def _expire_request(self, waited: float) -> None:
        phase, limits = self._reader.phase, self._shared.limits
        if HEAD <= phase <= BODY and waited >= (limits.head_seconds if phase == HEAD else limits.body_seconds):
            self._fail(TIMED_OUT)
