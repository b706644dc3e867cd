"""The framing in memory: the same however a stream is cut, and heads that were known before."""

import asyncio
import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_attacks import ATTACKS, CHUNKED, POST, UPGRADE, App
from payflux.http.connection import Connection
from payflux.http.known_heads import FUTILE_HEADS, MOST_HEADS
from payflux.http.pipeline import Shared
from payflux.http.reader import DEAF
from payflux.http.server import Limits

TAILS = (b"\r\n", b"Connection: keep-alive\r\n\r\n", b"Connection: close\r\n\r\n")


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        """Nothing is written after this."""
        self.write = None  # type: ignore[method-assign,assignment]

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Close."""
        self.closed = True


def wired(app: App, limits: Limits | None = None) -> tuple[Connection, Wire, Shared]:
    """A connection without a socket."""
    shared = Shared(app, limits or Limits(), lambda: 0.0, TAILS)
    connection, wire = Connection(shared, lambda _: None, lambda _: None), Wire()
    connection.connection_made(wire)
    return connection, wire, shared


def outcome(pieces: list[bytes]) -> tuple[bytes, list[tuple[object, ...]]]:
    """What is answered to a stream cut into these pieces, and what the handler sees of it."""
    app = App()
    connection, wire, _ = wired(app)
    for piece in pieces:
        connection.data_received(piece)
    seen: list[tuple[object, ...]] = [
        (r.method, r.path, r.query, r.headers, r.body, r.content_length) for r in app.seen
    ]
    return b"".join(wire.written), seen


EVENT = b"POST /event?k=v HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\nContent-Length: 9\r\n\r\n%s"
REQUESTS = [
    EVENT % b'{"a":"1"}',
    EVENT % b"\r\n\r\nGET /",
    b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    CHUNKED + b"5\r\nabcde\r\n3;x=y\r\nfgh\r\n0\r\nTrailer: t\r\n\r\n",
    EVENT % b'{"a":"2"}',
    EVENT.replace(b"/event", b"/refused") % b'{"a":"3"}',
    b"\r\n" + EVENT % b"012345678",
    b"HEAD /health HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX: 1\r\nx:2 \r\n\r\n",
    POST + UPGRADE + b"Content-Length: 5\r\n\r\nabcde",
    EVENT % b'{"a":"4"}',
    b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    EVENT.replace(b"Content", b"Connection: close\r\nContent") % b"the last.",
]
STREAM = b"".join(REQUESTS)
EXPECTED = outcome([bytes([byte]) for byte in STREAM])


def test_the_stream_of_the_split_tests_is_not_trivial() -> None:
    """Cut into single bytes it gives one answer for each request, the refusal among them."""
    answers, seen = EXPECTED
    assert answers.count(b"HTTP/1.1 200") == len(REQUESTS) - 1
    assert answers.count(b"HTTP/1.1 401") == 1
    assert [body for _, path, _, _, body, _ in seen if path == "/event"] == [
        b'{"a":"1"}', b"\r\n\r\nGET /", b'{"a":"2"}', b"012345678", b'{"a":"4"}', b"the last.",
    ]  # fmt: skip


def test_whole_requests_give_the_same_as_single_bytes() -> None:
    """Heads recognised from before mean what the parser made of them."""
    assert outcome(REQUESTS) == EXPECTED
    assert outcome([STREAM]) == EXPECTED


def test_every_cut_into_two_gives_the_same() -> None:
    """No position of a cut changes anything."""
    for cut in range(1, len(STREAM)):
        assert outcome([STREAM[:cut], STREAM[cut:]]) == EXPECTED, cut


def test_cuts_into_three_give_the_same() -> None:
    """Nor do two cuts, wherever they are; several thousand pairs."""
    positions = range(1, len(STREAM), 8)
    for first, second in itertools.combinations(positions, 2):
        cut = [STREAM[:first], STREAM[first:second], STREAM[second:]]
        assert outcome(cut) == EXPECTED, (first, second)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=40, unique=True))
def test_any_cut_gives_the_same(cuts: list[int]) -> None:
    """No number of cuts changes anything."""
    edges = [0, *sorted(cuts), len(STREAM)]
    assert outcome([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EXPECTED


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(ATTACKS.values())), st.lists(st.integers(1, 60), max_size=8, unique=True))
def test_no_cut_lets_an_attack_through(raw: bytes, cuts: list[int]) -> None:
    """An attack is refused however it is cut, and the handler never sees what it hides."""
    stream = EVENT % b"123456789" + raw + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    answers, seen = outcome([stream[a:b] for a, b in itertools.pairwise(edges)])
    assert [path for _, path, *_ in seen] == ["/event"]
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"400"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([*REQUESTS, *ATTACKS.values()]), max_size=6))
def test_no_bytes_break_the_connection(pieces: list[bytes]) -> None:
    """Whatever comes, nothing raises, and the answers are HTTP."""
    answers, _ = outcome(pieces)
    assert answers == b"" or answers.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answers


def test_pipelined_answers_leave_in_one_write() -> None:
    """All answers that are ready after a read go to the transport together."""
    connection, wire, _ = wired(App())
    connection.data_received(REQUESTS[2] * 50)
    assert len(wire.written) == 1
    assert wire.written[0].count(b"HTTP/1.1 200") == 50


# heads known before


def test_only_admitted_plain_requests_are_remembered() -> None:
    """Neither refused nor unusual heads, nor ones that came with anything else, are recognised later."""
    app = App()
    connection, _, shared = wired(app)
    for request in (*REQUESTS[:-1], REQUESTS[2] + REQUESTS[2], REQUESTS[0][:-1], REQUESTS[0][-1:]):
        connection.data_received(request)
    heads = {request[: request.index(b"\r\n\r\n") + 4] for request in (REQUESTS[0], REQUESTS[2], REQUESTS[7])}
    assert {head.lstrip(b"\r\n") for head in shared.known._heads} == heads | {EVENT[:-2]}


def test_what_is_remembered_is_bounded() -> None:
    """Heads that never repeat fill no memory, and a connection that sends only such stops teaching them."""
    app = App()
    shared = wired(app)[2]
    for number in range(MOST_HEADS // FUTILE_HEADS + 2):
        connection = Connection(shared, lambda _: None, lambda _: None)
        connection.connection_made(Wire())
        for request in range(FUTILE_HEADS + 10):
            connection.data_received(b"GET /%d/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (number, request))
        assert connection._reader.phase != DEAF
    assert len(shared.known) == 2 * FUTILE_HEADS
    assert len(app.seen) == (MOST_HEADS // FUTILE_HEADS + 2) * (FUTILE_HEADS + 10)


def test_a_remembered_head_is_judged_every_time() -> None:
    """What was let in before is refused once the handler refuses it, and the connection goes on."""
    app = App()
    connection, wire, shared = wired(app)
    connection.data_received(REQUESTS[0])
    assert len(shared.known) == 1
    app.refused = "/event"
    connection.data_received(REQUESTS[0])
    app.refused = ""
    connection.data_received(REQUESTS[0])
    assert re.findall(rb"HTTP/1.1 (\d+)", b"".join(wire.written)) == [b"200", b"401", b"200"]
    assert [request.body for request in app.seen] == [b'{"a":"1"}'] * 2


def test_a_defect_within_the_parser_is_no_fault_of_the_client(capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected failure while reading is answered 500 and logged, not blamed on the request."""
    connection, wire, _ = wired(App())
    connection._reader._now = iter(()).__next__
    connection.data_received(REQUESTS[2])
    assert wire.written[0].startswith(b"HTTP/1.1 500 ")
    assert json.loads(capsys.readouterr().err)["error"] == "StopIteration"
