"""Batches with an event that something before the node refuses: the others are stored, and it alone is refused."""

import json
from collections.abc import Sequence

import pytest

from client_node import KEY, Reply, ThreadNode, problem, thread_node
from payflux.load.attempts import Attempt, Item
from payflux.load.culprits import Culprits
from payflux.load.node_connection import AnswerError
from payflux.load.sender import Sender
from payflux.testing import make_event

ITEMS = [Item(str(number), json.dumps(make_event(channel=f"shop{number}x")).encode()) for number in range(9)]


def refuse(*channels: str, reply: Reply) -> ThreadNode:
    """Not a node but what it does: refuses whatever holds one of these."""

    def fault(_: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        return reply if any(channel.encode() in event for event in events for channel in channels) else None

    return ThreadNode(fault)


@pytest.mark.parametrize(
    ("reply", "verdict", "code"),
    [
        ((403, {}, b"no"), "rejected", "http_403"),
        ((200, {}, b"<html>"), "rejected", "http_200"),
        (problem(500, "internal_error"), "rejected", "internal_error"),
        ((0, {}, b""), "rejected", "no_answer"),
    ],
)
async def test_each_culprit_is_found(reply: Reply, verdict: str, code: str) -> None:
    """Two of nine; an event that gets no answer may be stored, so its attempt is not settled."""
    record: list[Attempt] = []
    with thread_node(refuse("shop2x", "shop8x", reply=reply).fault) as node:
        async with Sender(node.url, [KEY], patience_seconds=0.4, longest_wait_seconds=0.03) as sender:
            assert await Culprits(sender, 30, record.append).send(ITEMS)
        assert len(node.stored) == 7
    fates = {attempt.event_id: attempt for attempt in record}
    assert len(record) == len(fates) == 9
    assert {place for place, attempt in fates.items() if attempt.verdict != "accepted"} == {"2", "8"}
    assert (fates["2"].verdict, fates["2"].code, fates["2"].settled) == (verdict, code, bool(reply[0]))


async def test_what_refuses_everything_refuses_no_event() -> None:
    """Neither a closed way nor a node that cannot store at present."""
    record: list[Attempt] = []
    with thread_node(lambda _, __: (403, {}, b"no")) as node:
        async with Sender(node.url, [KEY], patience_seconds=0.1) as sender:
            with pytest.raises(AnswerError, match="HTTP 403"):
                await Culprits(sender, 0.2, record.append).send(ITEMS)
    assert record == []
    with thread_node(lambda _, events: problem(503, "redis_down") if events else None) as node:
        async with Sender(node.url, [KEY], patience_seconds=1.0, longest_wait_seconds=0.05) as sender:
            assert not await Culprits(sender, 2.0, record.append).send(ITEMS)
    assert {(attempt.verdict, attempt.code) for attempt in record} == {("unknown", "redis_down")}


async def test_a_way_that_opens_before_it_is_asked_about_blames_nobody() -> None:
    """The event was refused, and the question behind it finds the way open: it is sent once more first."""
    record: list[Attempt] = []
    refused = 0

    def fault(_: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        nonlocal refused
        refused += bool(events)
        return (403, {}, b"no") if events and refused == 1 else None

    with thread_node(fault) as node:
        async with Sender(node.url, [KEY], patience_seconds=1.0) as sender:
            assert await Culprits(sender, 5, record.append).send(ITEMS[:1])
        assert len(node.stored) == 1
    assert [attempt.verdict for attempt in record] == ["accepted"]
