"""Pages that operators and their programs read often: built in turns, and compressed for whoever takes that."""

import asyncio
import re
import time
import zlib
from collections.abc import Awaitable, Callable

from payflux.http.messages import Request, Response

PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
"""The content type of Prometheus's text format."""

AT_ONCE = 5
"""So many are built as soon as they are asked for; after these, one a second."""

SECONDS = 1.0
GZIP = 16 + zlib.MAX_WBITS
_NONE = re.compile(rb"q=0(?:\.0*)?", re.IGNORECASE)
_VARY = (b"Vary", b"Accept-Encoding")


class Page:
    """A page that never is older than the question: who asks too soon after others waits, and all who wait share it.

    Args:
        build: makes its text.
        kind: its content type.
        now: a monotonic clock, in seconds.
        sleep: waits for so many seconds of it.
    """

    def __init__(
        self,
        build: Callable[[], Awaitable[bytes]],
        kind: bytes,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._build, self._kind, self._now, self._sleep = build, kind, now, sleep
        self._building = asyncio.Lock()
        self._coming: asyncio.Task[_Built] | None = None
        self._booked = float("-inf")  # until when the turns are given away (GCRA, ITU-T I.371)

    async def answer(self, request: Request) -> Response:
        """The page, as the one who asks takes it."""
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_task(self._next())
        built = await asyncio.shield(self._coming)
        return built.packed() if takes_gzip(request.headers.get(b"accept-encoding", b"")) else built.plain

    async def _next(self) -> "_Built":
        async with self._building:
            await self._turn()
            self._coming = None  # what is asked from now on is to be seen by another one
            return _Built(await self._build(), self._kind)

    async def _turn(self) -> None:
        now = self._now()
        self._booked = max(self._booked, now) + SECONDS
        wait = self._booked - now - AT_ONCE * SECONDS
        if wait > 0:
            await self._sleep(wait)


class _Built:
    """A page as it is, and compressed once somebody wants it so."""

    def __init__(self, text: bytes, kind: bytes) -> None:
        self.plain = Response(200, text, kind, [_VARY])
        self._kind = kind
        self._packed: Response | None = None

    def packed(self) -> Response:
        """With gzip (RFC 1952), at the level that costs least: names that repeat shrink to a tenth all the same."""
        if self._packed is None:
            packer = zlib.compressobj(1, wbits=GZIP)
            text = packer.compress(self.plain.body) + packer.flush()
            self._packed = Response(200, text, self._kind, [(b"Content-Encoding", b"gzip"), _VARY])
        return self._packed


def takes_gzip(accepted: bytes) -> bool:
    """Whether an `Accept-Encoding` allows gzip (RFC 9110 section 12.5.3).

    Args:
        accepted: the header's value; empty when it was not sent.
    """
    weights = {}
    for one in accepted.replace(b" ", b"").replace(b"\t", b"").lower().split(b","):
        coding, _, weight = one.partition(b";")
        weights[coding] = _NONE.fullmatch(weight) is None
    return next((weights[name] for name in (b"gzip", b"x-gzip", b"*") if name in weights), False)
