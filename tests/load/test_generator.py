"""The load of `payflux bench` and the benchmarks, against servers that behave and that do not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from urllib.parse import urlsplit

import pytest

from payflux.event.decode import decode_event
from payflux.load.generator import Pressure, Report, Requests
from payflux.load.sender import Form
from payflux.testing import make_event
from toy_node import serving

EVENT = json.dumps(make_event(event_id="@", event_type="test"))


class Server:
    """Answers every request as it is told, and keeps the ids."""

    def __init__(self, *answers: bytes, stall: float = 0.0) -> None:
        self.answers = answers
        self.stall = stall
        self.ids: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
            body = await reader.readexactly(length)
            items = json.loads(body) if body[:1] == b"[" else [json.loads(line) for line in body.splitlines()]
            self.ids += [decode_event(json.dumps(item).encode()).event_id for item in items]
            if self.stall and len(self.ids) == 20:
                await asyncio.sleep(self.stall)
            answer = self.answers[len(self.ids) % len(self.answers)]
            if not answer:
                writer.close()
                return
            writer.write(answer)


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


ACCEPTED = answer(202, b'{"status":"accepted"}')
BATCH = answer(200, b'{"accepted":10,"duplicates":0,"rejected":0,"results":[]}')


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[tuple[str, int]]:
    async def until_it_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await server.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with serving(until_it_ends) as url:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        yield parts.hostname, parts.port


async def put(  # noqa: PLR0917 - a load has so many sides
    server: Server,
    size: int = 1,
    form: Form = "single",
    connections: int = 4,
    rate: float | None = None,
    depth: int = 1,
    seconds: float = 0.2,
) -> Report:
    async with served(server) as (host, port):
        requests = Requests(EVENT, f"{host}:{port}", "k", size=size, form=form)
        load = Pressure(host, port, requests, connections=connections, seconds=seconds, rate=rate, depth=depth)
        return await load.run()


@pytest.mark.parametrize(("depth", "rate"), [(1, None), (8, None), (1, 500.0)])
async def test_every_event_is_distinct_and_answered(depth: int, rate: float | None) -> None:
    """One at a time, pipelined or paced: what the server got is what was counted, and nothing is left open."""
    server = Server(ACCEPTED)
    report = await put(server, depth=depth, rate=rate)
    assert report.accepted == report.requests == len(server.ids) == len(set(server.ids)) > 0
    assert report.statuses == {202: report.requests}
    assert (report.duplicates, report.rejected, report.broken, report.unanswered) == (0, 0, 0, 0)
    assert 0 < report.p50_ms <= report.p99_ms <= report.p999_ms <= report.max_ms


@pytest.mark.parametrize("form", ["array", "ndjson"])
async def test_batches_are_counted_by_what_they_say(form: Form) -> None:
    """The sums of the answer count, in both forms."""
    server = Server(BATCH)
    report = await put(server, size=10, form=form)
    assert report.accepted == report.requests * 10 == len(server.ids) == len(set(server.ids)) > 0


async def test_a_constant_rate_is_kept() -> None:
    """As many requests as were due, whatever the connections do."""
    report = await put(Server(ACCEPTED), rate=400, seconds=0.5)
    assert report.requests == pytest.approx(200, abs=1)


async def test_waiting_for_a_stalled_node_is_latency() -> None:
    """With one connection, every request due in the stall waited for it: the median shows it, not only the longest."""
    report = await put(Server(ACCEPTED, stall=0.4), connections=1, rate=100, seconds=0.4)
    assert report.requests == pytest.approx(40, abs=1)
    assert report.max_ms > 390
    assert report.p50_ms > 100
    assert report.late_p99_ms < 390  # the load itself was not late


async def test_refusals_are_told_by_status_and_code() -> None:
    """A 429 is no success, and says why."""
    report = await put(Server(answer(429, b'{"code":"rate_limited"}')), connections=2)
    assert report.accepted == 0
    assert report.rejected == report.statuses[429] == report.codes["rate_limited"] > 0


async def test_a_refused_key_ends_it_at_once() -> None:
    """Nothing comes of going on."""
    report = await put(Server(answer(401, b'{"code":"unauthorized"}')), connections=2, seconds=30)
    assert report.seconds < 10
    assert 1 <= report.statuses[401] <= 2


async def test_connections_that_end_are_counted_and_replaced() -> None:
    """Each answer that did not come is told, and the load goes on."""
    server = Server(ACCEPTED, ACCEPTED, ACCEPTED, b"")
    report = await put(server, connections=1, seconds=0.35)
    assert report.broken == report.unanswered == report.codes["no_answer"] >= 2
    assert report.accepted + report.unanswered == len(server.ids)


async def test_a_broken_connection_takes_no_paced_request_with_it() -> None:
    """At a constant rate too: sent ones are answered or told to be lost, the others go over the next connection."""
    server = Server(ACCEPTED, ACCEPTED, ACCEPTED, b"")
    report = await put(server, connections=1, rate=50, seconds=0.5)
    assert report.accepted + report.unanswered == pytest.approx(25, abs=1)
    assert report.broken >= 2


async def test_what_is_no_http_is_no_answer() -> None:
    """Another server on the port has nothing accepted."""
    report = await put(Server(b"SSH-2.0-x\r\n\r\n"), connections=1)
    assert report.requests == 0
    assert report.broken > 0


async def test_an_unreadable_batch_answer_is_told() -> None:
    """A 200 without the sums counts for nothing."""
    report = await put(Server(answer(200, b"ok")), size=10, form="ndjson")
    assert report.accepted == 0
    assert report.codes["unreadable_answer"] == report.requests > 0


async def test_an_idle_connection_that_ends_takes_nothing_with_it() -> None:
    """Paced, with more connections than are needed: it is replaced, and nothing was lost."""
    opened = count()

    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(opened) < 20:
            await asyncio.sleep(0.02)
            if not reader._buffer:  # type: ignore[attr-defined]  # nothing was sent yet
                writer.close()
                return
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r")[0]))
                writer.write(ACCEPTED)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with serving(impatient) as url:
        port = urlsplit(url).port
        assert port is not None
        requests = Requests(EVENT, "localhost", "k", size=1, form="single")
        report = await Pressure("127.0.0.1", port, requests, connections=20, seconds=0.5, rate=10).run()
    assert report.broken > 0
    assert report.accepted == report.requests == pytest.approx(5, abs=1)
    assert (report.unanswered, report.codes) == (0, {})


async def test_answers_that_never_come_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for ever, and does not keep silent about them."""
    monkeypatch.setattr("payflux.load.generator.FINISH_SECONDS", 0.1)
    report = await put(Server(b"HTTP/1.1 202 "), connections=3)
    assert report.requests == report.accepted == 0
    assert report.unanswered == report.codes["no_answer"] == 3


async def test_nobody_listening_is_an_error() -> None:
    """Before anything is measured."""
    async with served(Server(ACCEPTED)) as (host, port):
        pass
    load = Pressure(host, port, Requests(EVENT, host, "k", size=1, form="single"), connections=1, seconds=1)
    with pytest.raises(OSError, match="onnect"):
        await load.run()
