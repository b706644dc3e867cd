"""What is a request and what is not: attacks on the framing, spellings that must work, and any way to cut a stream."""

import asyncio
import contextlib
import itertools
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.http import Request, Respond, Response
from payflux.http_connection import Connection, Shared
from payflux.http_reader import DEAF, FUTILE_HEADS, KNOWN_HEADS
from payflux.http_server import HttpServer, Limits

TAILS = (b"\r\n", b"Connection: keep-alive\r\n\r\n", b"Connection: close\r\n\r\n")


@dataclass
class App:
    """A handler that notes what it sees and answers with it."""

    seen: list[Request] = field(default_factory=list)
    refused: str = "/refused"

    def admit(self, request: Request) -> Response | None:
        """Refuse one path."""
        return Response(401) if request.path == self.refused else None

    def handle(self, request: Request, respond: Respond) -> None:
        """Echo."""
        self.seen.append(request)
        respond(Response(200, f"{request.method} {request.path} {request.query} ".encode() + request.body))


# over sockets


@dataclass
class Node:
    """A server on uvloop in a thread of its own."""

    app: App
    port: int

    def exchange(self, *pieces: bytes) -> bytes:
        """Send on a new connection, shut the sending side down, and take all until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in pieces:
                    sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def canary(self) -> bool:
        """Whether a new connection gets exactly its own answer."""
        return self.exchange(b"GET /canary HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"GET /canary  ")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One server for the whole table, so that an attack may hurt the next request if it can."""
    app = App()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    started, stop = threading.Event(), asyncio.Event()
    loop = uvloop.new_event_loop()

    async def serve() -> None:
        server = HttpServer(app)
        await server.start(sock)
        started.set()
        await stop.wait()
        await server.stop(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    yield Node(app, sock.getsockname()[1])
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

ATTACKS = {
    # two lengths, or one that cannot be read
    "length and coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "coding and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + END,
    "two equal lengths": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nabcde",
    "signed length": POST + b"Content-Length: +5\r\n\r\nabcde",
    "negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nabcde",
    "length with underscore": POST + b"Content-Length: 1_0\r\n\r\nabcdeabcde",
    "empty length": POST + b"Content-Length:\r\n\r\n",
    "length in two words": POST + b"Content-Length: 5 5\r\n\r\nabcde",
    "vertical tab before length": POST + b"Content-Length: \x0b5\r\n\r\nabcde",
    "length over 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "padded length": POST + b"Content-Length: " + b"0" * 5000 + b"5\r\n\r\nabcde",
    "blank before the colon": POST + b"Content-Length : 5\r\n\r\nabcde",
    # codings
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + END,
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END,
    "coding after chunked": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + END,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + END,
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + END,
    "two codings, the other way": POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + END,
    "coding with parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + END,
    "coding with comma": POST + b"Transfer-Encoding: chunked,\r\n\r\n" + END,
    "coding after comma": POST + b"Transfer-Encoding: ,chunked\r\n\r\n" + END,
    "empty coding": POST + b"Transfer-Encoding:\r\n\r\n" + END,
    "vertical tab before coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END,
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + END,
    "coding in HTTP/1.0": b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    # chunks
    "hexadecimal prefix": CHUNKED + b"0x5\r\nabcde\r\n" + END,
    "signed chunk": CHUNKED + b"+5\r\nabcde\r\n" + END,
    "negative chunk": CHUNKED + b"-5\r\nabcde\r\n" + END,
    "blank after chunk size": CHUNKED + b"5 \r\nabcde\r\n" + END,
    "blank before chunk size": CHUNKED + b" 5\r\nabcde\r\n" + END,
    "chunk size with underscore": CHUNKED + b"1_0\r\nabcde\r\n" + END,
    "no chunk size": CHUNKED + b"\r\nabcde\r\n" + END,
    "extension without size": CHUNKED + b";a\r\nabcde\r\n" + END,
    "chunk size over 64 bits": CHUNKED + b"10000000000000005\r\nabcde\r\n" + END,
    "not hexadecimal": CHUNKED + b"g\r\nabcde\r\n" + END,
    "LF after chunk size": CHUNKED + b"5\nabcde\r\n" + END,
    "CR after chunk size": CHUNKED + b"5\rabcde\r\n" + END,
    "LF after chunk": CHUNKED + b"5\r\nabcde\n" + END,
    "anything after chunk": CHUNKED + b"5\r\nabcdeXX" + END,
    "CR in extension": CHUNKED + b"5;a\rb\r\nabcde\r\n" + END,
    "LF in extension": CHUNKED + b"5;a\nabcde\r\n" + END,
    "NUL in extension": CHUNKED + b"5;a\x00\r\nabcde\r\n" + END,
    "LF at the end": CHUNKED + b"0\n\n",
    "length in trailer": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "coding in trailer": CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "malformed trailer": CHUNKED + b"0\r\nX y\r\n\r\n",
    # lines and characters
    "bare LF": b"GET /x HTTP/1.1\nHost: a\n\n",
    "bare LF in headers": POST + b"X: a\nY: b\r\n\r\n",
    "bare LF at the end of the head": POST + b"\n",
    "LF CR": POST + b"X: a\n\r\n",
    "bare CR": POST + b"X: a\rb\r\n\r\n",
    "two CR": POST + b"X: a\r\r\n\r\n",
    "folded header": POST + b"X: a\r\n b\r\n\r\n",
    "folded by tab": POST + b"X: a\r\n\tb\r\n\r\n",
    "blank first header": b"GET /x HTTP/1.1\r\n Host: a\r\n\r\n",
    "NUL in value": POST + b"X: a\x00b\r\n\r\n",
    "control in value": POST + b"X: a\x01b\r\n\r\n",
    "DEL in value": POST + b"X: a\x7fb\r\n\r\n",
    "NUL in name": POST + b"X\x00: a\r\n\r\n",
    "blank in name": POST + b"X Y: a\r\n\r\n",
    "no colon": POST + b"XY\r\n\r\n",
    "no name": POST + b": x\r\n\r\n",
    "non-ASCII name": POST + b"\xc3\xa9: x\r\n\r\n",
    # start line
    "HTTP/0.9": b"GET /x HTTP/0.9\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET /x HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/1.10": b"GET /x HTTP/1.10\r\nHost: a\r\n\r\n",
    "lower-case http": b"GET /x http/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"FOO /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower-case method": b"get /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "long method": b"A" * 8192 + b" /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "tab after method": b"GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "blank before method": b" GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "blank in target": b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n",
    "control in target": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL in target": b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "non-ASCII target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "target without slash": b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
    "star and more": b"OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n",
    "foreign scheme": b"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT to a path": b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT to a URL": b"CONNECT http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    # host
    "no host": b"GET /x HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "one host twice": b"GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "two hosts in HTTP/1.0": b"GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "list of hosts": b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "path in host": b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "user in host": b"GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n",
}


@pytest.mark.parametrize("raw", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_on_the_framing_is_answered_400_and_ends(node: Node, raw: bytes) -> None:
    """One 400, then the end; what follows is no request, and the next connection is unharmed."""
    known = b"GET /before HTTP/1.1\r\nHost: a\r\n\r\n"
    for pieces in ((raw,), (known + raw,), (known, raw)):
        node.app.seen.clear()
        answer = node.exchange(*pieces, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [request.path for request in node.app.seen] == ["/before"] * (pieces != (raw,))
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200"] * len(node.app.seen) + [b"400"]
        head, _, body = answer.rpartition(b"\r\n\r\n")
        assert head.endswith(b"Connection: close")
        assert json.loads(body)["code"] == "bad_request"
    assert node.canary()


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
SPELLINGS = {
    "blank lines first": (b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /x  "),
    "absolute form": (b"GET http://h:1/x?q=1 HTTP/1.1\r\nHost: h:1\r\n\r\n", b"GET /x q=1 "),
    "absolute form without path": (b"GET HTTPS://h?q HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / q "),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"OPTIONS *  "),
    "other methods": (b"PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n", b"PURGE /x  "),
    "empty host": (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", b"GET /x  "),
    "IPv6 host": (b"GET /x HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", b"GET /x  "),
    "odd paths": (b"GET //v1/%2e%2e;a?b?c HTTP/1.1\r\nHost: a\r\n\r\n", b"GET //v1/%2e%2e;a b?c "),
    "blanks around length": (POST + b"Content-Length: \t5 \r\n\r\nabcde", b"POST /x  abcde"),
    "leading zeros": (POST + b"Content-Length: 0005\r\n\r\nabcde", b"POST /x  abcde"),
    "coding in capitals": (POST + b"Transfer-Encoding: CHUNKED \r\n\r\n5\r\nabcde\r\n" + END, b"POST /x  abcde"),
    "chunk extensions": (CHUNKED + b'3;a=b\r\nabc\r\n02;c="d;e"\r\nde\r\n' + END, b"POST /x  abcde"),
    "trailers": (CHUNKED + b"5\r\nabcde\r\n0\r\nX: y\r\n\r\n", b"POST /x  abcde"),
    "upgrade": (b"GET /x HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n", b"GET /x  "),
    "upgrade with body": (POST + UPGRADE + b"Content-Length: 5\r\n\r\nabcde", b"POST /x  abcde"),
    "upgrade with chunks": (
        POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n" + END,
        b"POST /x  abcde",
    ),
    "websocket": (b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", b"GET /x  "),
}


@pytest.mark.parametrize(("raw", "answer"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_an_unusual_spelling_is_understood(node: Node, raw: bytes, answer: bytes) -> None:
    """It is answered, again when repeated, and so is the request that follows it on the connection."""
    follower = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
    for pieces in ((raw, raw, follower), (raw + raw + follower,), [bytes([b]) for b in raw + raw + follower]):
        got = node.exchange(*pieces)
        bodies = [part.split(b"HTTP/1.1 ")[0] for part in got.split(b"\r\n\r\n")[1:]]
        assert bodies == [answer, answer, b"GET /next  "]


# in memory: the same protocol, cut at will


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
    shared = Shared(app, limits or Limits(), lambda: 0.0, lambda _: None, lambda _: None, TAILS)
    connection, wire = Connection(shared), Wire()
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


@settings(max_examples=500, deadline=None)
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=40, unique=True))
def test_any_cut_gives_the_same(cuts: list[int]) -> None:
    """No number of cuts changes anything."""
    edges = [0, *sorted(cuts), len(STREAM)]
    assert outcome([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EXPECTED


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(ATTACKS.values())), st.lists(st.integers(1, 60), max_size=8, unique=True))
def test_no_cut_lets_an_attack_through(raw: bytes, cuts: list[int]) -> None:
    """An attack is refused however it is cut, and the handler never sees what it hides."""
    stream = EVENT % b"123456789" + raw + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    answers, seen = outcome([stream[a:b] for a, b in itertools.pairwise(edges)])
    assert [path for _, path, *_ in seen] == ["/event"]
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"400"]


@settings(max_examples=300, deadline=None)
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
    assert {head.lstrip(b"\r\n") for head in shared.known} == heads | {EVENT[:-2]}


def test_what_is_remembered_is_bounded() -> None:
    """Heads that never repeat fill no memory, and a connection that sends only such stops teaching them."""
    app = App()
    shared = wired(app)[2]
    for number in range(KNOWN_HEADS // FUTILE_HEADS + 2):
        connection = Connection(shared)
        connection.connection_made(Wire())
        for request in range(FUTILE_HEADS + 10):
            connection.data_received(b"GET /%d/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (number, request))
        assert connection._reader.phase != DEAF
    assert len(shared.known) == 2 * FUTILE_HEADS
    assert len(app.seen) == (KNOWN_HEADS // FUTILE_HEADS + 2) * (FUTILE_HEADS + 10)


def test_a_remembered_head_is_judged_every_time() -> None:
    """What was let in before is refused once the handler refuses it, and the connection goes on."""
    app = App()
    connection, wire, shared = wired(app)
    connection.data_received(REQUESTS[0])
    assert shared.known
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
