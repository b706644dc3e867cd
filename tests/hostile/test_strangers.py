"""Entries of strangers: whatever anybody writes into the stream, events come out, and the rest is kept byte by byte."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from events import CANONICAL
from mutations import damaged
from nodes import event
from real_parts import MakeNode
from servers import Server, until
from stream_keys import DEAD_LETTERS, STREAM

pytestmark = pytest.mark.process

DAMAGED = 300
"""Entries that hold a damaged event, in a round."""

FIELDS: list[dict[bytes, bytes]] = [
    {b"a": b"b"},
    {b"": b""},
    {b"seq": b"1"},
    {b"Data": CANONICAL},
    {b"seq": b"9" * 30, b"data": b"x"},
    {b"data": b""},
    {b"data": b"{}"},
    {b"data": b"null"},
    {b"data": b"\xff\x00\xfe"},
    {b"data": b"[" * 20_000},
    {b"data": b"x" * 1_000_000},
    {b"data": b'{"a":"' + b"\xe9" * 1000 + b'"}'},
    {b"data": b"no event", b"seq": b"-1"},
    {b"data": b"no event", b"seq": b""},
    {b"data": b"no event", b"lost_to": b"5"},
    {b"data": b"no event", b"seq": b"1", b"lost_to": b"999999999999"},
    {b"%d" % number: b"x" for number in range(1000)},
]
"""Entries that hold no event, however they are read."""


def written(rng: random.Random, count: int) -> Iterator[dict[bytes, bytes]]:
    """Entries of strangers: of other fields, of no events, and of what once was one."""
    yield from FIELDS
    for body in damaged([CANONICAL], rng, count):
        yield {b"data": body} if rng.random() < 0.9 else {b"data": body, b"seq": b"%d" % rng.randrange(1000)}


@pytest.mark.parametrize("count", [DAMAGED], ids=f"{len(FIELDS) + DAMAGED:,} entries".format)
def test_every_stranger_is_kept_and_every_event_comes_out(
    make_node: MakeNode, server: Server, rng: random.Random, count: int
) -> None:
    """Those among them that are events after all get lines; no other is exported, lost, or keeps the consumer busy."""
    node = make_node({"PAYFLUX_WORKERS": "1", "PAYFLUX_MAX_DELIVERIES": "2"})
    client: Any = server.client
    entries, sent = [*written(rng, count)], []
    for at in range(0, len(entries), 20):
        for fields in entries[at : at + 20]:
            client.xadd(STREAM, fields)
        sent.append(event())
        assert node.post(sent[-1]) == 202
    until(node.drained, "everything to be read", 60)
    until(lambda: {one["event_id"] for one in sent} <= {line["event_id"] for line in node.lines()}, "their lines")
    dead = {fields.get(b"data") for _, fields in client.xrange(DEAD_LETTERS)}
    for fields in FIELDS:
        assert fields.get(b"data", b"") in dead, fields
    lines = [line["event_id"] for line in node.lines()]
    assert client.xlen(DEAD_LETTERS) + len(lines) == len(entries) + len(sent)
    assert [one for one in lines if one in {each["event_id"] for each in sent}] == [one["event_id"] for one in sent]
    for line in node.lines():
        json.dumps(line).encode()
    metrics = node.metrics()
    assert metrics["child_deaths_total"] == metrics["pending_messages"] == 0
    assert node.get("/health") == (200, b"ok\n")


def test_the_documentation_says_how_much_is_tried() -> None:
    """As it is tried in a round."""
    said = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    for number in (len(FIELDS), DAMAGED):
        assert f" {number:,} " in said
