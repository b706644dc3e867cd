"""Heads of which none comes twice: where values alone differ the parser is spared, and nothing else changes."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.http.connection import Connection
from payflux.http.last_head import FUTILE_HEADS, MOST_BYTES
from payflux.http.limits import Limits
from payflux.http.messages import Request, Respond, Response
from payflux.http.pipeline import Shared

LINES = (
    b"POST /signed HTTP/1.1",
    b"Host: a",
    b"Content-Type: text/plain",
    b"X-Twice: 1",
    b"Signature:  t=1",
    b"x-twice: 2",
)
TAILS = (b"\r\n", b"Connection: keep-alive\r\n\r\n", b"Connection: close\r\n\r\n")


def sent(lines: Sequence[bytes] = LINES, body: bytes = b"body", length: bytes | None = None) -> bytes:
    """A request of these lines."""
    announced = b"Content-Length: %b" % (b"%d" % len(body) if length is None else length)
    return b"\r\n".join((*lines, announced, b"", body))


def with_line(at: int, line: bytes) -> list[bytes]:
    """The usual lines but one."""
    return [*LINES[:at], line, *LINES[at + 1 :]]


class Signing:
    """A handler that echoes; `alone` counts what came to it past the parser."""

    def __init__(self, *, signed: bool = True) -> None:
        self.seen: list[tuple[dict[bytes, bytes], bytes]] = []
        self.alone, self._signed = 0, signed

    def admit(self, request: Request) -> Response | None:
        """Let it in."""
        if self._signed and request.path == "/signed":
            request.signed_handler = self._take
        return None

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer what was parsed."""
        self.seen.append((request.headers, request.body))
        respond(Response(200, request.body))

    def _take(self, headers: dict[bytes, bytes], body: bytes, respond: Respond) -> None:
        self.alone += 1
        self.seen.append((headers, body))
        if body == b"break":
            raise ValueError
        respond(Response(200, body))


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += data

    def write_eof(self) -> None:
        """Nothing follows."""

    def is_closing(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Stay open."""


def outcome(pieces: Sequence[bytes], *, signed: bool = True, limits: Limits | None = None) -> tuple[Signing, bytes]:
    """The handler of a connection that received these pieces, and what it answered."""
    app, wire = Signing(signed=signed), Wire()
    connection = Connection(Shared(app, limits or Limits(), lambda: 0.0, TAILS), lambda _: None, lambda _: None)
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
    return app, wire.written


def agreed(pieces: Sequence[bytes]) -> Signing:
    """The handler of a connection that received these pieces; it saw, and answered, what one does that parses all."""
    app, written = outcome(pieces)
    plain, as_parsed = outcome(pieces, signed=False)
    assert (app.seen, written) == (plain.seen, as_parsed)
    return app


def test_where_values_alone_differ_no_parser_is_needed() -> None:
    """Each request has its own headers and its own body, of whatever length."""
    others = [sent(with_line(4, b"Signature:  t=%d, v1=x y" % at), b"x" * at) for at in range(200)]
    app = agreed([sent(), *others, sent()])
    assert app.alone == 201
    assert app.seen[7][0][b"signature"] == b"t=6, v1=x y"


@pytest.mark.parametrize(
    "other",
    [
        sent(with_line(0, b"POST /other HTTP/1.1")),
        sent(with_line(0, b"POST /signed HTTP/1.0")),
        sent(with_line(1, b"Host: b")),
        sent(with_line(2, b"Content-Type: text/html")),
        sent(with_line(3, b"X-Twice: 3")),
        sent(with_line(4, b"signature:  t=1")),
        sent(with_line(4, b"Signature: t=1")),
        sent(with_line(4, b"Signature:  ")),
        sent(with_line(4, b"Signature:  t=1 ")),
        sent(with_line(4, b"Signature:  t=\xff")),
        sent(with_line(4, b"Signature:  t\t1")),
        sent(with_line(4, b"Other:  t=1")),
        sent([*LINES, b"Connection: close"]),
        sent(LINES[:-1]),
        sent([LINES[0], *LINES[:0:-1]]),
        sent(with_line(4, b"Signature:  " + b"x" * MOST_BYTES)),
        sent(length=b"04"),
        sent()[:-1],
        sent() + sent(),
    ],
)
def test_more_than_a_value_is_left_to_the_parser(other: bytes) -> None:
    """Other lines, another order, what a head is judged by, what is no plain text, less or more than one request."""
    assert agreed([sent(), other]).alone == 0


LINE = st.sampled_from([*LINES, b"Connection: close", b"Transfer-Encoding: chunked", b"Expect: 100-continue"])
VALUE = st.text(st.characters(max_codepoint=255), max_size=12).map(lambda text: text.encode("latin-1"))
CHANGED = st.lists(st.tuples(st.integers(1, 6), VALUE), max_size=3)


@given(CHANGED, st.none() | st.tuples(st.integers(0, 7), LINE), VALUE, st.none() | VALUE | st.just(b"0x4"))
def test_whatever_follows_is_understood_as_the_parser_does(
    changed: list[tuple[int, bytes]], more: tuple[int, bytes] | None, body: bytes, length: bytes | None
) -> None:
    """Values with control characters and line ends in them, lines added, wrong lengths: no head is read otherwise."""
    lines = [*LINES]
    for at, value in changed:
        if at < len(lines):
            lines[at] = lines[at].partition(b":")[0] + b": " + value
    if more:
        lines.insert(*more)
    agreed([sent(with_line(4, b"Signature: t=1")), sent(lines, body, length), sent()])


def test_a_connection_whose_heads_differ_in_more_is_asked_no_more() -> None:
    """After so many on end; one that is alike begins the count again."""
    others = [sent([*LINES, b"X-%d: 1" % at]) for at in range(FUTILE_HEADS)]
    assert outcome([sent(), *others, others[-1], *others[1:], sent(), sent()])[0].alone == 2
    assert outcome([sent(), *others, sent([*LINES, b"Y: 1"]), sent(), sent()])[0].alone == 0


def test_a_head_of_many_lines_is_not_kept() -> None:
    """Whoever opens thousands of connections must not make each of them keep much."""
    for more, alone in ((20, 1), (40, 0)):
        many = sent([*LINES, *(b"X-%d: 1" % at for at in range(more))])
        assert outcome([many, many])[0].alone == alone


def test_a_body_over_the_limit_is_refused_as_ever() -> None:
    """Although its head is alike."""
    app, written = outcome([sent(), sent(body=b"12345")], limits=Limits(body_bytes=4))
    assert app.alone == 0
    assert b"413 Content Too Large" in written


def test_a_defect_costs_one_request() -> None:
    """It is answered, and the next one is handled."""
    app, written = outcome([sent(), sent(body=b"break"), sent()])
    assert app.alone == 2
    assert written.count(b"HTTP/1.1 200") == 2
    assert written.count(b"HTTP/1.1 500") == 1
