"""The producer client's connection to a node: kept alive, whole exchanges under one deadline."""

import contextlib
import encodings.idna  # noqa: F401 - else the first connection imports it, and a fork meanwhile keeps its lock for ever
import socket
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from payflux.client.wire import Answer, AnswerReader, head_of, request_of

REFUSALS_ALONE = "?results=errors"
BODY_BYTES = 1_048_576
"""What a node takes in one request."""

READ_BYTES = 65_536
CONNECT_SECONDS = 5.0


class Address(NamedTuple):
    """Where a node is: the parts of its URL; `path` is what a proxy adds before those of the node."""

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
    return Address(parts.hostname, port or (443 if secure else 80), parts.netloc, parts.path.rstrip("/"), secure)


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
        self._head = head_of(to.authority, key, "ndjson", prefix=to.path, query=REFUSALS_ALONE)
        self._socket: socket.socket | None = None

    def post(self, body: bytes) -> Answer:
        """Send a batch, return the answer.

        A kept connection that the node has closed meanwhile is replaced once: the same batch may be sent twice.

        Raises:
            OSError: no answer came; TimeoutError is one of them.
        """
        deadline = time.monotonic() + self._timeout
        request = request_of(self._head, body)
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
        reader = AnswerReader()
        while reader.answer is None:
            connected.settimeout(_left(deadline))
            data = connected.recv(READ_BYTES)
            if not data:
                raise ConnectionError("the connection ended before the answer")
            reader.feed(data)
        if not reader.keep:
            self.close()
        return reader.answer


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no answer in time")
    return seconds
