"""Heads that were accepted before. Producers send the same head again and again.

A head that is, byte for byte, one that llhttp accepted before means what it meant then, so a read of exactly one
request with a known head needs no parser: half of the cost of a request.
"""

from collections.abc import Callable
from typing import NamedTuple

from payflux.http.last_head import LastHead
from payflux.http.messages import BodyHandler, Request

MOST_HEADS = 1024
"""How many are remembered for all connections of a server; then they are forgotten, and learnt anew."""
FUTILE_HEADS = 64
"""A connection whose heads were new this many times on end is one whose heads never repeat: it learns no more."""


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


class Learner:
    """Recalls heads for one connection, and learns those that are new on it.

    Args:
        known: the heads remembered by the server.
        last: keeps heads that do not come twice.
    """

    __slots__ = ("_first", "_futile", "_known", "_last", "_watching")

    def __init__(self, known: KnownHeads, last: LastHead) -> None:
        self._known, self._last = known, last
        self._futile = 0  # new heads on end
        self._watching = False
        self._first: Request | None = None  # seen since it watches, if it is one to be learnt

    def recall(self, data: bytes, end: int) -> KnownHead | None:
        """What a head means, if it is known, and data hold nothing but the request with it.

        Args:
            data: that begin with the head.
            end: where it ends in them.
        """
        if self._futile > FUTILE_HEADS:
            return None
        known = self._known.find(data[:end])
        if known is None:
            self._futile += 1
        elif len(data) - end == known.length:
            self._futile = 0
            return known
        return None

    def watch(self) -> bool:
        """Look at the next request; False when the heads of this connection never repeat."""
        self._first = None
        self._watching = self._futile <= FUTILE_HEADS
        return self._watching

    def see(self, request: Request, *, usual: bool) -> None:
        """A request was read; to be learnt if it is the first one, admitted and of the usual kind."""
        if self._watching and usual:
            self._first = request
        self._watching = False

    def learn(self, data: bytes, most: int) -> None:
        """Remember the head of data, if that was exactly one request to be learnt.

        Args:
            data: what was read.
            most: bytes of a request that is learnt for all connections.
        """
        self._watching = False
        request, self._first = self._first, None
        if request is None:
            return
        if request.signed_handler is not None:
            self._futile = 0
            self._last.learn(data, request)
        elif len(data) <= most:
            self._known.learn(data, request)
