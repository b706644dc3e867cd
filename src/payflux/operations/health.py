"""`/health` and `/readyz`: can the node do its work?"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from payflux.errors import StreamUnavailable
from payflux.http.messages import TEXT, Response, problem
from payflux.telemetry.notes import ChildNotes

OK = Response(200, b"ok\n", TEXT)
FRESH_SECONDS = 1.0  # a flood of health checks must not become a flood of writes
BEAT_SECONDS = 15.0  # a consumer silent for longer is stuck or dead
UNREADY = {
    "part_failing": "a child process of the node keeps dying",
    "consumer_stuck": "the consumer does not work; events are stored and wait",
}


class Readiness:
    """Whether the node can do its work.

    Args:
        probe: proves that the write path works, or raises StreamUnavailable.
        supervisor: says how the node does.
        consumer: says how the consumer does; None when the node has none.
        now: a monotonic clock all processes of the machine share.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        supervisor: ChildNotes,
        consumer: ChildNotes | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe, self._now = probe, now
        self._supervisor, self._consumer = supervisor, consumer
        self._checked_at = float("-inf")
        self._refusal: Response | None = None
        self._lock = asyncio.Lock()

    async def ready(self) -> Response:
        """Readiness: the write path, and no part of the node that keeps failing."""
        async with self._lock:
            if self._now() - self._checked_at > FRESH_SECONDS:
                self._refusal = await self._check()
                self._checked_at = self._now()
        return self._refusal or OK

    async def healthy(self) -> Response:
        """Health: readiness, and a consumer that is at work."""
        ready = await self.ready()
        if ready is OK and self._consumer is not None:
            silent = self._now() - self._consumer.heartbeat
            if silent > BEAT_SECONDS:
                return unready("consumer_stuck")
        return ready

    async def _check(self) -> Response | None:
        if self._supervisor.failing:
            return unready("part_failing")
        try:
            await self._probe()
        except StreamUnavailable as error:
            return unready(error.code)
        return None


def unready(code: str) -> Response:
    """What is answered when the node cannot do its work: a code of `UNREADY`, or why Redis did not confirm."""
    detail = UNREADY.get(code, "the write path to Redis does not work")
    return problem(503, code, detail, headers=[(b"Retry-After", b"1")])
