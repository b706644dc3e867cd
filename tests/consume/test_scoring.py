"""The scorer beside the consumer: ticks, what is kept, and a successor that goes on as if nothing had happened."""

import msgspec
import pytest

from consumer_parts import Clock, put
from payflux.consume.line import Enricher
from payflux.errors import StreamUnavailable
from payflux.risk.scoring import Scorer
from payflux.stream.deliveries import RiskNews
from payflux.stream.protocol import LeaseLost
from payflux.telemetry.metrics import RISK_SCORE
from payflux.testing import MemoryStream
from scoring_node import Node, second, seconds, stored


async def test_a_second_is_ticked_when_a_later_entry_is_read(stream: MemoryStream, clock: Clock) -> None:
    """Its own events do not know of it yet; the change is kept by the commit of the batch that closed the second."""
    node = await Node(stream, clock).join()
    await put(stream, *(stored() for _ in range(30)))
    await node.work()
    assert await node.log() == []
    clock.at += 1
    await put(stream, stored(failed=False))
    await node.work()
    (said,) = await node.log()
    assert (said.second, said.band, said.names) == (1_767_960_000, "critical", ("high_failure_rate",))
    assert [b'"critical"' in line for line in node.lines] == [False] * 30 + [True]
    assert node.metrics.get(RISK_SCORE, 0) == said.score


@pytest.mark.parametrize(("waited", "ticked"), [(1.9, False), (2.0, True)])
async def test_an_idle_stream_is_ticked_by_its_clock(
    stream: MemoryStream, clock: Clock, waited: float, ticked: bool
) -> None:
    """Two seconds later by Redis's clock, when nothing is unread, a second is over."""
    node = await Node(stream, clock).join()
    await put(stream, *(stored() for _ in range(30)))
    await node.work()
    clock.at += waited
    await node.work()
    assert bool(await node.log()) is ticked


async def test_live_is_offline(stream: MemoryStream, clock: Clock) -> None:
    """What a node says as it goes along is what a scorer says that gets the seconds afterwards."""
    node = await Node(stream, clock).join()
    await seconds(node, [0, 9, 9, 9, 0, 0, *[9] * 10, *[0] * 400])
    offline = Scorer()
    enricher = Enricher("offline", offline.score, node.metrics)
    for delivery in stream.entries():
        enricher.line(delivery, b"")
    said = offline.take_said()
    live = await node.log()
    assert live[: len(said)] == said
    assert len(said) > 5
    assert {one.band for one in said} >= {"critical", "low"}


DRAINED = 50
"""Entries a second, where two to three come: twenty seconds' worth."""


async def test_a_backlog_is_judged_as_if_it_had_been_read_as_it_came(stream: MemoryStream, clock: Clock) -> None:
    """A consumer down for ten minutes that reads at twenty times the speed says the same, no second later."""
    live_clock = Clock()
    live = await Node(MemoryStream(now=live_clock), live_clock).join()
    late = await Node(stream, clock).join()
    calm, down, after = [1, *[0] * 9] * 33, [*[0] * 200, *[9] * 100, *[1, *[0] * 9] * 30], [*[0] * 9, 1] * 40
    for one in (live, late):
        await seconds(one, calm)
    await seconds(live, [*down, *after])
    for failures in down:
        await second(late, failures)
        clock.at += 1
    assert len(await late.log()) < len(await live.log())
    for failures in after:
        await second(late, failures)
        await late.work(most=DRAINED)
        clock.at += 1
    await late.work()
    said = await late.log()
    assert said == await live.log()
    assert {one.band for one in said} >= {"critical", "low"}
    assert {name for one in said for name in one.names} <= {
        "high_failure_rate",
        "insufficient_data",
    }  # no surge, no drop
    assert late.scorer.incidents() == live.scorer.incidents()
    assert late.scorer.snapshot("stripe") == live.scorer.snapshot("stripe")


@pytest.mark.parametrize("lost", [True, False])
async def test_a_successor_goes_on_as_if_nothing_had_happened(stream: MemoryStream, clock: Clock, lost: bool) -> None:
    """After a death amid an incident, with a batch read and not committed or without, nothing closes or reopens."""
    node, alone_clock = await Node(stream, clock).join(), Clock()
    alone = await Node(MemoryStream(now=alone_clock), alone_clock).join()
    traffic = [0] * 320 + [9] * 70
    for one in (node, alone):
        await seconds(one, traffic)
    if lost:
        unread = stored()
        await put(stream, unread)
        await put(alone.stream, unread)
        await node.work(commit=False)
        clock.at += 6
        alone_clock.at += 6
    successor = await Node(stream, clock).join()
    assert successor.scorer.current() == alone.scorer.current()
    for one in (successor, alone):
        await seconds(one, [9] * 5 + [0] * 330)
    assert await successor.log() == await alone.log()
    assert successor.scorer.snapshot("stripe") == alone.scorer.snapshot("stripe")
    assert (await stream.snapshot("stripe")) is not None


async def test_what_the_stream_holds_no_longer_is_said(stream: MemoryStream, clock: Clock) -> None:
    """A successor that misses events after the snapshot says so in the next assessment, once."""
    node = await Node(stream, clock).join()
    await seconds(node, [0] * 610)
    await seconds(node, [0] * 5)
    stream.trim(2)
    successor = await Node(stream, clock).join()
    await seconds(successor, [0] * 3)
    notes = [one.note for one in await successor.log() if one.note]
    assert notes == ["baseline_gap"]


async def test_a_processor_of_a_snapshot_nobody_can_read_is_learned_anew(stream: MemoryStream, clock: Clock) -> None:
    """Garbage in its place stops nobody."""
    node = await Node(stream, clock).join()
    await seconds(node, [9] * 310)
    for garbage in (b"", b"\x00", b"garbage", msgspec.msgpack.encode(((5, 5), {"version": 1, "watch": []}))):
        stream._store.risk.spoil("stripe", garbage)
        successor = await Node(stream, clock).join()
        assert successor.scorer.current()


class Unkept(MemoryStream):
    """A stream beside which nothing can be kept."""

    async def keep_risk(self, news: RiskNews) -> None:
        """Keep nothing; see ReadStream."""
        del news
        raise StreamUnavailable("redis_wrong_type", "{events_stream}:assessments is a string")


async def test_what_cannot_be_kept_stops_no_event(clock: Clock, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told, the gauge shows the risk all the same, and the consumer goes on."""
    node = await Node(Unkept(now=clock), clock).join()
    await put(node.stream, *(stored() for _ in range(30)))
    await node.work()
    clock.at += 3
    await node.work()
    await node.scoring.keep()
    assert node.metrics.get(RISK_SCORE, 0) >= 0.8
    assert "risk_not_kept" in capfd.readouterr().err


async def test_without_the_lease_nothing_is_kept(stream: MemoryStream, clock: Clock) -> None:
    """What was said is told again, by whoever holds it."""
    node = await Node(stream, clock).join()
    await put(stream, *(stored() for _ in range(30)))
    await node.work()
    clock.at += 9
    other = await Node(stream.member("two", "two"), clock).join()
    with pytest.raises(LeaseLost):
        await node.scoring.pass_time(node.ledger, int(clock.at * 1000))
    assert await node.log() == []
    await other.work()
    assert [one.band for one in await other.log()] == ["critical"]
