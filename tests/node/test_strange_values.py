"""What somebody else writes into keys of ours kills no process, sets no event aside, counts none as lost."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from nodes import Node, event
from real_parts import MakeNode
from servers import Server, until
from stream_keys import DEAD_LETTERS, LEDGER, STATE, STREAM

HUGE = "18446744073709551615-18446744073709551615"
VALUES = {
    "last_id": ["rubbish", "-5", "1.5", "1" * 400, "99999999999999999999-0", HUGE, "", "\x00"],
    "last_seq": ["many", "-5", "1.5", "1" * 400, "9999999999999999", "1e300", "", "2"],
    "left": ["rubbish", "-5", "1.5", "1" * 400, HUGE, "1-1 x", "0-0  0-0"],
    "acked": ["many", "-5", "1.5", "9999999999999999", "9223372036854775807", ""],
}


def exported(node: Node) -> list[str]:
    """The ids of the lines, in order."""
    return [line["event_id"] for line in node.lines()]


def send(node: Node, count: int) -> list[str]:
    """Post so many events, all of them accepted; their ids."""
    events = [event() for _ in range(count)]
    _, answer = node.post_batch(events)
    assert answer["accepted"] == count, answer
    return [one["event_id"] for one in events]


def come_out(node: Node, sent: Sequence[str]) -> None:
    """Wait until there is a line for each of them."""
    until(lambda: node.line_count() >= len(sent), f"{len(sent)} lines")


def deaths(node: Node) -> float:
    """Processes of the node that died."""
    return node.metrics()["child_deaths_total"]


def lost(node: Node) -> float:
    """Events that were counted as lost."""
    return sum(value for name, value in node.metrics().items() if name.startswith("stream_lost_total"))


# A consumer that begins reads them as one that runs does: tried now and then.
_CASES = [
    *itertools.product(VALUES, [""]),
    *(pytest.param(*case, marks=pytest.mark.thorough) for case in itertools.product(VALUES, ["even", "odd"])),
]


@pytest.mark.process
@pytest.mark.parametrize(("field", "killed"), _CASES)
def test_strange_values_in_the_ledger(field: str, killed: str, make_node: MakeNode, server: Server) -> None:
    """Whatever stands there, while a consumer runs and when one begins: each event comes out once, and none is lost."""
    values = VALUES[field][killed == "odd" :: 2 if killed else 1]  # a node whose processes die five times gives up
    client: Any = server.client
    node = make_node()
    sent = send(node, 10)
    for value in values:
        come_out(node, sent)
        client.hset(LEDGER, field, value)
        if killed:
            node.kill_child("consumer")
        sent += send(node, 10)
    come_out(node, sent)
    until(lambda: node.get("/health")[0] == 200, "health")
    assert exported(node) == sent
    assert deaths(node) == (len(values) if killed else 0)
    assert (lost(node), client.exists(DEAD_LETTERS)) == (0, 0)


@pytest.mark.process
def test_strange_numbers_in_the_state(make_node: MakeNode, server: Server) -> None:
    """The stream tells which number is the last, and the log which value was no number."""
    client: Any = server.client
    node = make_node()
    sent = send(node, 10)
    for value in ("many", "-5", "1.5", "1" * 400, "1e300", "inf", "nan", ""):
        client.hset(STATE, "seq", value)
        sent += send(node, 10)
    client.hdel(STATE, "seq")
    sent += send(node, 10)
    come_out(node, sent)
    assert exported(node) == sent
    assert [line["seq"] for line in node.lines()] == [*range(1, len(sent) + 1)]
    assert (deaths(node), lost(node), client.exists(DEAD_LETTERS)) == (0, 0, 0)
    assert [line["value"] for line in node.logged("state_rebuilt")][:3] == ["many", "-5", "1.5"]


@pytest.mark.process
def test_a_lease_that_never_expires(make_node: MakeNode, server: Server) -> None:
    """Nobody of ours makes one: it is given the time of one, and then the stream is consumed."""
    client: Any = server.client
    node = make_node()
    sent = send(node, 5)
    come_out(node, sent)
    client.set("{events_stream}:lease", "somebody")
    sent += send(node, 5)
    come_out(node, sent)
    assert exported(node) == sent
    assert client.xlen(STREAM) == len(sent)
