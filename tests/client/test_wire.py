"""The wire: requests as they are sent, answers however they come."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httptools
import pytest

from payflux.client.wire import (
    ANSWER_BYTES,
    SHAPES,
    Answer,
    AnswerReader,
    Form,
    Problem,
    head_of,
    problem_of,
    request_of,
    takes_events,
)

EVENTS = [b'{"a":1}', b'{"b":2}']


class Parsed:
    """A request as llhttp reads it."""

    def __init__(self, request: bytes) -> None:
        self.url, self.body = b"", b""
        self.headers: dict[bytes, bytes] = {}
        self.whole = False
        httptools.HttpRequestParser(self).feed_data(request)

    def on_url(self, url: bytes) -> None:
        """The target."""
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """The body."""
        self.body += body

    def on_message_complete(self) -> None:
        """The end."""
        self.whole = True


@pytest.mark.parametrize(
    ("form", "events", "body"),
    [
        ("single", EVENTS[:1], b'{"a":1}'),
        ("array", EVENTS, b'[{"a":1},{"b":2}]'),
        ("ndjson", EVENTS, b'{"a":1}\n{"b":2}\n'),
        ("ndjson", [], b"\n"),
    ],
)
def test_a_request_is_what_its_form_says(form: Form, events: list[bytes], body: bytes) -> None:
    """Path, key, type and length in its head, then the events."""
    shape = SHAPES[form]
    sent = Parsed(request_of(head_of("node:8080", "secret", form, prefix="/p", query="?q=1"), shape.body(events)))
    assert sent.whole
    assert sent.url == b"/p" + shape.path.encode() + b"?q=1"
    assert sent.body == body
    assert sent.headers == {
        b"host": b"node:8080",
        b"authorization": b"Bearer secret",
        b"content-type": shape.content_type.encode(),
        b"content-length": b"%d" % len(body),
    }


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("head", "body", "keep"),
    [
        (b"Content-Length: 2\r\n\r\n", b"ok", True),
        (b"Connection: close\r\nContent-Length: 2\r\n\r\n", b"ok", False),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_may_come_in_pieces(size: int, head: bytes, body: bytes, keep: bool) -> None:
    """However it is cut, and whichever way it says where it ends."""
    reader, data = AnswerReader(), b"HTTP/1.1 202 Accepted\r\n" + head + body
    for at in range(0, len(data), size):
        assert reader.answer is None
        reader.feed(data[at : at + size])
    assert (reader.answer, reader.keep) == (Answer(202, 0.0, b"ok"), keep)


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 OK\r\n\r\n"])
def test_what_is_no_http_ends_the_connection(data: bytes) -> None:
    """With words that say so."""
    with pytest.raises(ConnectionError, match="not an HTTP answer"):
        AnswerReader().feed(data)


def test_an_answer_without_end_is_no_answer() -> None:
    """It must not fill the memory of the application that sends events."""
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(ConnectionError, match="too large"):
        reader.feed(b"x" * ANSWER_BYTES)


@pytest.mark.parametrize(("said", "seconds"), [(b"7", 7), (b"-1", 0), (b"soon", 0), (b"9" * 10, 0), (b"", 0)])
def test_how_long_to_wait(said: bytes, seconds: float) -> None:
    """A number of seconds; what is neither that nor a date says nothing."""
    assert _told(said) == seconds


def test_a_date_to_wait_for() -> None:
    """Seconds from now, and none when it has passed."""
    now = datetime.now(UTC)
    assert 80 < _told(format_datetime(now + timedelta(seconds=100), usegmt=True).encode()) <= 100
    assert _told(format_datetime(now - timedelta(days=1), usegmt=True).encode()) == 0


def _told(said: bytes) -> float:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 503 No\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % said)
    assert reader.answer is not None
    return reader.answer.retry_after


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code":5}', b"\xff", b'{"a":' * 100_000])
def test_a_page_that_is_no_refusal_of_a_node_has_no_code(body: bytes) -> None:
    """A proxy's, say."""
    assert problem_of(body) == Problem()
    assert not takes_events(Answer(400, 0.0, body))


def test_only_a_node_has_that_answer_to_a_batch_without_events() -> None:
    """Status and code, as no other has both."""
    body = b'{"code":"invalid_batch","detail":"none"}'
    assert takes_events(Answer(400, 0.0, body))
    assert not takes_events(Answer(401, 0.0, body))
