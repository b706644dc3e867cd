"""One connection of the HTTP server: requests to the handler, answers out in order, deadlines. No task per request."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from payflux.http.exchange import Exchange
from payflux.http.head import CLOSE, PLAIN
from payflux.http.limits import BODY_TOO_LARGE, INTERNAL_ERROR, TIMED_OUT, Limits
from payflux.http.messages import Handler, Refused, Request, Response
from payflux.http.reader import BODY, DEAF, HEAD, IDLE, KnownHead, Reader, Stopped
from payflux.log import log

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LINGER_SECONDS = 2.0
"""How long what a refused client still sends is read and dropped, so that it sees the answer and not a reset."""


@dataclass(slots=True)
class Shared:
    """What the connections of one server have in common.

    Attributes:
        handler: the application.
        limits: what a connection may take.
        now: a monotonic clock.
        opened: told of a new connection; a response refuses it.
        closed: told of a lost one.
        tails: how a head ends, with its date: by `http_head.PLAIN`, `KEEP_ALIVE` and `CLOSE`.
        known: the request heads remembered.
        draining: the server stops; each connection closes after the request it has begun.
        refused: told of each answer given before its request was complete.
    """

    handler: Handler
    limits: Limits
    now: Callable[[], float]
    opened: Callable[["Connection"], Response | None]
    closed: Callable[["Connection"], None]
    tails: tuple[bytes, bytes, bytes]
    known: dict[bytes, KnownHead] = field(default_factory=dict)
    draining: bool = False
    refused: Refused | None = None


class Connection(asyncio.Protocol):
    """The asyncio protocol of one connection, and the sink of its reader.

    Args:
        shared: what it has in common with the server's other connections.

    Attributes:
        parsing: answers given now are written when the read has been dealt with.
    """

    __slots__ = (
        "_admit", "_answer", "_blocked_since", "_busy_at", "_continue", "_current", "_eof", "_handle", "_held",
        "_known", "_laned", "_linger", "_lingering", "_moved", "_open", "_overtaken", "_paused", "_pending",
        "_pipeline", "_reader", "_refusal", "_served", "_shared", "_transport", "parsing",
    )  # fmt: skip

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._admit = shared.handler.admit
        self._handle = shared.handler.handle
        self._pipeline = shared.limits.pipeline
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(self, shared.limits, shared.now, shared.known)
        self._pending = b""  # received and not read
        self._current: Exchange | None = None  # whose body is being read; the last of _open
        self._refusal: Response | None = None  # its answer, when the body is drained
        self._continue = False  # its client waits for 100 Continue
        self._open: deque[Exchange] = deque()  # not answered, or answered and not sent; in order
        self._held: deque[Exchange] = deque()  # those at its end the handler has not got yet
        self._served = False
        self._busy_at = -math.inf  # when last seen with a request
        self._known = shared.known
        self._laned = self._moved = False  # a request is with its lane; one was since the last look at the deadlines
        self._overtaken: Exchange | None = None  # stands for that request once others follow it
        self._answer = self._answer_laned
        self._paused = False
        self._blocked_since: float | None = None
        self._eof = False
        self._linger = self._lingering = False
        self.parsing = False

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless the server has no room."""
        self._transport = cast("asyncio.Transport", transport)
        refusal = self._shared.opened(self)
        if refusal is not None:
            self.fail(refusal)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it was lost changes nothing
        """Forget everything; answers that are still to come will be dropped."""
        self._transport = None
        self._laned, self._overtaken = False, None
        self._open.clear()
        self._held.clear()
        self._pending = b""
        self._reader.close()
        self._shared.closed(self)

    def data_received(self, data: bytes) -> None:
        """Deal with a read, and write all answers that are ready in one go."""
        phase = self._reader.phase
        if phase == IDLE and not (self._laned or self._open or self._paused):
            end = data.find(b"\r\n\r\n") + 4
            known = self._known.get(data[:end])
            if known is not None and known.lane is not None and len(data) - end == known.length:
                self._laned = self._moved = True
                try:
                    known.lane(data[end:], self._answer)
                except Exception as error:  # noqa: BLE001 - a defect of the handler costs one request
                    self._answer(_defect(error))
                return
        elif phase == DEAF:
            self._linger = True  # closing on unread data would destroy the answer
            return
        self._overtake()
        self.parsing = True
        self._pending = self._reader.read(data)
        self._settle()

    def eof_received(self) -> bool:
        """The client sends no more, and still gets the answers it waits for; True keeps the transport open."""
        self._overtake()
        self._eof = True
        self._reader.phase = DEAF
        if self._current is not None:
            self._open.pop()
            self._current = None
        if self._lingering or not self._open:
            return False
        self._open[-1].tail = CLOSE
        return True

    def pause_writing(self) -> None:
        """The client does not read its answers: take nothing more from it."""
        self._blocked_since = self._shared.now()
        self._pause()

    def resume_writing(self) -> None:
        """It reads again."""
        self._blocked_since = None
        self._resume_soon()

    # by lane: most requests are alone on their connection and have a head that was admitted before

    def _answer_laned(self, response: Response) -> None:
        if not self._laned:
            return  # answered, or its client has gone
        self._laned, exchange = False, self._overtaken
        if exchange is not None:
            self._overtaken = None
            exchange.respond(response)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write(response.whole(self._shared.tails[PLAIN]))

    def _overtake(self) -> None:
        """Something else happens before the answer: from now on the request is one of those in `_open`."""
        if self._laned and self._overtaken is None:
            self._overtaken = Exchange(self, Request("POST", ""), PLAIN)
            self._open.append(self._overtaken)

    # what the reader calls

    def begin(self, request: Request, persistence: int, *, expects: bool) -> None:
        """Let the handler judge a head; what is refused is answered after its body when that is small."""
        exchange = self._current = Exchange(self, request, persistence)
        self._open.append(exchange)
        if self._shared.draining:
            exchange.tail = CLOSE
        try:
            refusal = self._admit(request)
        except Exception as error:  # noqa: BLE001 - a defect of the handler costs one request
            refusal = _defect(error)
        length = request.content_length
        large = length is None or length > self._shared.limits.body_bytes
        if refusal is None:
            self._continue = expects
            if large and length is not None:
                refusal = BODY_TOO_LARGE
        if refusal is not None:
            if large or expects:
                self.fail(refusal)
                raise Stopped
            self._refusal = refusal
            self._reader.draining = True

    def complete(self) -> None:
        """Hand the request over, or keep it until the handler may have it."""
        exchange = self._current
        assert exchange is not None
        self._current = None
        self._served = True
        if exchange.tail == CLOSE:
            self._reader.phase = DEAF
        if self._refusal is not None:
            exchange.response = self._refusal
            self._refusal = None
        elif len(self._open) <= self._pipeline and self._blocked_since is None and not self._held:
            self._start(exchange)
        else:
            self._held.append(exchange)

    def fail(self, response: Response) -> None:
        """Answer what is being read, after all that was read before, and close."""
        exchange = self._current
        if exchange is None:
            exchange = Exchange(self, Request("", ""), CLOSE)
            self._open.append(exchange)
        exchange.tail = CLOSE
        exchange.response = self._refusal or response
        if self._shared.refused is not None:
            self._shared.refused(exchange.request, exchange.response)
        self._current = self._refusal = None
        self._reader.phase = DEAF
        self._linger = True
        if not self.parsing:
            self.flush()

    def crowded(self) -> bool:
        """Whether reading has to wait, for the client to read or for the handler to answer."""
        if self._unanswered() >= self._pipeline:
            self.flush()
        return self._blocked_since is not None or bool(self._held) or self._unanswered() >= self._pipeline

    # flow

    def _unanswered(self) -> int:
        """Requests read and not answered; those answered but not flushed count too."""
        return len(self._open) - (self._current is not None)

    def _full(self) -> bool:
        """Whether the handler may get no more of this connection now."""
        return self._blocked_since is not None or self._unanswered() - len(self._held) >= self._pipeline

    def _start(self, exchange: Exchange) -> None:
        try:
            self._handle(exchange.request, exchange.respond)
        except Exception as error:  # noqa: BLE001 - a defect of the handler costs one request
            exchange.respond(_defect(error))

    def _settle(self) -> None:
        """After a read: send, then read on, or wait for the client to read, or for the handler."""
        self.parsing = False
        self.flush()
        if not (self._open or self._pending or self._paused or self._blocked_since is not None):
            return  # nearly always
        if self._full():
            self._pause()
        elif self._held or self._pending:
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
        self.parsing = True
        while self._held and not self._full():
            self._start(self._held.popleft())
        if not self.crowded():
            self._pending = self._reader.read(self._pending)
        self._settle()

    def flush(self) -> None:
        """Write every answer whose turn has come."""
        waiting = self._open
        if not waiting or self._transport is None or self._transport.is_closing():
            return
        tails = self._shared.tails
        parts: list[bytes] = []
        while waiting and (response := waiting[0].response) is not None:
            exchange = waiting.popleft()
            parts += (response.head, tails[exchange.tail])
            if exchange.request.method != "HEAD":
                parts.append(response.body)
        if self._continue and waiting and waiting[0] is self._current:
            self._continue = False
            parts.append(CONTINUE)
        if parts:
            self._transport.write(b"".join(parts))
        if self._reader.phase == DEAF and not waiting:
            self._end()
        elif self._paused and not self.parsing:
            self._resume_soon()

    def _end(self) -> None:
        """Close; on a client that may still be sending, only after it has seen its answer."""
        if self._transport is None or self._lingering:
            return
        self._reader.since = self._shared.now()
        self._reader.phase = DEAF
        if self._linger and not self._eof:
            self._lingering = True
            self._transport.write_eof()
        else:
            self._transport.close()

    # what the server calls

    @property
    def idle_since(self) -> float | None:
        """When it began to wait for a request; None while it reads or answers one, and when it closes."""
        if self._reader.phase != IDLE or self._laned or self._open or self._pending:
            return None
        self._look(self._shared.now())
        return max(self._reader.since, self._busy_at)

    def _look(self, now: float) -> None:
        """Note that requests have come by a lane, which reads no clock."""
        if self._moved:
            self._moved, self._served, self._busy_at = False, True, now

    def drain(self) -> None:
        """Close after the requests that have begun."""
        self._overtake()
        if self._current is not None:
            self._current.tail = CLOSE
        elif self._reader.phase == IDLE:
            self._reader.phase = DEAF
            self._pending = b""
            if self._open:
                self._open[-1].tail = CLOSE
            else:
                self._end()

    def abort(self) -> None:
        """Close now, whatever it owes."""
        if self._transport is not None:
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
                self.abort()
        elif self._blocked_since is not None:
            if now - self._blocked_since >= limits.write_seconds:
                self.abort()
        elif self._paused:
            reader.since = now  # it waits for us
        elif self._laned or self._open or reader.phase != IDLE:
            self._busy_at = now
            self._expire_request(waited)
        elif now - max(reader.since, self._busy_at) >= (limits.idle_seconds if self._served else limits.head_seconds):
            self._end()

    def _expire_request(self, waited: float) -> None:
        phase, limits = self._reader.phase, self._shared.limits
        if HEAD <= phase <= BODY and waited >= (limits.head_seconds if phase == HEAD else limits.body_seconds):
            self.fail(TIMED_OUT)


def _defect(error: Exception) -> Response:
    log("error", "handler_failed", error=type(error).__name__)
    return INTERNAL_ERROR
