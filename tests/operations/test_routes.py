"""The operators' paths: each takes GET from anybody and is answered, whatever happens."""

import asyncio
import json
import os

import pytest

from payflux.http.messages import Request, Response
from payflux.operations.health import OK, Readiness
from payflux.operations.routes import Answer, alive, probes
from payflux.redis.monitor import Progress
from payflux.telemetry.metrics import Metrics, create_slab
from payflux.telemetry.notes import CONSUMER, SUPERVISOR


async def works() -> None:
    """A write path without fault."""


async def flows() -> Progress:
    """A stream whose entries come out."""
    return Progress(None, None, led=True)


async def test_a_process_that_answers_is_alive() -> None:
    """Liveness asks nothing of anybody."""
    assert await alive() is OK


async def test_every_probe_answers() -> None:
    """Each of the three takes GET from anybody and answers."""
    slab = create_slab([SUPERVISOR, CONSUMER])
    consumer = Metrics(slab, CONSUMER)
    readiness = Readiness(works, flows, Metrics(slab, SUPERVISOR).notes, consumer, now=lambda: 0.0)
    found = probes(readiness)
    assert set(found) == {"/health", "/livez", "/readyz"}
    for path, methods in found.items():
        (handler,) = methods.values()
        assert list(methods) == ["GET"]
        assert handler.admit(Request("GET", path)) is None
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        handler.handle(Request("GET", path), answered.set_result)
        async with asyncio.timeout(5):
            assert (await answered).status == 200
    os.close(slab.fd)


async def test_a_question_that_fails_is_answered_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A defect is a 500 without its words, and a log line with them."""

    async def broken() -> Response:
        raise RuntimeError("a secret detail")

    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    Answer(broken).handle(Request("GET", "/x"), answered.set_result)
    async with asyncio.timeout(5):
        response = await answered
    assert response.status == 500
    assert b"secret" not in response.body
    line = json.loads(capsys.readouterr().err)
    assert (line["msg"], line["error"], line["detail"]) == ("operation_failed", "RuntimeError", "a secret detail")
