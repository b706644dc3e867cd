"""A local server that speaks the one call of Stripe's API that checkout makes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl

KEY = "sk_test_0123456789abcdef"
PAGE = "https://checkout.stripe.com/c/pay/cs_test_1"
SESSION = json.dumps({"id": "cs_test_1", "object": "checkout.session", "url": PAGE}).encode()


class Call(NamedTuple):
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    form: dict[str, str]


class StripeServer:
    """What it answers may be changed between requests.

    Attributes:
        url: where it listens.
        calls: the requests that arrived.
        status: of its answers.
        body: of its answers.
        open: unset, it keeps its callers waiting.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.status, self.body = 200, SESSION
        self.open = threading.Event()
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.calls.append(Call(self.path, dict(self.headers), dict(parse_qsl(body.decode()))))
                owner.open.wait(20)
                try:
                    self.send_response(owner.status)
                    self.send_header("Content-Length", str(len(owner.body)))
                    self.send_header("Request-Id", "req_1")
                    self.end_headers()
                    self.wfile.write(owner.body)
                except OSError:
                    return  # the caller did not wait

            def log_message(self, *arguments: object) -> None:
                """Stay quiet."""

        return Handler

    def refuse(self, status: int, **error: str) -> None:
        """Answer with an error as Stripe has them."""
        self.status, self.body = status, json.dumps({"error": error}).encode()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Let everybody go and end."""
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def stripe_server() -> Iterator[StripeServer]:
    """A server, ended with the block."""
    server = StripeServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
