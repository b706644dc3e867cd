"""The requests of one connection, in order: judged by their head, handed over, answered in the order they came."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from payflux.http.head import CLOSE
from payflux.http.known_heads import KnownHeads
from payflux.http.limits import BODY_TOO_LARGE, INTERNAL_ERROR, Limits
from payflux.http.messages import Handler, Refused, Request, Response
from payflux.http.reader import DROP, KEEP, STOP
from payflux.log import log

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE_BYTES = 16384
"""Answers from this size on are written at once, so that a client that does not read is noticed between requests."""


@dataclass(slots=True)
class Shared:
    """What the connections of one server have in common.

    Attributes:
        handler: the application.
        limits: what a connection may take.
        now: a monotonic clock.
        tails: how a head ends, with its date: by `payflux.http.head.PLAIN`, `KEEP_ALIVE` and `CLOSE`.
        known: the request heads remembered.
        draining: the server stops; each connection closes after the request it has begun.
        refused: told of each request that is refused by its head, or by the server.
    """

    handler: Handler
    limits: Limits
    now: Callable[[], float]
    tails: tuple[bytes, bytes, bytes]
    known: KnownHeads = field(default_factory=KnownHeads)
    draining: bool = False
    refused: Refused | None = None

    def drain(self) -> None:
        """The server stops."""
        self.draining = True

    def date(self, tails: tuple[bytes, bytes, bytes]) -> None:
        """Another second begins: heads end with another date."""
        self.tails = tails


class Outlet(Protocol):
    """The way back to the client.

    Attributes:
        blocked_since: when the client began to leave its answers unread; None while it reads them.
    """

    blocked_since: float | None

    @property
    def peer(self) -> str:
        """The client's address."""

    def send(self, answers: bytes) -> None:
        """Send every answer whose turn has come; drops them when the client has gone."""


class Exchange:
    """One request and the answer it waits for."""

    __slots__ = ("pipeline", "request", "response", "tail")

    def __init__(self, pipeline: "Pipeline", request: Request, tail: int) -> None:
        self.pipeline = pipeline
        self.request = request
        self.tail = tail
        self.response: Response | None = None

    def decide(self, response: Response) -> None:
        """What it will be answered, when its turn comes and something is sent."""
        self.response = response

    def close_after(self) -> None:
        """Its answer says that the connection closes."""
        self.tail = CLOSE

    def respond(self, response: Response) -> None:
        """Answer it; a second answer is ignored, and one whose client has gone."""
        if self.response is None:
            self.response = response
            if not self.pipeline.corked or len(response.body) >= LARGE_BYTES:
                self.pipeline.flush()


class Pipeline:
    """Judges what its reader reads, hands it to the handler, and writes the answers in order.

    Args:
        shared: what it has in common with the server's other connections.
        outlet: where answers go.

    Attributes:
        unsent: the exchanges not answered, or answered and not sent; in order.
        corked: answers given now are written together, by `uncork`.
        served: a request was complete.
        failed: a request could not be accepted, so its client may still be sending.
    """

    __slots__ = (
        "_admit", "_continue", "_handle", "_held", "_most", "_outlet", "_reading", "_refusal", "_shared",
        "corked", "failed", "served", "unsent",
    )  # fmt: skip

    def __init__(self, shared: Shared, outlet: Outlet) -> None:
        self._shared, self._outlet = shared, outlet
        self._admit = shared.handler.admit
        self._handle = shared.handler.handle
        self._most = shared.limits.pipeline
        self._reading: Exchange | None = None  # whose body is being read; the last of `unsent`
        self._refusal: Response | None = None  # its answer, when the body is drained
        self._continue = False  # its client waits for 100 Continue
        self.unsent: deque[Exchange] = deque()
        self._held: deque[Exchange] = deque()  # those at its end the handler has not got yet
        self.corked = self.served = self.failed = False

    # what the reader calls

    def begin(self, request: Request, persistence: int, *, expects: bool) -> int:
        """Let the handler judge a head; what is refused is answered after its body when that is small."""
        exchange = self._reading = Exchange(self, request, CLOSE if self._shared.draining else persistence)
        self.unsent.append(exchange)
        try:
            refusal = self._admit(request)
        except Exception as error:  # noqa: BLE001 - a defect of the handler costs one request
            refusal = defect(error)
        length = request.content_length
        large = length is None or length > self._shared.limits.body_bytes
        if refusal is None:
            self._continue = expects
            if length is None or not large:
                return KEEP
            refusal = BODY_TOO_LARGE
        self._refusal = refusal
        self._tell(request, refusal)
        if large or expects:
            self.fail(refusal)
            return STOP
        return DROP

    def complete(self) -> bool:
        """Hand the request over, or keep it until the handler may have it."""
        exchange = self._reading
        assert exchange is not None
        self._reading = None
        self.served = True
        if self._refusal is not None:
            exchange.decide(self._refusal)
            self._refusal = None
        elif len(self.unsent) <= self._most and self._outlet.blocked_since is None and not self._held:
            self._start(exchange)
        else:
            self._held.append(exchange)
        return exchange.tail != CLOSE

    def fail(self, response: Response) -> None:
        """Answer what is being read, after all that was read before; nothing can be read after it."""
        exchange = self._reading or self.add(Request("", ""), CLOSE)
        exchange.close_after()
        if self._refusal is None:
            self._tell(exchange.request, response)
        exchange.decide(self._refusal or response)
        self._reading = self._refusal = None
        self.failed = True

    def crowded(self) -> bool:
        """Whether reading has to wait, for the client to read or for the handler to answer."""
        if self._unanswered() >= self._most:
            self.flush()
        return self._outlet.blocked_since is not None or bool(self._held) or self._unanswered() >= self._most

    # what the connection calls

    def add(self, request: Request, tail: int) -> Exchange:
        """Take a request behind all the others."""
        exchange = Exchange(self, request, tail)
        self.unsent.append(exchange)
        return exchange

    def cork(self) -> None:
        """Answers given from now on are written together."""
        self.corked = True

    def uncork(self) -> None:
        """Write them; what is answered later is written at once."""
        self.corked = False
        self.flush()

    @property
    def full(self) -> bool:
        """Whether the handler may get no more of this connection now."""
        return self._outlet.blocked_since is not None or self._unanswered() - len(self._held) >= self._most

    @property
    def holds(self) -> bool:
        """Whether complete requests wait for the handler."""
        return bool(self._held)

    def start_held(self) -> None:
        """Hand over what was held back, as far as the handler may have it."""
        while self._held and not self.full:
            self._start(self._held.popleft())

    def cut(self) -> None:
        """What is being read will never be complete."""
        if self._reading is not None:
            self.unsent.pop()
            self._reading = None

    def close_after_last(self) -> bool:
        """Let the last answer say that the connection closes; False when none is to come."""
        if self.unsent:
            self.unsent[-1].close_after()
        return bool(self.unsent)

    def clear(self) -> None:
        """Forget everything; answers that are still to come will be dropped."""
        self.unsent.clear()
        self._held.clear()

    def flush(self) -> None:
        """Write every answer whose turn has come."""
        waiting = self.unsent
        if not waiting:
            return
        tails = self._shared.tails
        parts: list[bytes] = []
        while waiting and (response := waiting[0].response) is not None:
            exchange = waiting.popleft()
            parts += (response.head, tails[exchange.tail])
            if exchange.request.method != "HEAD":
                parts.append(response.body)
        if self._continue and waiting and waiting[0] is self._reading:
            self._continue = False
            parts.append(CONTINUE)
        if parts:
            self._outlet.send(b"".join(parts))

    def _tell(self, request: Request, refusal: Response) -> None:
        if self._shared.refused is not None:
            self._shared.refused(request, refusal, self._outlet.peer)

    def _unanswered(self) -> int:
        """Requests read and not answered; those answered but not flushed count too."""
        return len(self.unsent) - (self._reading is not None)

    def _start(self, exchange: Exchange) -> None:
        try:
            self._handle(exchange.request, exchange.respond)
        except Exception as error:  # noqa: BLE001 - a defect of the handler costs one request
            exchange.respond(defect(error))


def defect(error: Exception) -> Response:
    """The answer to a request that met a defect of the handler."""
    log("error", "handler_failed", error=type(error).__name__)
    return INTERNAL_ERROR
