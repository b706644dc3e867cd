"""A server of somebody else's: it keeps what it is sent, and answers as it is told."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import msgspec


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
        self.answers: deque[tuple[int, dict[str, str], bytes]] = deque()
        self.usual = b""

    def next(self) -> tuple[int, dict[str, str], bytes]:
        """The answer to a request."""
        return self.answers.popleft() if self.answers else (200, {}, self.usual)


@contextmanager
def receiving() -> Iterator[Receiving]:
    """Run such a server on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep it, and answer."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            here.got.append(Received(self.path, {name.lower(): text for name, text in self.headers.items()}, body))
            status, headers, answer = here.next()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Receiving(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
