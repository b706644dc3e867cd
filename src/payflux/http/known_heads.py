"""Heads that were accepted before. Producers send the same head again and again.

A head that is, byte for byte, one that llhttp accepted before means what it meant then, so a read of exactly one
request with a known head needs no parser: half of the cost of a request.
"""

from collections.abc import Callable
from typing import NamedTuple

from payflux.http.messages import BodyHandler, Request

MOST_HEADS = 1024
"""How many are remembered for all connections of a server; then they are forgotten, and learnt anew."""


class KnownHead(NamedTuple):
    """What a head that was accepted before means."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    length: int
    body_handler: BodyHandler | None


class KnownHeads:
    """The heads remembered by a server.

    Attributes:
        find: what a head means, by its bytes with the blank line at its end; None for one that is not remembered.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}
        self.find: Callable[[bytes], KnownHead | None] = self._heads.get  # on the path of every event

    def __len__(self) -> int:
        return len(self._heads)

    def learn(self, data: bytes, request: Request) -> None:
        """Remember the head of an accepted request of the usual kind, if data are exactly this request."""
        end = data.find(b"\r\n\r\n") + 4
        length = request.content_length
        if length != len(data) - end:
            return
        if len(self._heads) >= MOST_HEADS:
            self._heads.clear()
        self._heads[data[:end]] = KnownHead(
            request.method, request.path, request.query, request.headers, length, request.body_handler
        )
