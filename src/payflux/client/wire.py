"""How events go over the wire: requests as nodes read them, answers as nodes write them.

The one place that all who send events share: the producers' client, the sender behind simulations and checks, and the
loads of benchmarks. What an answer means for whoever sent is theirs to say.
"""

import email.utils
import time
from collections.abc import Iterable
from typing import Literal, NamedTuple

import httptools
import msgspec

EVENT_PATH = "/v1/events/payment_exhaust"
BATCH_PATH = f"{EVENT_PATH}/batch"

UNCONFIRMED_CODES = ("unavailable", "overloaded", "redis_")
"""How the code of a batch item begins that was not refused for what it is: the buffer did not confirm it."""

ANSWER_BYTES = 4_194_304

Form = Literal["single", "array", "ndjson"]
"""How events are sent: one as such, or a batch as a JSON array or as NDJSON."""


class Shape(NamedTuple):
    """What a form looks like: where it goes, what it is called, and what stands around the events."""

    path: str
    content_type: str
    before: bytes
    between: bytes
    after: bytes

    def body(self, events: Iterable[bytes]) -> bytes:
        """The body that holds these events, each as JSON; exactly one of the form `single`."""
        return self.before + self.between.join(events) + self.after


SHAPES: dict[Form, Shape] = {
    "single": Shape(EVENT_PATH, "application/json", b"", b"", b""),
    "array": Shape(BATCH_PATH, "application/json", b"[", b",", b"]"),
    "ndjson": Shape(BATCH_PATH, "application/x-ndjson", b"", b"\n", b"\n"),
}


def head_of(host: str, key: str, form: Form, *, prefix: str = "", query: str = "") -> bytes:
    """The head of a request up to the length of its body, which `request_of` adds.

    Args:
        host: of the node, with the port where one was given.
        key: its API key.
        form: of the body.
        prefix: what a proxy adds before the path.
        query: with its question mark.
    """
    shape = SHAPES[form]
    return (
        f"POST {prefix}{shape.path}{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {shape.content_type}\r\nContent-Length: "
    ).encode("latin-1")


def request_of(head: bytes, body: bytes) -> bytes:
    """A whole request."""
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)


class Answer(NamedTuple):
    """An HTTP answer; `retry_after` in seconds, 0 without one."""

    status: int
    retry_after: float
    body: bytes


class AnswerReader:
    """Reads one answer; the methods called `on_…` are what httptools calls.

    Attributes:
        answer: the answer, once it is complete.
        keep: whether the connection stays open after it.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._size = 0
        self._retry_after = 0.0
        self.answer: Answer | None = None
        self.keep = False

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            ConnectionError: it is no HTTP answer, or one of unreasonable size.
        """
        self._size += len(data)
        if self._size > ANSWER_BYTES:
            raise ConnectionError("the answer is too large")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionError(f"not an HTTP answer: {error}") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        if name.lower() == b"retry-after":
            self._retry_after = _seconds(value)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        self.keep = self._parser.should_keep_alive()
        self.answer = Answer(self._parser.get_status_code(), self._retry_after, b"".join(self._body))


def _seconds(value: bytes) -> float:
    """A `Retry-After` in seconds: RFC 9110 section 10.2.3 allows a number or a date; 0 when it is neither."""
    if value.isdigit() and len(value) < 10:
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value.decode("latin-1")).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


class Problem(msgspec.Struct):
    """A refusal, as RFC 9457 writes it."""

    code: str = ""
    detail: str = ""


class Field(msgspec.Struct):
    """What is wrong with a member of an event."""

    message: str = ""


class Result(msgspec.Struct):
    """What became of one event of a batch."""

    index: int
    status: Literal["accepted", "duplicate", "rejected"]
    code: str = ""
    errors: tuple[Field, ...] = ()

    @property
    def confirmed(self) -> bool:
        """Whether what is said of it is certain; an event is not refused for what it is while the buffer is away."""
        return not self.code.startswith(UNCONFIRMED_CODES)


class Sums(msgspec.Struct):
    """How many events of a batch became what."""

    accepted: int
    duplicates: int
    rejected: int


class Report(Sums):
    """What became of a batch; events that were stored are only listed where they were asked for."""

    results: tuple[Result, ...]


_problem = msgspec.json.Decoder(Problem).decode


def problem_of(body: bytes) -> Problem:
    """The refusal in the body of an answer; without a code where there is none, as in a proxy's page."""
    try:
        return _problem(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Problem()


def takes_events(answer: Answer) -> bool:
    """Whether an answer to a batch without events shows that a node is there, and takes events under our key.

    A node judges the key before it looks at the batch, and refuses this one by a code that nobody else has.
    """
    return answer.status == 400 and problem_of(answer.body).code == "invalid_batch"
