"""A server of somebody else's: it keeps what it is sent, and answers as it is told."""

import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import msgspec

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""

Handle = Callable[[str, Mapping[str, str], bytes], Answer]
"""Is given path, headers (names in lower case) and body of a request."""


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """Its body."""
        return msgspec.json.decode(self.body, type=dict[str, object])


class Receiving:
    """The server.

    Attributes:
        url: its address, without a slash at the end.
        got: what it was sent, the oldest first.
        answers: status, headers and body of the next answers; afterwards it is content with everything.
        usual: body of an answer when no other was asked for.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[Received] = []
        self.answers: deque[Answer] = deque()
        self.usual = b""

    def next(self) -> Answer:
        """The answer to a request."""
        return self.answers.popleft() if self.answers else (200, {}, self.usual)


@contextmanager
def serving(handle: Handle, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server on a port of its own that answers with what `handle` returns; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Ask, and answer."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, answer = handle(self.path, {n.lower(): v for n, v in self.headers.items()}, body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            """The same without a body."""
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def receiving() -> Iterator[Receiving]:
    """Run a server that keeps what it is sent."""

    def keep(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        here.got.append(Received(path, dict(headers), body))
        return here.next()

    with serving(keep) as url:
        here = Receiving(url)
        yield here
