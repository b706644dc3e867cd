"""The requests of a load: distinct valid events, framed exactly."""

import json

import pytest

from payflux.event.decode import decode_event
from payflux.event.example import make_event
from payflux.event.intake import BATCH_PATH, EVENT_PATH, Form
from payflux.load.requests import Requests

EVENT = json.dumps(make_event(event_id="@"))


@pytest.mark.parametrize(
    ("form", "size", "path", "kind"),
    [
        ("single", 1, EVENT_PATH, "application/json"),
        ("array", 3, BATCH_PATH, "application/json"),
        ("ndjson", 3, BATCH_PATH, "application/x-ndjson"),
    ],
)
def test_every_request_has_distinct_events(form: Form, size: int, path: str, kind: str) -> None:
    """Head and announced length fit the body, which holds as many valid events as wanted, each with its own id."""
    requests = Requests(EVENT, "node:8080", "k", size=size, form=form)
    ids = set()
    for _ in range(20):
        head, _, body = requests.next().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        assert first == f"POST {path} HTTP/1.1"
        assert {"Host: node:8080", "Authorization: Bearer k", f"Content-Type: {kind}"} <= set(lines)
        assert f"Content-Length: {len(body)}" in lines
        events = json.loads(body) if form == "array" else [json.loads(line) for line in body.splitlines()]
        assert len(events) == size
        ids |= {decode_event(json.dumps(event).encode()).event_id for event in events}
    assert len(ids) == 20 * size


def test_two_loads_send_no_id_twice() -> None:
    """Each begins anew under a prefix of its own."""
    assert (
        Requests(EVENT, "a", "k", size=1, form="single").next()
        != Requests(EVENT, "a", "k", size=1, form="single").next()
    )
