"""The paths that operators ask, and who may: is the node alive, is it ready?"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence

from payflux.http.messages import Handler, Request, Respond, Response, problem
from payflux.log import log
from payflux.operations.health import OK, Readiness
from payflux.telemetry.metrics import AUTH_DENIED, Metrics

PROBES = ("/health", "/livez", "/readyz")
"""What orchestrators ask wherever producers are taken."""

NO_TOKEN = problem(
    401,
    "unauthorized",
    "send the token as Authorization: Bearer PAYFLUX_METRICS_TOKEN",
    headers=[(b"WWW-Authenticate", b"Bearer")],
)

NO_KEY = problem(
    401,
    "unauthorized",
    "send a key as Authorization: Bearer KEY, one of PAYFLUX_API_KEYS or PAYFLUX_READ_KEYS",
    headers=[(b"WWW-Authenticate", b"Bearer")],
)

Guard = Callable[[Request], Response | None]
"""Lets a request in (None), or refuses it."""


def everybody(request: Request) -> Response | None:
    """The guard that lets everybody in."""
    del request
    return None


def token_guard(token: str | None, metrics: Metrics) -> Guard:
    """The guard that asks for a token, compared in constant time; None lets everybody in."""
    if token is None:
        return everybody
    wanted = token.encode()

    def judge(request: Request) -> Response | None:
        given = request.headers.get(b"authorization")
        if given is not None and given[:7].lower() == b"bearer " and hmac.compare_digest(given[7:], wanted):
            return None
        metrics.add(AUTH_DENIED, "missing" if given is None else "invalid")
        return NO_TOKEN

    return judge


def key_guard(keys: Sequence[str], metrics: Metrics) -> Guard:
    """The guard that asks for one of some keys; every one is compared, so that the time says nothing about any."""
    digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def judge(request: Request) -> Response | None:
        given = request.headers.get(b"authorization", b"")
        digest = hashlib.sha256(given[7:]).digest()
        matches = [hmac.compare_digest(digest, known) for known in digests]
        if given[:7].lower() == b"bearer " and any(matches):
            return None
        metrics.add(AUTH_DENIED, "invalid" if given else "missing")
        return NO_KEY

    return judge


class Answer:
    """A handler for a path without a body whose answer takes an await or two.

    Args:
        answer: makes it.
        guard: who may ask.
    """

    def __init__(self, answer: Callable[[], Awaitable[Response]], guard: Guard = everybody) -> None:
        self._answer = answer
        self.admit = guard
        self._tasks: set[asyncio.Task[None]] = set()

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


def probes(readiness: Readiness) -> dict[str, dict[str, Handler]]:
    """What every process that is asked answers by itself, whatever becomes of the others."""
    answers: Sequence[tuple[str, Callable[[], Awaitable[Response]]]] = (
        ("/health", readiness.healthy),
        ("/livez", alive),
        ("/readyz", readiness.ready),
    )
    return {path: {"GET": Answer(answer)} for path, answer in answers}


def moved(
    routes: Mapping[str, dict[str, Handler]],
) -> tuple[dict[str, dict[str, Handler]], dict[str, dict[str, Handler]]]:
    """What stays where producers are and what moves to the operators' address, which has the probes too."""
    stays = {path for path, methods in routes.items() if "POST" in methods} | set(PROBES)
    return (
        {path: methods for path, methods in routes.items() if path in stays},
        {path: methods for path, methods in routes.items() if path not in stays or path in PROBES},
    )
