"""The producer client's connection to a node: kept alive, whole exchanges under one deadline."""

import contextlib
import email.utils
import encodings.idna  # noqa: F401 - else the first connection imports it, and a fork meanwhile keeps its lock for ever
import socket
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

PATH = "/v1/events/payment_exhaust/batch?results=errors"
BODY_BYTES = 1_048_576
"""What a node takes in one request."""

ANSWER_BYTES = 4_194_304
READ_BYTES = 65_536
CONNECT_SECONDS = 5.0


class Address(NamedTuple):
    """Where a node is: the parts of its URL."""

    host: str
    port: int
    authority: str
    path: str
    secure: bool


def address(url: str) -> Address:
    """The parts of a node's URL.

    Args:
        url: `http://host:port` or `https://host`, with a path where a proxy adds one.

    Raises:
        ValueError: it is something else; the text never holds the URL, which may hold a secret.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("url: expected http://host:port or https://host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: expected no user or password in it; the API key is an argument of its own")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("url: expected printable ASCII without blanks")
    try:
        port = parts.port
    except ValueError:  # its text holds what stands there
        raise ValueError("url: expected a port from 1 to 65535") from None
    secure = parts.scheme == "https"
    path = parts.path.rstrip("/") + PATH
    return Address(parts.hostname, port or (443 if secure else 80), parts.netloc, path, secure)


class Answer(NamedTuple):
    """An HTTP answer; `retry_after` in seconds, 0 without one."""

    status: int
    retry_after: float
    body: bytes


class _Parse:
    """What httptools calls while it reads an answer."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._size = 0
        self._retry_after = 0.0
        self.answer: Answer | None = None
        self.keep = False

    def feed(self, data: bytes) -> None:
        """Take what came; raises ConnectionError when it is no HTTP answer, or one of unreasonable size."""
        self._size += len(data)
        if self._size > ANSWER_BYTES:
            raise ConnectionError("the answer is too large")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionError(f"not an HTTP answer: {error}") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._retry_after = _seconds(value)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
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


class Connection:
    """A connection to a node, made when needed and kept alive; one request at a time.

    Args:
        to: the node.
        key: its API key.
        timeout: seconds for a whole exchange, connecting included.
        tls: for `https`; the system's certificates when None.
    """

    def __init__(self, to: Address, key: str, timeout: float, tls: ssl.SSLContext | None) -> None:
        self._to, self._timeout, self._tls = to, timeout, tls
        self._head = (
            f"POST {to.path} HTTP/1.1\r\nHost: {to.authority}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/x-ndjson\r\nContent-Length: "
        ).encode("ascii")
        self._socket: socket.socket | None = None

    def post(self, body: bytes) -> Answer:
        """Send a batch, return the answer.

        A kept connection that the node has closed meanwhile is replaced once: the same batch may be sent twice.

        Raises:
            OSError: no answer came; TimeoutError is one of them.
        """
        deadline = time.monotonic() + self._timeout
        request = b"%s%d\r\n\r\n%s" % (self._head, len(body), body)
        if self._socket is not None:
            try:
                return self._exchange(self._socket, request, deadline)
            except ConnectionError:
                self.close()
            except BaseException:
                self.close()
                raise
        self._socket = self._connect(deadline)
        try:
            return self._exchange(self._socket, request, deadline)
        except BaseException:
            self.close()  # an answer may be on its way, and must not be read as that of a later request
            raise

    def abort(self) -> None:
        """End the exchange that another thread is in."""
        if (current := self._socket) is not None:
            with contextlib.suppress(OSError):
                current.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this process's end of the connection."""
        current, self._socket = self._socket, None
        if current is not None:
            current.close()

    def _connect(self, deadline: float) -> socket.socket:
        seconds = min(CONNECT_SECONDS, _left(deadline))
        plain = socket.create_connection((self._to.host, self._to.port), timeout=seconds)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self._to.secure:
                return plain
            if self._tls is None:
                self._tls = ssl.create_default_context()
            return self._tls.wrap_socket(plain, server_hostname=self._to.host)
        except BaseException:
            plain.close()
            raise

    def _exchange(self, connected: socket.socket, request: bytes, deadline: float) -> Answer:
        connected.settimeout(_left(deadline))
        connected.sendall(request)
        parse = _Parse()
        while parse.answer is None:
            connected.settimeout(_left(deadline))
            data = connected.recv(READ_BYTES)
            if not data:
                raise ConnectionError("the connection ended before the answer")
            parse.feed(data)
        if not parse.keep:
            self.close()
        return parse.answer


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no answer in time")
    return seconds
