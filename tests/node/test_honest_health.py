"""A node says 503 whenever a 202 could not be given, or nothing that was accepted comes out; and why."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from nodes import Node, event
from payflux.redis.append import mark_of
from real_parts import MakeNode
from servers import Server, until
from stream_keys import DEAD_LETTERS, KEYS, LEASE, LEDGER, STATE, STREAM

LAST = "18446744073709551615-18446744073709551615"
Spoil = Callable[[Any], object]


def refusal(node: Node, path: str) -> tuple[str, str]:
    """Code and detail of a 503; empty when it is a 200."""
    status, body = node.get(path)
    assert status in (200, 503)
    told = json.loads(body) if status == 503 else {"code": "", "detail": ""}
    return told["code"], told["detail"]


def becomes(node: Node, path: str, code: str, about: str = "") -> None:
    """Wait until it answers so."""
    until(lambda: (told := refusal(node, path))[0] == code and about in told[1], f"{path} to say {code or 'ok'}")


def of_another_type(key: str) -> Spoil:
    """Puts somebody's text where one of our keys was."""

    def spoil(client: Any) -> None:
        if client.exists(key):
            client.rename(key, "kept")
        client.set(key, "mine")

    return spoil


def given_back(key: str) -> Spoil:
    """Undoes it."""

    def mend(client: Any) -> None:
        client.delete(key)
        if client.exists("kept"):
            client.rename("kept", key)

    return mend


ALL_BUT_STATE = [f"~{start}*" for start in (STREAM, KEYS.marks, LEASE, LEDGER, "{events_stream}:consumer")]
UNWRITABLE: dict[str, tuple[Spoil, Spoil, str, str]] = {
    "stream": (of_another_type(STREAM), given_back(STREAM), "redis_wrong_type", STREAM),
    "state": (of_another_type(STATE), given_back(STATE), "redis_wrong_type", STATE),
    "rights": (
        lambda client: client.execute_command("ACL", "SETUSER", "default", "resetkeys", *ALL_BUT_STATE),
        lambda client: client.execute_command("ACL", "SETUSER", "default", "allkeys"),
        "redis_forbidden",
        STATE,
    ),
    "layers": (
        lambda client: client.hset(STATE, "layers", "x"),
        lambda client: client.hdel(STATE, "layers"),
        "redis_bad_value",
        STATE,
    ),
    "replicas": (
        lambda client: client.config_set("min-replicas-to-write", 1),
        lambda client: client.config_set("min-replicas-to-write", 0),
        "redis_replicas",
        "min-replicas-to-write",
    ),
}


@pytest.mark.process
def test_it_is_unready_while_no_event_could_be_stored(make_node: MakeNode, server: Server) -> None:
    """Each time POST, readiness, health and the metric tell the same reason, and it passes with its cause."""
    node = make_node()
    assert node.post(event()) == 202
    for spoil, mend, code, about in UNWRITABLE.values():
        spoil(server.client)
        becomes(node, "/readyz", code, about)
        assert node.post(event()) == 503
        becomes(node, "/health", code, about)
        until(lambda code=code: node.metrics().get(f'unready{{reason="{code}"}}') == 1, "the metric")  # type: ignore[misc]
        mend(server.client)
        becomes(node, "/readyz", "")
        assert node.post(event()) == 202
        becomes(node, "/health", "")


@pytest.mark.process
def test_the_last_id_and_a_spoilt_set_of_marks(make_node: MakeNode, server: Server) -> None:
    """What only the next event, or one event among thousands, would meet."""
    client: Any = server.client
    node = make_node()
    one = event()
    assert node.post(event()) == 202
    key = f"{KEYS.marks}1:{mark_of(bytes.fromhex(one['event_id'].replace('-', '')))[:3]}"
    client.delete(key)
    client.set(key, "mine")
    assert node.post(one) == 503
    becomes(node, "/readyz", "redis_wrong_type", key)
    client.delete(key)
    becomes(node, "/readyz", "")
    assert node.post(one) == 202
    client.xadd(STREAM, {"data": "{}"}, id=LAST)
    becomes(node, "/readyz", "redis_exhausted", STREAM)
    assert node.post(event()) == 503


@pytest.mark.process
@pytest.mark.parametrize("key", [LEASE, LEDGER])
def test_it_is_unhealthy_and_ready_while_nothing_can_come_out(key: str, make_node: MakeNode, server: Server) -> None:
    """Events are taken in and wait; health names the key, and all of them come out when it is given back."""
    node = make_node()
    assert node.post(event()) == 202
    until(lambda: node.line_count() == 1, "a line")
    client: Any = server.client
    client.delete(key)
    client.rpush(key, "mine")
    becomes(node, "/health", "redis_wrong_type", key)
    assert refusal(node, "/readyz") == ("", "")
    assert node.post(event()) == 202
    until(lambda: node.metrics()["consumer_stalled"] == 1, "the metric")
    client.delete(key)
    becomes(node, "/health", "")
    until(lambda: node.line_count() == 2, "the other line")


@pytest.mark.process
def test_it_is_unhealthy_while_events_wait_and_nobody_commits(make_node: MakeNode, server: Server) -> None:
    """A consumer that turns and may not commit: by the oldest entry's age, with what the consumer meets."""
    node = make_node()
    client: Any = server.client
    assert node.post(event()) == 202
    until(lambda: node.line_count() == 1, "a line")
    client.execute_command("ACL", "SETUSER", "default", "-xgroup")
    assert node.post(event()) == 202
    assert refusal(node, "/health")[0] == ""
    becomes(node, "/health", "consumer_stalled", "redis_forbidden")
    assert refusal(node, "/readyz") == ("", "")
    assert node.metrics()['unready{reason="consumer_stalled"}'] == node.metrics()["consumer_stalled"] == 1
    client.execute_command("ACL", "SETUSER", "default", "+xgroup")
    becomes(node, "/health", "")
    until(lambda: node.line_count() == 2, "the other line")


@pytest.mark.process
def test_a_dead_letter_stream_of_another_type_holds_nobody_up(make_node: MakeNode, server: Server) -> None:
    """What is invalid stays pending until the key is given back; what is valid comes out, and the metric tells."""
    node = make_node()
    client: Any = server.client
    client.set(DEAD_LETTERS, "mine")
    client.xadd(STREAM, {"data": "rubbish", "seq": 1})
    sent = [event() for _ in range(20)]
    assert [node.post(one) for one in sent] == [202] * 20
    until(lambda: node.line_count() == 20, "the lines")
    until(lambda: node.metrics()["dlq_refused"] == 1, "the metric")
    assert refusal(node, "/health") == ("", "")
    client.delete(DEAD_LETTERS)
    until(lambda: client.xlen(DEAD_LETTERS) == 1, "the dead letter")
    until(lambda: node.metrics()["dlq_refused"] == 0, "the metric again")
