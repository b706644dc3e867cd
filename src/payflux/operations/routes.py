"""The paths that operators ask: is the node alive, is it ready, what does it count, does it export?"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from payflux.http.messages import Handler, Request, Respond, Response, problem
from payflux.log import log
from payflux.operations.export_health import ExportHealth
from payflux.operations.exposition import Scrape
from payflux.operations.health import OK, Readiness


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
