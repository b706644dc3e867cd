"""Sends events to a node over HTTP, with an exact record of every answer: for simulation, load checks, benchmarks."""

import asyncio
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import count, cycle
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeVar, cast
from urllib.parse import urlsplit

import httptools
import msgspec

from payflux.errors import PayfluxError

SINGLE_PATH = "/v1/events/payment_exhaust"
BATCH_PATH = SINGLE_PATH + "/batch"
Form = Literal["single", "array", "ndjson"]
Verdict = Literal["accepted", "duplicate", "stored", "rejected", "unknown"]
FIRST_BACKOFF_SECONDS = 0.05
T = TypeVar("T")

REFUSED = (400, 408, 413, 415, 429)
"""Answers after which nothing of the request is stored."""

UNSETTLED = (0, 408, 429)
"""Answers, besides every 5xx, after which the same events are to be sent again; 0 is no answer at all."""

UNCONFIRMED_CODES = ("unavailable", "overloaded", "redis_")
"""How the code of a batch item begins that was not refused for what it is: Redis did not confirm it."""


class UrlError(PayfluxError):
    """The address is not one of a node."""

    code = "unusable_url"


class AnswerError(PayfluxError):
    """What answered is no node, or one that breaks the interface; `status` is the HTTP status, 0 without one."""

    code = "unexpected_answer"

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status


class Item(NamedTuple):
    """An event to send: the id the record is kept under, and its JSON as it goes over the wire."""

    event_id: str
    body: bytes


class Attempt(NamedTuple):
    """What became of one event in one request.

    Attributes:
        event_id: that of the item.
        status: the HTTP status of the whole request; 0 when no answer came.
        verdict: `accepted`, `duplicate`, `stored` (a 202 that does not say which of the two), `rejected` (surely not
            stored), or `unknown` (perhaps stored).
        code: the machine-readable reason when it was rejected, else empty.
        request: the number of the request; the events of one batch share it.
    """

    event_id: str
    status: int
    verdict: Verdict
    code: str
    request: int

    @property
    def settled(self) -> bool:
        """Whether sending the event again is pointless."""
        return self.status not in UNSETTLED and self.verdict != "unknown"


class Answer(NamedTuple):
    """An HTTP answer; `retry_after` in seconds, 0 without one."""

    status: int
    retry_after: float
    body: bytes


class _Single(msgspec.Struct):
    status: Literal["accepted", "duplicate", "stored"] = "stored"


class _Problem(msgspec.Struct):
    code: str


class _Result(msgspec.Struct):
    index: int
    status: Literal["accepted", "duplicate", "rejected"]
    code: str | None = None


class _Batch(msgspec.Struct):
    accepted: int
    duplicates: int
    rejected: int
    results: list[_Result]


class Sender:
    """A node's producer, with a pool of connections that are kept alive. Use it as an asynchronous context manager.

    Attributes:
        noticed: told in words when a request got no answer or a 5xx.
    """

    def __init__(
        self,
        url: str,
        keys: Sequence[str],
        *,
        connections: int = 8,
        timeout_seconds: float = 10.0,
        patience_seconds: float = 60.0,
        longest_wait_seconds: float = 5.0,
    ) -> None:
        """A sender, not yet connected.

        Args:
            url: the node, `http://host:port`.
            keys: its API keys, used in turn.
            connections: how many at once, 1 or more.
            timeout_seconds: for connecting and the whole answer.
            patience_seconds: how long `send` keeps trying before it returns without a settled answer.
            longest_wait_seconds: cap of each wait, whatever `Retry-After` says.

        Raises:
            UrlError: it is not plain `http://host[:port]`.
        """
        self.host, self.port = _address(url)
        self.noticed: Callable[[str], None] = lambda _reason: None
        self._keys = cycle(keys)
        self._free = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []
        self._timeout = timeout_seconds
        self._patience = patience_seconds
        self._longest_wait = longest_wait_seconds
        self._hold: dict[str, float] = {}
        self._requests = count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await asyncio.sleep(0)  # lets the loop close the sockets before it ends

    def close(self) -> None:
        """Close the connections that no request uses."""
        while self._idle:
            self._idle.pop().close()

    async def get(self, path: str) -> Answer:
        """Fetch one of the node's pages.

        Raises:
            OSError: no answer came; TimeoutError is one of them.
        """
        return await self._exchange(f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode())

    async def send(self, items: Sequence[Item], form: Form = "single") -> list[Attempt]:
        """Send events until each has a settled answer or patience ends.

        A 429 or 503 is followed by the wait its `Retry-After` asks for; a 429 holds back everything under the same key.

        Args:
            items: one for the form `single`, up to 1,000 for the others.
            form: as an event of its own, as a JSON array, or as NDJSON.

        Returns:
            What became of each event in each request, in order; the last attempt of an event is its outcome.

        Raises:
            AnswerError: the answer is none that the interface has, 401 included.
        """
        patience_ends = time.monotonic() + self._patience
        attempts: list[Attempt] = []
        for failed in count():
            answer, latest = await self._send_once(items, form)
            attempts += latest
            items = [item for item, attempt in zip(items, latest, strict=True) if not attempt.settled]
            left = patience_ends - time.monotonic()
            if not items or left <= 0:
                break
            await asyncio.sleep(min(self._wait(answer, failed), left))
        return attempts

    async def _send_once(self, items: Sequence[Item], form: Form) -> tuple[Answer, list[Attempt]]:
        key = next(self._keys)
        await self._held(key)
        number = next(self._requests)
        try:
            answer = await self._exchange(self._request(items, form, key))
        except OSError as error:  # refused, cut or timed out
            answer = Answer(0, 0, b"")
            self.noticed(f"no answer from {self.host}:{self.port} ({_words(error)})")
        if answer.status >= 500:
            self.noticed(f"{self.host}:{self.port} answers HTTP {answer.status}")
        if answer.status == 429:
            self._hold[key] = time.monotonic() + self._wait(answer, 0)
        verdicts = _read(answer, form, len(items))
        attempts = (
            Attempt(item.event_id, answer.status, verdict, code, number)
            for item, (verdict, code) in zip(items, verdicts, strict=True)
        )
        return answer, list(attempts)

    async def _held(self, key: str) -> None:
        """Wait while the key is over its rate."""
        if (wait := self._hold.get(key, 0) - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    def _wait(self, answer: Answer, failed: int) -> float:
        backoff = FIRST_BACKOFF_SECONDS * 2 ** min(failed, 20) * random.uniform(0.5, 1)
        return min(answer.retry_after or backoff, self._longest_wait)

    def _request(self, items: Sequence[Item], form: Form, key: str) -> bytes:
        body = _join([item.body for item in items], form)
        kind = "application/x-ndjson" if form == "ndjson" else "application/json"
        head = (
            f"POST {SINGLE_PATH if form == 'single' else BATCH_PATH} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Bearer {key}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("latin-1") + body

    async def _exchange(self, request: bytes) -> Answer:
        async with self._free, asyncio.timeout(self._timeout):
            connection = await self._connection()
            try:
                answer = await connection.exchange(request)
            except BaseException:
                connection.close()  # an answer may be on its way, and must not be read as that of a later request
                raise
            if connection.usable:
                self._idle.append(connection)
            return answer

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Connection, self.host, self.port))[1]


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return os.strerror(error.errno) if error.errno and not isinstance(error, socket.gaierror) else str(error)


class _Connection(asyncio.Protocol):
    """One connection with one request at a time; also what httptools calls while it parses the answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[Answer] | None = None
        self._start()

    def _start(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._retry_after = 0.0
        self._body: list[bytes] = []
        self._keep = True

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._keep and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Answer:
        """Send a request, return its answer; raises OSError when the connection ends before."""
        assert self._transport is not None
        self._start()
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not instances of it

    def data_received(self, data: bytes) -> None:
        if self._answered is None or self._answered.done():
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(AnswerError(0, f"not an HTTP answer: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep = False
        self._fail(ConnectionError("the connection ended before the answer") if exc is None else exc)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():
            self._retry_after = float(value)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._keep = self._parser.should_keep_alive()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(Answer(self._parser.get_status_code(), self._retry_after, b"".join(self._body)))

    def _fail(self, error: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as error:
        raise UrlError(f"{url!r}: {error}") from None
    if parts.scheme == "https":
        raise UrlError("https:// is not spoken here: TLS ends at a proxy; give the node's own http:// address")
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.username:
        raise UrlError(f"{url!r}: expected http://host:port")
    return parts.hostname, port


def _join(bodies: Iterable[bytes], form: Form) -> bytes:
    if form == "array":
        return b"[" + b",".join(bodies) + b"]"
    if form == "ndjson":
        return b"\n".join(bodies) + b"\n"
    (body,) = bodies
    return body


def _read(answer: Answer, form: Form, events: int) -> Sequence[tuple[Verdict, str]]:
    """Each event's verdict and code."""
    if answer.status == 202 and form == "single":
        return [(_decode(answer, _Single).status if answer.body else "stored", "")]
    if answer.status == 200 and form != "single":
        return _read_batch(_decode(answer, _Batch), events)
    if answer.status in REFUSED:
        return [("rejected", _decode(answer, _Problem).code)] * events
    if answer.status == 0 or answer.status >= 500:
        return [("unknown", "")] * events
    if answer.status == 401:
        raise AnswerError(401, "the node does not accept this key")
    raise AnswerError(answer.status, "not a PayFlux node's answer to an event")


def _read_batch(batch: _Batch, events: int) -> list[tuple[Verdict, str]]:
    if [result.index for result in batch.results] != list(range(events)):
        raise AnswerError(200, f"the batch of {events} has not one result for each event in order")
    said = Counter(result.status for result in batch.results)
    if (said["accepted"], said["duplicate"], said["rejected"]) != (batch.accepted, batch.duplicates, batch.rejected):
        raise AnswerError(200, "the batch's sums differ from its results")
    return [_read_result(result) for result in batch.results]


def _read_result(result: _Result) -> tuple[Verdict, str]:
    code = result.code or ""
    return ("unknown" if code.startswith(UNCONFIRMED_CODES) else result.status), code


def _decode(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise AnswerError(answer.status, f"the body is not what the interface says: {error}") from None
