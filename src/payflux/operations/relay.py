"""What ingest workers pass on to the operations child: its finished answers, so that nothing is built beside events.

To move a path there, give the workers a `Relay` for it, and the operations child a `Fetched` with what answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from payflux.http.messages import NOT_MODIFIED, Request, Respond, Response, problem
from payflux.http.router import NOT_FOUND
from payflux.log import log
from payflux.operations.routes import Answer, Guard

TOKEN = b"x-payflux-node"
"""The header that tells the node's own workers from everybody else who finds the port."""

METRICS_PATH, EXPORT_HEALTH_PATH = "/metrics", "/export/health"
SECONDS = 4.0  # a program that asks gives up after five as a rule, and is to hear why
UNANSWERED = problem(
    503,
    "operations_unavailable",
    "the process of the node that answers this is not at work yet, or busy; try again",
    headers=[(b"Retry-After", b"1")],
)
PASSED_ON = (b"if-none-match", b"accept-encoding")
KEPT = (b"etag", b"retry-after", b"cache-control", b"content-encoding", b"vary")


class Relay:
    """A handler whose answers another process of the node makes.

    Args:
        port: on which that process listens, at 127.0.0.1.
        token: of the node.
        guard: who may ask.
    """

    def __init__(self, port: int, token: str, guard: Guard) -> None:
        self._port, self._token, self.admit = port, token.encode(), guard
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer when the other process has answered."""
        task = asyncio.get_running_loop().create_task(self._run(request, respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, request: Request, respond: Respond) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._ask(request)
        except (OSError, TimeoutError, ValueError, LookupError) as error:
            log("warning", "operations_unavailable", error=type(error).__name__)
            answer = UNANSWERED
        respond(answer)

    async def _ask(self, request: Request) -> Response:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            target = request.path + (f"?{request.query}" if request.query else "")
            lines = [f"GET {target} HTTP/1.1".encode("latin-1"), b"Host: operations", b"Connection: close"]
            lines += [b"%s: %s" % (TOKEN, self._token)]
            lines += [b"%s: %s" % (name, request.headers[name]) for name in PASSED_ON if name in request.headers]
            writer.write(b"\r\n".join([*lines, b"", b""]))
            return response_of(await reader.read(-1))
        finally:
            writer.close()


class Fetched:
    """A handler in the operations child, whose answers are for the node's own processes alone.

    Args:
        answer: makes what is answered to a request.
        token: of the node.
    """

    def __init__(self, answer: Callable[[Request], Awaitable[Response]], token: str) -> None:
        self._answer, self._token = answer, token.encode()

    def admit(self, request: Request) -> Response | None:
        """Whoever does not know the node's token finds nothing here."""
        return None if request.headers.get(TOKEN) == self._token else NOT_FOUND

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer when it is known."""
        Answer(partial(self._answer, request)).handle(request, respond)


def response_of(message: bytes) -> Response:
    """An answer from its bytes.

    Args:
        message: a whole HTTP message, whose connection was closed behind it.

    Raises:
        ValueError, LookupError: it is not whole.
    """
    head, gap, body = message.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    code = int(status.split(b" ")[1]) if gap else 0
    kept = [(name, headers[name]) for name in KEPT if name in headers]
    if code == NOT_MODIFIED:
        return Response(code, headers=kept)
    if not gap or len(body) != int(headers[b"content-length"]):
        raise ValueError("the answer is not whole")
    return Response(code, body, headers[b"content-type"], kept)
