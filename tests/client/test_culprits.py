"""What something between client and node refuses: the event that is the reason stops none of the others."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from client_node import KEY, Fault, Reply, ThreadNode, exact, problem, thread_node
from payflux.client import Client, Rejected, worker
from payflux.client.batch_result import LASTING
from payflux.testing import make_event
from servers import until

CURL = "issuer; curl -s x"
"""A word that firewalls refuse, in a member that may hold any text."""

PAGE = b"<html><body><h1>Request blocked</h1></body></html>"


def firewall(reply: Reply) -> Fault:
    """Refuses whatever holds that word."""

    def refuse(_: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        return reply if any(CURL.encode() in event for event in events) else None

    return refuse


REFUSALS = [
    ((403, {}, PAGE), "http_403"),
    ((301, {"Location": "https://waf.example/blocked"}, b""), "http_301"),
    ((406, {}, b""), "http_406"),
    ((400, {}, PAGE), "http_400"),
    ((502, {}, PAGE), "http_502"),
    ((200, {}, PAGE), "http_200"),
    (problem(500, "internal_error"), "internal_error"),
    ((0, {}, b""), "no_answer"),
]


@pytest.mark.parametrize(("reply", "code"), REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
def test_one_event_that_a_proxy_refuses_stops_no_other(reply: Reply, code: str) -> None:
    """It is found, counted with the reason and told; all the others are stored."""
    told: list[Rejected] = []
    events = [make_event(failure_category=CURL if number == 57 else "issuer") for number in range(101)]
    with thread_node(firewall(reply)) as node, Client(node.url, KEY, on_rejected=told.append) as client:
        for event in events:
            client.send(event)
        assert client.flush(60)
        counts = client.counts()
        assert (counts.accepted, counts.rejected) == (100, {code: 1})
        assert exact(counts)
        assert list(node.stored) == [event["event_id"] for event in events if event is not events[57]]
        until(lambda: len(told) == 1, "the callback")
    assert told[0].code == code
    assert str(events[57]["event_id"]).encode() in told[0].event
    assert told[0].messages[0].startswith("refused on its way to the node: ")


def test_it_is_found_among_those_of_the_spool_too(tmp_path: Path) -> None:
    """What waited on disk while the node was away is judged the same."""
    blocking = firewall((403, {}, PAGE))
    away = True

    def fault(node: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        return problem(503, "redis_down") if away else blocking(node, events)

    with thread_node(fault) as node, Client(node.url, KEY, spool=tmp_path) as client:
        for number in range(40):
            client.send(make_event(failure_category=CURL if number in (3, 30) else "issuer"))
        until(lambda: client.counts().spooled == 40, "all of them in the spool")
        away = False
        assert client.flush(60)
        assert client.counts().rejected == {"http_403": 2}
        assert client.counts().accepted == len(node.stored) == 38
        assert exact(client.counts())


@pytest.mark.parametrize(
    "reply",
    [
        (403, {}, PAGE),
        (301, {"Location": "https://elsewhere.example/"}, b""),
        problem(401, "unauthorized"),
        problem(404, "not_found"),
        (502, {}, PAGE),
        problem(503, "redis_down"),
    ],
)
def test_what_refuses_everything_only_makes_it_wait(reply: Reply) -> None:
    """A wrong key, a wrong address or a closed way cost no event, however often they are the answer."""
    tries = 0
    closed = True

    def fault(_: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        nonlocal tries
        tries += bool(events)
        return reply if closed else None

    with thread_node(fault) as node, Client(node.url, KEY) as client:
        client.send(make_event())
        until(lambda: tries > LASTING, "more tries than a culprit gets")
        assert client.counts().outstanding == 1
        closed = False
        assert client.flush(20)
        assert client.counts().accepted == len(node.stored) == 1


def test_a_way_that_opens_before_it_is_asked_about_blames_nobody() -> None:
    """The event was refused, and the question behind it finds the way open: it is sent once more first."""
    refused = False

    def fault(_: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        nonlocal refused
        if refused or not events:
            return None
        refused = True
        return problem(404, "not_found")

    with thread_node(fault) as node, Client(node.url, KEY) as client:
        client.send(make_event())
        assert client.flush(20)
        assert refused
        assert client.counts().accepted == len(node.stored) == 1


def test_what_a_node_cannot_take_now_is_never_blamed() -> None:
    """Redis is down, and the node answers a batch without events all the same: that says nothing of the events."""
    tries = 0

    def fault(_: ThreadNode, events: Sequence[bytes]) -> Reply | None:
        nonlocal tries
        tries += bool(events)
        return problem(503, "redis_down") if events and tries <= LASTING + 2 else None

    with thread_node(fault) as node, Client(node.url, KEY) as client:
        client.send(make_event())
        assert client.flush(30)
        assert client.counts().accepted == len(node.stored) == 1
        assert not client.counts().rejected


def test_that_nothing_is_taken_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, and again while it lasts."""

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    tried: Callable[[ThreadNode], bool] = lambda node: len(node.batches) >= 4  # noqa: E731
    with thread_node(lambda _, __: (403, {}, PAGE)) as node, Client(node.url, KEY) as client:
        client.send(make_event())
        until(lambda: tried(node), "several tries")
        assert [text.endswith("takes no events: HTTP 403") for text in warnings()] == [True]
        monkeypatch.setattr(worker, "SAY_SECONDS", 0.0)
        client._core.worker._say_at = time.monotonic()
        until(lambda: len(warnings()) > 2, "further warnings")
        client.close(0)
