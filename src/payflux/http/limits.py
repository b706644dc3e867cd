"""What a connection to the HTTP server may take, and what is answered when it takes more."""

from dataclasses import dataclass

from payflux.http.messages import problem
from payflux.settings import Setting, integer

HTTP_KEEPALIVE_SEC = Setting(
    "PAYFLUX_HTTP_KEEPALIVE_SEC",
    integer(1, 86_400),
    "75",
    "How long an idle connection is kept; longer than the load balancer before the node keeps it.",
)

HTTP_UNFINISHED_PER_PEER = Setting(
    "PAYFLUX_HTTP_UNFINISHED_PER_PEER",
    integer(1, 100_000),
    "1000",
    "How many connections of one address may be without a finished request head at a time, in each ingest process.",
)

BODY_BYTES = 1_048_576

BAD_REQUEST = problem(400, "bad_request", "this is not a valid HTTP/1.1 request")
HEAD_TOO_LARGE = problem(431, "head_too_large", "the request line and headers, or the trailers, are too large")
BODY_TOO_LARGE = problem(413, "body_too_large", "the body is too large")
TIMED_OUT = problem(408, "request_timeout", "the request did not arrive in time")
INTERNAL_ERROR = problem(500, "internal_error", "unexpected failure; sending the same request again is safe")
TOO_MANY_CONNECTIONS = problem(
    503, "too_many_connections", "the server has no room for another connection", headers=[(b"Retry-After", b"1")]
)


@dataclass(frozen=True)
class Limits:
    """What a connection, and all of them together, may take.

    Attributes:
        head_bytes: request line and headers.
        body_bytes: decoded body.
        head_seconds: from a head's first byte to its last; also how long a new connection may stay silent.
        body_seconds: from a request's first byte to its last.
        idle_seconds: between two requests.
        write_seconds: how long a client may leave its answers unread.
        connections: open at the same time.
        unfinished_per_peer: connections of one address that have not finished a head.
        pipeline: requests of one connection that are with the handler; reading pauses there.
    """

    head_bytes: int = 16_384
    body_bytes: int = BODY_BYTES
    head_seconds: float = 10
    body_seconds: float = 30
    idle_seconds: float = 75
    write_seconds: float = 30
    connections: int = 4096
    unfinished_per_peer: int = 1000
    pipeline: int = 64
