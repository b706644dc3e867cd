"""A stand-in for a node, in a thread of its own: stores in memory, and answers as it is told."""

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from payflux.client import Counts
from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event

KEY = "client-test-key"
Reply = tuple[int, dict[str, str], bytes]
Fault = Callable[["ThreadNode", Sequence[bytes]], Reply | None]
"""Gets the events of a request; answers it, or None to have them stored and answered as a node does."""


class ThreadNode:
    """What it was sent, and what it says to it.

    Attributes:
        stored: every stored event's id and JSON, in order of arrival.
        batches: the number of events of each request, refused ones included.
        fault: asked first about every request.
    """

    def __init__(self, fault: Fault | None = None) -> None:
        self.stored: dict[str, bytes] = {}
        self.batches: list[int] = []
        self.connections = 0
        self.fault = fault
        self.url = ""

    def answer(self, events: Sequence[bytes]) -> Reply:
        """The answer to a batch; one without events is not noted."""
        if events:
            self.batches.append(len(events))
        if self.fault is not None and (reply := self.fault(self, events)) is not None:
            return reply
        if not events:
            return problem(400, "invalid_batch")
        return self.store(events)

    def store(self, events: Sequence[bytes]) -> Reply:
        """Store a batch as a node does."""
        accepted = 0
        results = []
        for index, body in enumerate(events):
            try:
                event = decode_event(body)
            except InvalidEvent as error:
                fields = [{"field": e.field, "code": e.code, "message": e.message} for e in error.errors]
                results.append({"index": index, "status": "rejected", "code": error.code, "errors": fields})
                continue
            accepted += event.event_id not in self.stored
            self.stored.setdefault(event.event_id, event.data)
        counts = {"accepted": accepted, "duplicates": len(events) - accepted - len(results), "rejected": len(results)}
        return 200, {}, json.dumps({**counts, "results": results}).encode()


def problem(status: int, code: str, **headers: str) -> Reply:
    """A refusal as a node words it."""
    return (
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        json.dumps({"code": code}).encode(),
    )


def _with_every_result(text: bytes) -> bytes:
    """The same answer with a result for each event; which of the good ones was accepted makes no difference here."""
    report = json.loads(text)
    rejected = {result["index"]: result for result in report["results"]}
    good = ["accepted"] * report["accepted"] + ["duplicate"] * report["duplicates"]
    total = len(good) + len(rejected)
    report["results"] = [rejected.get(i) or {"index": i, "status": good.pop(0)} for i in range(total)]
    return json.dumps(report).encode()


@contextmanager
def thread_node(
    fault: Fault | None = None, port: int = 0, tls: Callable[[Any], Any] | None = None
) -> Iterator[ThreadNode]:
    """A running stand-in; its connections end with it."""
    node = ThreadNode(fault)
    open_sockets = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment

        def setup(self) -> None:
            node.connections += 1
            open_sockets.add(self.request)
            super().setup()

        def finish(self) -> None:
            open_sockets.discard(self.request)
            super().finish()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != f"Bearer {KEY}":
                reply = problem(401, "unauthorized")
            else:
                reply = node.answer([line for line in body.splitlines() if line])
            status, headers, text = reply
            if status == 200 and text[:1] == b"{" and "results=errors" not in self.path:
                text = _with_every_result(text)
            if not status:  # cut the connection instead
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
            """Stay quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = False
    if tls is not None:
        server.socket = tls(server.socket)
    node.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        for left in list(open_sockets):
            with suppress(OSError):  # the other end was quicker
                left.shutdown(2)
        server.server_close()


def exact(counts: Counts) -> bool:
    """Whether every event is in exactly one number."""
    fates = counts.accepted + counts.duplicate + sum(counts.rejected.values()) + sum(counts.dropped.values())
    return counts.sent + counts.recovered == fates + counts.spooled + counts.queued


@contextmanager
def nobody() -> Iterator[str]:
    """A URL on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
