"""Events as the client encodes them: what is missing is filled in, and each is one line."""

import json
import re
import time
import uuid
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from client_node import KEY, thread_node
from payflux.client import Client
from payflux.client.event import encode, finished
from payflux.event.decode import decode_event
from payflux.testing import make_event


def test_what_is_missing_is_filled_in() -> None:
    """An id and the time of sending are added to members and to JSON, and what was given is not changed."""
    bare = {"event_type": "payment_failed", "processor": "stripe"}
    before = time.time()
    with thread_node() as node, Client(node.url, KEY) as client:
        client.send(bare)
        client.send(json.dumps(bare, indent=2).encode())
        client.send(b'{"event_type":"x","processor":"p","event_id":"%s"}' % str(uuid.uuid4()).encode())
        assert client.flush(10)
        assert client.counts().accepted == len(node.stored) == 3
        stamps = [json.loads(body)["event_timestamp"] for body in node.stored.values()]
    assert bare == {"event_type": "payment_failed", "processor": "stripe"}
    sent = [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]
    assert before - 0.001 <= min(sent) <= max(sent) <= time.time()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp) for stamp in stamps)


@given(st.sets(st.sampled_from(["event_id", "event_timestamp"])), st.booleans(), st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_what_is_encoded_is_one_line_with_both_members(missing: set[str], pretty: bool, text: str) -> None:
    """Members and JSON give the same event, on one line, whatever is in it."""
    event = {name: value for name, value in make_event(channel=text).items() if name not in missing}
    for given_as in (event, json.dumps(event, indent=2 if pretty else None).encode()):
        waiting = encode(given_as)
        body = finished(waiting)
        assert len(body) == len(waiting)
        assert finished(body) == body
        assert b"\n" not in body
        read = json.loads(body)
        assert uuid.UUID(read["event_id"]).version == 4
        assert read == event | {name: read[name] for name in ("event_id", "event_timestamp")}
    assert decode_event(finished(encode(make_event(channel="web")))).processor == "stripe"


def test_ids_made_are_different() -> None:
    """No two of many ids are the same, and each is a UUID version 4."""
    ids = {json.loads(finished(encode(one)))["event_id"] for one in [{}, {"processor": "p"}] for _ in range(2500)}
    assert len(ids) == 5000
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids)
