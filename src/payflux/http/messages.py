"""What the HTTP server and the handlers behind it say to each other: Request, Response, problem+json."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

JSON = b"application/json"
PROBLEM = b"application/problem+json"
TEXT = b"text/plain; charset=utf-8"
NOT_MODIFIED = 304


class Request:
    """One request: complete when `Handler.handle` gets it, without its body when `Handler.admit` does.

    Attributes:
        method: as sent, upper-case for every method HTTP knows.
        path: the path alone, not decoded.
        query: what followed `?`, not decoded; empty without one.
        headers: by lower-case name; a repeated header's values are joined by a comma, as RFC 9110 section 5.3 says.
        content_length: what the client announced; None for a chunked body.
        body: the decoded body.
        connection: a place where handlers may remember what they learnt from this connection's earlier requests.
        body_handler: set by `Handler.admit` when further requests with this very head need nothing but their body read.
        signed_handler: set by `Handler.admit` when no head comes twice, and further requests of this connection whose
            heads differ in values alone need nothing but these and their body read; see `payflux.http.last_head`.
    """

    __slots__ = (
        "body", "body_handler", "connection", "content_length", "headers", "method", "path", "query", "signed_handler",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - made by position: it is on the path of every event
        self,
        method: str,
        path: str,
        query: str = "",
        headers: dict[bytes, bytes] | None = None,
        body: bytes = b"",
        content_length: int | None = 0,
        connection: dict[Any, Any] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers if headers is not None else {}
        self.body = body
        self.content_length = content_length
        self.connection = connection if connection is not None else {}
        self.body_handler: BodyHandler | None = None
        self.signed_handler: SignedHandler | None = None

    def complete(self, body: bytes) -> None:
        """Its body has been read."""
        self.body = body


class Response:
    """One answer; immutable by convention, so that constant ones are built once and sent many times.

    `head` is everything of the HTTP message's head that does not change from one sending to the next: status line,
    content type and length, further headers, each line ended; the server adds `Date` and `Connection`.
    """

    __slots__ = ("_tail", "_whole", "body", "head", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.status = status
        self.body = body
        extra = b"".join(b"%s: %s\r\n" % header for header in headers)
        first = b"HTTP/1.1 %d %s\r\n" % (status, REASONS[status])
        if status != NOT_MODIFIED:  # it has no body, and may not tell another's length (RFC 9110 section 8.6)
            first += b"Content-Type: %s\r\nContent-Length: %d\r\n" % (content_type, len(body))
        self.head = first + extra
        self._tail = self._whole = b""

    def whole(self, tail: bytes) -> bytes:
        """The message as it is sent: head, `tail` (which ends the head), body; kept for the next time."""
        if tail is not self._tail:
            self._tail, self._whole = tail, b"".join((self.head, tail, self.body))
        return self._whole


Respond = Callable[[Response], None]
"""How a handler answers: to be called exactly once, now or later."""

BodyHandler = Callable[[bytes, Respond], None]
"""Answers a request whose head is, byte for byte, one that was admitted before: gets the body alone."""

SignedHandler = Callable[[dict[bytes, bytes], bytes, Respond], None]
"""Answers a request whose head differs from one admitted before in values alone: gets its headers and its body."""


Refused = Callable[[Request, Response, str], None]
"""Is told what `Handler.admit` or the server itself answered to a request that was never handled, and who sent it."""


class Handler(Protocol):
    """The application behind the server. It knows nothing of sockets."""

    def admit(self, request: Request) -> Response | None:
        """Judge a request by its head, before its body is read; a response refuses it, None lets it in."""

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer one complete request by calling `respond` exactly once; must not raise."""


REASONS = {
    200: b"OK",
    202: b"Accepted",
    304: b"Not Modified",
    400: b"Bad Request",
    401: b"Unauthorized",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
}
"""Every status PayFlux answers, with its reason phrase."""


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Sequence[tuple[bytes, bytes]] = (),
    **members: object,
) -> Response:
    """An error as RFC 9457 problem details.

    Args:
        status: the HTTP status.
        code: the stable, machine-readable code.
        detail: what went wrong and what to do, in words; never a value the client sent.
        headers: further response headers.
        members: extension members, `errors` for one.

    Returns:
        A response of type `application/problem+json`.
    """
    body = {"type": "about:blank", "title": REASONS[status].decode(), "status": status, "code": code, "detail": detail}
    return Response(status, msgspec.json.encode(body | members), PROBLEM, headers)
