"""Sends events to a node over HTTP, with an exact record of every answer: for simulation, load checks, benchmarks."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from itertools import count, cycle
from types import TracebackType
from typing import Self

from payflux.client.wire import SHAPES, Answer, Form, head_of, request_of, takes_events
from payflux.load.attempts import Attempt, Item, verdicts_of
from payflux.load.node_connection import AnswerError, NodeConnection, node_address

FIRST_BACKOFF_SECONDS = 0.05


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
        self.host, self.port = node_address(url)
        self.noticed: Callable[[str], None] = lambda _reason: None
        self._keys = cycle(keys)
        self._free = asyncio.Semaphore(connections)
        self._idle: list[NodeConnection] = []
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

    async def takes_events(self) -> bool:
        """Whether the node is there and takes the key: only a node has that answer to a batch without events."""
        try:
            answer = await self._exchange(self._request([Item("", b"")], "ndjson", next(self._keys)))
        except (OSError, AnswerError):
            return False
        return takes_events(answer)

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
        verdicts = verdicts_of(answer, len(items), single=form == "single")
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
        head = head_of(f"{self.host}:{self.port}", key, form)
        return request_of(head, SHAPES[form].body([item.body for item in items]))

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

    async def _connection(self) -> NodeConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(NodeConnection, self.host, self.port))[1]


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return os.strerror(error.errno) if error.errno and not isinstance(error, socket.gaierror) else str(error)
