"""A connection to a node: one request at a time, and the whole answer."""

import asyncio
from typing import cast
from urllib.parse import urlsplit

from payflux.client.wire import Answer, AnswerReader
from payflux.errors import PayfluxError


class UrlError(PayfluxError):
    """The address is not one of a node."""

    code = "unusable_url"


class AnswerError(PayfluxError):
    """What answered is no node, or one that breaks the interface; `status` is the HTTP status, 0 without one."""

    code = "unexpected_answer"

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status


def node_address(url: str) -> tuple[str, int]:
    """Host and port of a node.

    Raises:
        UrlError: it is not plain `http://host[:port]`.
    """
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


class NodeConnection(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[Answer] | None = None
        self._reader = AnswerReader()
        self._keep = True

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._keep and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Answer:
        """Send a request, return its answer; raises OSError when the connection ends before."""
        assert self._transport is not None
        self._reader = AnswerReader()
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can send."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not instances of it

    def data_received(self, data: bytes) -> None:
        """Parse the answer; what nobody asked for ends it."""
        if self._answered is None or self._answered.done():
            self.close()  # nobody asked
            return
        reader = self._reader
        try:
            reader.feed(data)
            self._keep = reader.keep or reader.answer is None
        except ConnectionError as error:
            self._keep = False
            self._fail(AnswerError(0, str(error)))
        if reader.answer is not None and not self._answered.done():
            self._answered.set_result(reader.answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """The request that is open gets no answer."""
        self._keep = False
        self._fail(ConnectionError("the connection ended before the answer") if exc is None else exc)

    def _fail(self, error: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
