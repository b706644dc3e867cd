"""What operators ask a node: is it alive, is it ready, what does it count, does it export."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from math import isnan
from typing import Any

import msgspec

from payflux.errors import StreamUnavailable
from payflux.http.messages import TEXT, Handler, Request, Respond, Response, problem
from payflux.log import log
from payflux.operations.exposition import CONTENT_TYPE, Exposition
from payflux.redis.monitor import Durability, RedisMonitor
from payflux.stream.deliveries import Backlog
from payflux.telemetry.metrics import (
    CHILD,
    DESTINATIONS,
    EXPORT_LAST_ERROR,
    EXPORT_LAST_SUCCESS,
    EXPORT_REASONS,
    OFFSETS,
    state_slot,
)
from payflux.telemetry.slab import Slab

OK = Response(200, b"ok\n", TEXT)
FRESH_SECONDS = 1.0  # a flood of health checks must not become a flood of writes
BEAT_SECONDS = 15.0  # a consumer silent for longer is stuck or dead
SUPERVISOR = "supervisor"
CONSUMER = "consumer"
UNREADY = {
    "part_failing": "a child process of the node keeps dying",
    "consumer_stuck": "the consumer does not work; events are stored and wait",
}


class Readiness:
    """Whether the node can do its work.

    Args:
        probe: proves that the write path works, or raises StreamUnavailable.
        slab: where the other processes of the node say how they are.
        consumes: the node has a consumer.
        now: a monotonic clock all processes of the machine share.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        slab: Slab,
        *,
        consumes: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe, self._now = probe, now
        self._supervisor = slab.doubles(CHILD + SUPERVISOR)
        self._consumer = slab.doubles(CHILD + CONSUMER) if consumes else None
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
            silent = self._now() - self._consumer[state_slot("heartbeat")]
            if silent > BEAT_SECONDS:
                return unready("consumer_stuck")
        return ready

    async def _check(self) -> Response | None:
        if self._supervisor[state_slot("unready")]:
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


class Scrape:
    """`/metrics`: asks Redis, and sums the slab."""

    def __init__(self, slab: Slab, admin: RedisMonitor, now: Callable[[], float] = time.monotonic) -> None:
        self._exposition = Exposition(slab)
        self._admin, self._now = admin, now
        self._durability: Durability | None = None
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def answer(self) -> Response:
        """The Prometheus text."""
        async with self._lock:
            backlog = await self._ask()
            return Response(200, self._exposition.text(backlog, self._durability), CONTENT_TYPE)

    async def _ask(self) -> Backlog | None:
        try:
            backlog = await self._admin.backlog()
            if self._now() - self._asked_at > 60:
                self._durability, self._asked_at = await self._admin.durability(), self._now()
        except StreamUnavailable:
            self._durability, self._asked_at = None, float("-inf")  # what it was says nothing of what it will be
            return None
        return backlog


class ExportHealth:
    """`/export/health`: how each destination does."""

    def __init__(self, slab: Slab, mode: str, *, consumes: bool) -> None:
        self._consumer = slab.doubles(CHILD + CONSUMER) if consumes else None
        self._mode = mode

    async def answer(self) -> Response:
        """The status of each destination."""
        enabled = DESTINATIONS if self._mode == "both" else (self._mode,)
        destinations = {name: self._status(name) for name in enabled} if self._consumer is not None else {}
        body = {"enabled": bool(destinations), "export_mode": self._mode, "destinations": destinations}
        return Response(200, msgspec.json.encode(body))

    def _status(self, name: str) -> dict[str, Any]:
        if self._consumer is None:
            return {}
        index = DESTINATIONS.index(name)
        success = _stamp(self._consumer[OFFSETS[EXPORT_LAST_SUCCESS] + index])
        error = _stamp(self._consumer[OFFSETS[EXPORT_LAST_ERROR] + index])
        reason = list(EXPORT_REASONS)[int(self._consumer[state_slot(f"error:{name}")])]
        return {
            "enabled": True,
            "last_success_ts": success,
            "last_success_rfc3339": _rfc3339(success),
            "last_error_ts": error,
            "last_error_rfc3339": _rfc3339(error),
            "last_error_reason": None if error is None else reason,
        }


def _stamp(value: float) -> int | None:
    return None if isnan(value) else int(value)


def _rfc3339(stamp: int | None) -> str | None:
    return None if stamp is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp))


class Answer:
    """A handler for a path without a body whose answer takes an await or two."""

    def __init__(self, answer: Callable[[], Awaitable[Response]]) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    def admit(self, request: Request) -> Response | None:
        """Everybody may ask."""
        del request
        return None

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer when it is known."""
        del request
        task = asyncio.get_running_loop().create_task(self._run(respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, respond: Respond) -> None:
        try:
            respond(await self._answer())
        except Exception as error:  # noqa: BLE001 - an operator's question must not stay unanswered
            log("error", "operation_failed", error=type(error).__name__, detail=str(error))
            respond(problem(500, "internal_error", "unexpected failure"))


async def alive() -> Response:
    """Liveness: this process answers."""
    return OK


def routes(readiness: Readiness, scrape: Scrape, export_health: ExportHealth) -> dict[str, dict[str, Handler]]:
    """The operators' paths."""
    answers: Sequence[tuple[str, Callable[[], Awaitable[Response]]]] = (
        ("/health", readiness.healthy),
        ("/livez", alive),
        ("/readyz", readiness.ready),
        ("/metrics", scrape.answer),
        ("/export/health", export_health.answer),
    )
    return {path: {"GET": Answer(answer)} for path, answer in answers}
