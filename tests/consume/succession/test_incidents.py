"""Incidents between the scorer and the stream: told once, by whoever holds the lease, whatever happened to Redis."""

import json
from collections.abc import Sequence

import msgspec
import pytest

from consumer_parts import Clock
from payflux.errors import StreamUnavailable
from payflux.risk.judge import Limits
from payflux.stream.deliveries import IncidentNews, Told
from payflux.testing import MemoryStream
from scoring_node import Node, seconds

TROUBLE = [0] * 10 + [9] * 12
END = [9] * 3 + [0] * 70
LIMITS = Limits(hold_sec=20)
SNAPSHOTS = 100  # one after every 25 entries


def news(stream: MemoryStream) -> list[tuple[str, str]]:
    """What was told, and of which incident."""
    return [(one.kind, one.id) for one in stream._store.risk.changes]


def kinds(stream: MemoryStream) -> list[str]:
    """What was told."""
    return [kind for kind, _ in news(stream)]


async def begun(stream: MemoryStream, clock: Clock) -> Node:
    """A node that has taken over."""
    return await Node(stream, clock, SNAPSHOTS, LIMITS).join()


async def test_an_incident_is_told_as_it_opens_and_as_it_ends(stream: MemoryStream, clock: Clock) -> None:
    """In the record are its numbers, which get newer while it is open."""
    node = await begun(stream, clock)
    await seconds(node, TROUBLE)
    ((_, record),) = (await stream.incidents()).open.items()
    found = json.loads(record)
    assert (found["processor"], found["driver"], found["state"]) == ("stripe", "high_failure_rate", "open")
    assert found["payments_affected"] > 50
    await seconds(node, END)
    assert [kind for kind in kinds(stream) if kind != "worsened"] == ["opened", "resolved"]
    assert (await stream.incidents()).open == {}


@pytest.mark.parametrize("deaths", [[12, 13, 20], [11, 22, 24, 50, 90], list(range(11, 30))])
async def test_successors_double_and_lose_nothing(stream: MemoryStream, clock: Clock, deaths: Sequence[int]) -> None:
    """However often a consumer dies amid an incident, with a batch read and not committed, it is the same one."""
    alone_clock = Clock()
    alone = await begun(MemoryStream(now=alone_clock), alone_clock)
    traffic = TROUBLE + END
    await seconds(alone, traffic)
    node, done = await begun(stream, clock), 0
    for death in [*deaths, len(traffic)]:
        await seconds(node, traffic[done:death])
        await node.work(commit=False)
        node, done = await begun(stream, clock), death
    assert news(stream) == news(alone.stream)
    assert kinds(stream).count("opened") == kinds(stream).count("resolved") == 1


class Forgetful(MemoryStream):
    """A stream whose server forgets what it was told last."""

    async def keep_incidents(self, told: Sequence[Told]) -> None:
        """Keep nothing; see ReadStream."""
        del told


async def test_what_redis_forgot_is_told_again(stream: MemoryStream, clock: Clock) -> None:
    """After any doubt, and nothing that it still knows is doubled."""
    node = await begun(stream, clock)
    node.scoring._incidents._stream = forgetful = Forgetful(now=clock)  # type: ignore[union-attr]
    await seconds(node, TROUBLE)
    assert (forgetful._store.risk.changes, kinds(stream)) == ([], [])
    node.scoring._incidents._stream = stream  # type: ignore[union-attr]
    for _ in range(2):
        node.scoring.doubt()
        await seconds(node, [9] * 2)
        assert kinds(stream).count("opened") == 1


class Refusing(MemoryStream):
    """A stream beside which no incident can be kept."""

    async def keep_incidents(self, told: Sequence[Told]) -> None:
        """Keep nothing; see ReadStream."""
        del told
        raise StreamUnavailable("redis_wrong_type", "{events_stream}:incidents is a string")


async def test_what_cannot_be_kept_stops_no_event(clock: Clock, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told in the log, waits, and events come out."""
    node = await begun(Refusing(now=clock), clock)
    await seconds(node, TROUBLE)
    assert len(node.lines) == len(TROUBLE) + 9 * 12
    assert "incidents_not_kept" in capfd.readouterr().err


async def test_an_incident_nobody_follows_any_more_is_ended(stream: MemoryStream, clock: Clock) -> None:
    """As when the snapshot it stood in cannot be read: it does not stay open for ever."""
    node = await begun(stream, clock)
    await seconds(node, TROUBLE)
    lost = {"id": "adyen-1-aa", "processor": "adyen", "state": "open"}
    change = IncidentNews("opened", "adyen", "adyen-1-aa", msgspec.json.encode(lost))
    await stream.keep_incidents([Told(int(clock.at), (await stream.incidents()).state, [change])])
    clock.at += 2
    successor = await begun(stream, clock)
    await seconds(successor, [9] * 2)
    assert news(stream)[-1] == ("resolved", "adyen-1-aa")
    assert len((await stream.incidents()).open) == 1


async def test_a_state_nobody_can_read_stops_nobody(
    stream: MemoryStream, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was told stays told."""
    node = await begun(stream, clock)
    await seconds(node, TROUBLE)
    await stream.keep_incidents([Told(int(clock.at), b"garbage")])
    successor = await begun(stream, clock)
    await seconds(successor, END)
    assert [kind for kind in kinds(stream) if kind != "worsened"] == ["opened", "resolved"]
    assert "incidents_unreadable" in capfd.readouterr().err
