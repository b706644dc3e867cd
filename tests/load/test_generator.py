"""The load of `payflux bench` and the benchmarks, against servers that behave and that do not."""

import pytest

from loads import ACCEPTED, BATCH, EVENT, Server, answer, put, served
from payflux.event.intake import Form
from payflux.load.generator import LoadGenerator
from payflux.load.requests import Requests


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


async def test_an_unreadable_batch_answer_is_told() -> None:
    """A 200 without the sums counts for nothing."""
    report = await put(Server(answer(200, b"ok")), size=10, form="ndjson")
    assert report.accepted == 0
    assert report.codes["unreadable_answer"] == report.requests > 0


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
    load = LoadGenerator(host, port, Requests(EVENT, host, "k", size=1, form="single"), connections=1, seconds=1)
    with pytest.raises(OSError, match="onnect"):
        await load.run()
