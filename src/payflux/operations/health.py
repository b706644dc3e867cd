"""`/health` and `/readyz`: can the node do its work?

A heartbeat proves that a loop turns, not that anything comes of it. So readiness tries what an append does, and health
asks the stream whether what is in it comes out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from payflux.errors import REMEDIES, StreamUnavailable
from payflux.http.messages import TEXT, Response, problem
from payflux.redis.monitor import Progress
from payflux.telemetry.metrics import CONSUMER_ACTIVE, CONSUMER_HALTED, Metrics
from payflux.telemetry.notes import ChildNotes

OK = Response(200, b"ok\n", TEXT)
FRESH_SECONDS = 1.0  # a flood of health checks must not become a flood of questions to Redis
BEAT_SECONDS = 15.0  # a consumer silent for longer is stuck or dead
UNREADY = {
    "part_failing": "a child process of the node keeps dying",
    "consumer_stuck": "the consumer does not work; events are stored and wait",
    "consumer_halted": "nearly everything the consumer reads is invalid, so it has halted",
    "consumer_stalled": "events wait in the stream, and nobody has committed any of them for a while",
}

Found = TypeVar("Found")


class Refusal(NamedTuple):
    """Why the node cannot do its work.

    Attributes:
        code: of `UNREADY`, or why Redis did not confirm.
        about: the key of ours it is about, or the code of what the consumer meets; empty where there is none.
    """

    code: str
    about: str = ""

    @property
    def response(self) -> Response:
        """The answer that says so."""
        detail = UNREADY.get(self.code) or f"Redis takes no events: {REMEDIES.get(self.code, 'see its log')}"
        detail += f" ({self.about})" if self.about else ""
        return problem(503, self.code, detail, headers=[(b"Retry-After", b"1")])


class Readiness:
    """Whether the node can do its work.

    Args:
        probe: proves that an event could be appended, or raises StreamUnavailable.
        progress: tells whether what is in the stream comes out of it, or raises StreamUnavailable.
        supervisor: says how the node does.
        consumer: of the node's consumer; None when the node has none.
        now: a monotonic clock all processes of the machine share.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        progress: Callable[[], Awaitable[Progress]],
        supervisor: ChildNotes,
        consumer: Metrics | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe, self._ask, self._now = probe, progress, now
        self._supervisor, self._consumer = supervisor, consumer
        self._path = Remembered(self._check_path, now)
        self._progress = Remembered(self._ask_progress, now)

    async def ready(self) -> Response:
        """Readiness: the write path, and no part of the node that keeps failing."""
        refusal = await self._path.answer()
        return refusal.response if refusal else OK

    async def healthy(self) -> Response:
        """Health: readiness, and on a node that consumes that what was accepted comes out."""
        refusal = await self.refusal()
        return refusal.response if refusal else OK

    async def refusal(self) -> Refusal | None:
        """Why the node is not healthy; None when it is."""
        refusal = await self._path.answer()
        if refusal is not None or self._consumer is None:
            return refusal
        return self._check_consumer(self._consumer) or self._check_progress(
            await self._progress.answer(), self._consumer.notes.trouble_code
        )

    async def progress(self) -> Progress | None:
        """Whether what is in the stream comes out of it; None when that is unknown, or not this node's business."""
        if self._consumer is None:
            return None
        found = await self._progress.answer()
        return found if isinstance(found, Progress) else None

    async def _check_path(self) -> Refusal | None:
        if self._supervisor.failing:
            return Refusal("part_failing")
        try:
            await self._probe()
        except StreamUnavailable as error:
            return Refusal(error.code, error.key)
        return None

    async def _ask_progress(self) -> Progress | Refusal:
        try:
            return await self._ask()
        except StreamUnavailable as error:
            return Refusal(error.code, error.key)

    def _check_consumer(self, consumer: Metrics) -> Refusal | None:
        if self._now() - consumer.notes.heartbeat > BEAT_SECONDS:
            return Refusal("consumer_stuck")
        if consumer.get(CONSUMER_ACTIVE) == consumer.get(CONSUMER_HALTED) == 1:
            return Refusal("consumer_halted")
        return None

    def _check_progress(self, found: Progress | Refusal, trouble: str) -> Refusal | None:
        if isinstance(found, Refusal):
            return found
        if found.unusable is not None:
            return Refusal(found.unusable.code, found.unusable.key)
        return Refusal("consumer_stalled", trouble) if found.stalled else None


class Remembered(Generic[Found]):
    """What is looked for once a second at most, whoever asks; those who ask meanwhile wait for the same answer.

    Args:
        find: looks for it.
        now: a monotonic clock.
    """

    def __init__(self, find: Callable[[], Awaitable[Found]], now: Callable[[], float]) -> None:
        self._find, self._now = find, now
        self._found: tuple[float, Found] | None = None
        self._lock = asyncio.Lock()

    async def answer(self) -> Found:
        """What was found in this second."""
        async with self._lock:
            if self._found is None or self._now() - self._found[0] > FRESH_SECONDS:
                found = await self._find()
                self._found = self._now(), found  # the time after it, or each of those who waited would look again
            return self._found[1]
