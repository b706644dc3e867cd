"""From the bytes of one connection to its requests.

llhttp (by httptools) finds the messages and refuses nearly all smuggling, `payflux.http.head` the rest. The parser
cannot be paused within a call, so a read is given to it in slices: that bounds what a client can make us hold.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from payflux.http.head import PLAIN, BadHead, HeadReader, replay, size
from payflux.http.known_heads import KnownHeads, Learner
from payflux.http.last_head import LastHead
from payflux.http.limits import BAD_REQUEST, BODY_TOO_LARGE, HEAD_TOO_LARGE, INTERNAL_ERROR, Limits
from payflux.http.messages import Request, Response
from payflux.log import log

SLICE_BYTES = 4096
"""How much is parsed at a time; more only of a body whose length was announced."""

# What is read next. Phases are compared: HEAD and CHUNKS may go on without a body's progress for `head_bytes` only.
IDLE: Final = 0
HEAD: Final = 1
CHUNKS: Final = 2
BODY: Final = 3
DEAF: Final = 4  # nothing any more


# What becomes of the body of a request whose head was read.
KEEP: Final = 0
DROP: Final = 1
STOP: Final = 2  # nothing more is read, this body included


class Sink(Protocol):
    """What the requests are told to."""

    def begin(self, request: Request, persistence: int, *, expects: bool) -> int:
        """A head has been read; returns what becomes of its body: KEEP, DROP or STOP."""

    def complete(self) -> bool:
        """The request begun last is complete; returns whether another one may follow."""

    def fail(self, response: Response) -> None:
        """What is being read cannot be accepted, and nothing more is read."""

    def crowded(self) -> bool:
        """Whether reading has to wait."""


class Stopped(Exception):
    """Raised within the parser's callbacks: the answer is decided, and nothing more is read."""


class _Body:
    """The body being read.

    Attributes:
        missing: bytes of an announced body that have not come yet.
        received: bytes that came.
        dropping: it is read and not kept.
    """

    __slots__ = ("_data", "dropping", "missing", "received")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""
        self.missing = self.received = 0
        self.dropping = False

    def expect(self, length: int) -> None:
        """It was announced."""
        self.missing = length

    def drop(self) -> None:
        """It is not wanted."""
        self.dropping = True

    def take(self, piece: bytes) -> None:
        """A piece, and nearly always the whole."""
        self.missing -= len(piece)
        self.received += len(piece)
        if self.dropping:
            return
        if not self._data:
            self._data = piece
        elif isinstance(self._data, bytes):
            self._data = bytearray(self._data + piece)
        else:
            self._data += piece

    def end(self) -> bytes:
        """All of it; the next one begins."""
        data, self._data = bytes(self._data), b""
        self.received, self.dropping = 0, False
        return data


class Reader:
    """Reads requests; the methods called `on_…` are what httptools calls.

    Args:
        sink: told of each request.
        limits: what a request may take.
        now: a monotonic clock.
        known: the heads remembered by the server.
        last: keeps heads that do not come twice.

    Attributes:
        phase: what is read next.
        since: when that began.
    """

    __slots__ = (
        "_body", "_head", "_headers", "_learner", "_limits", "_memory", "_now", "_parser", "_replay", "_request",
        "_sink", "_slice", "_spanned", "_url", "phase", "since",
    )  # fmt: skip

    def __init__(self, sink: Sink, limits: Limits, now: Callable[[], float], known: KnownHeads, last: LastHead) -> None:
        self._sink = sink
        self._limits = limits
        self._now = now
        self._learner = Learner(known, last)
        self._slice = min(SLICE_BYTES, limits.head_bytes)
        self._parser = HttpRequestParser(self)
        self._head = HeadReader()
        self._memory: dict[str, Any] = {}
        self.phase: int = IDLE
        self.since = now()
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._request: Request | None = None  # from the end of its head to the end of its body
        self._body = _Body()
        self._spanned = 0  # bytes of the slices without an end of the head, or without progress of the body
        self._replay = b""

    def read(self, data: bytes) -> bytes:
        """Read requests until the data, the connection or the sink's room comes to its end.

        Args:
            data: what follows everything read before.

        Returns:
            What has to be read later, because the sink is crowded.
        """
        learning = False
        if self.phase == IDLE:
            self._spanned = 0
            if self._recall(data):
                return b""
            learning = self._learner.watch()
        begin, end = 0, len(data)
        while begin < end and self.phase != DEAF:
            if begin and self._sink.crowded():
                break
            stop = begin + (self._slice if self.phase != BODY else max(self._slice, self._body.missing))
            begin += self._feed(data if end <= stop and not begin else data[begin:stop])
        if learning:
            self._learner.learn(data, self._slice)
        return data[begin:] if begin < end and self.phase != DEAF else b""

    def stop(self) -> None:
        """Read nothing more."""
        self.phase = DEAF

    def wait_from(self, now: float) -> None:
        """Count the wait for what comes next from now."""
        self.since = now

    def close(self) -> None:
        """Let go of the parser, which refers back to this reader, and of what has been read."""
        self.phase = DEAF
        self._body.end()
        del self._parser

    # heads known before

    def _recall(self, data: bytes) -> bool:
        end = data.find(b"\r\n\r\n") + 4
        known = self._learner.recall(data, end)
        if known is None:
            return False
        method, path, query, headers, length, _ = known
        self.since = self._now()
        request = Request(method, path, query, headers, b"", length, self._memory)
        fate = self._sink.begin(request, PLAIN, expects=False)
        if fate == KEEP:
            request.complete(data[end:])
        if fate == STOP or not self._sink.complete():
            self.phase = DEAF
        return True

    # by the parser

    def _feed(self, piece: bytes) -> int:
        taken = len(piece)
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade as upgrade:
            taken = upgrade.args[0]
            self._ignore_upgrade()
        except HttpParserError as error:
            if self.phase != DEAF:
                self._fail(_blame(error))
        if HEAD <= self.phase <= CHUNKS:
            self._spanned += taken
            if self._spanned > self._limits.head_bytes:
                self._fail(HEAD_TOO_LARGE)
        return taken

    def _ignore_upgrade(self) -> None:
        """Go on in HTTP/1.1. llhttp has taken the body for the other protocol: make it expect that body again."""
        self._parser = HttpRequestParser(self)
        if self._replay:
            phase = self.phase
            self._parser.feed_data(self._replay)
            self._replay = b""
            self.phase = phase

    def _fail(self, response: Response) -> None:
        self.phase = DEAF
        self._sink.fail(response)

    def on_message_begin(self) -> None:
        """A request begins."""
        if self.phase == DEAF:
            raise Stopped
        self.phase = HEAD
        self.since = self._now()
        self._url = b""
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which is dropped with the dictionary it lands in."""
        name = name.lower()
        value = value.rstrip(b" \t")
        headers = self._headers
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        """Tell of the request, before anything of its body is read."""
        if self._replay:
            return
        headers = self._headers
        if self._spanned > 0 and size(self._url, headers) > self._limits.head_bytes:
            self._fail(HEAD_TOO_LARGE)
            raise Stopped
        head = self._head
        request = self._request = head.read(self._parser, self._url, headers, self._memory)
        length = request.content_length
        if length is None:
            self.phase = CHUNKS
            self._headers = {}
        else:
            self.phase = BODY
            self._body.expect(length)
        if head.upgrades and length != 0:
            self._replay = replay(length)
        fate = self._sink.begin(request, head.persistence, expects=head.expects)
        if fate == STOP:
            self.phase = DEAF
            raise Stopped
        if fate == DROP:
            self._body.drop()

    def on_body(self, piece: bytes) -> None:
        """A piece of the body, and nearly always the whole."""
        self._spanned = 0
        self._body.take(piece)
        if self._body.received > self._limits.body_bytes:
            self._fail(BODY_TOO_LARGE)
            raise Stopped

    def on_message_complete(self) -> None:
        """The request is complete."""
        request = self._request
        if self._replay or request is None:
            return
        self._request = None
        self.phase = IDLE
        self._spanned = -self._slice  # the next head begins somewhere in this slice
        self._learner.see(request, usual=self._head.usual and not self._body.dropping)
        if body := self._body.end():
            request.complete(body)
        if not self._sink.complete():
            self.phase = DEAF


def _blame(error: HttpParserError) -> Response:
    cause = error.__context__
    if isinstance(error, HttpParserCallbackError) and not isinstance(cause, (BadHead, Stopped)):
        log("error", "http_reader_failed", error=type(cause).__name__)
        return INTERNAL_ERROR
    return BAD_REQUEST
