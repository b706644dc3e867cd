"""`payflux dlq requeue` and `purge`: dead letters come back exactly once, and go only when told to."""

import json
from typing import Any

import pytest

from nodes import event
from operator_commands import Run, add, bury, canonical, stream
from payflux.event.decode import decode_event
from real_parts import MakeNode
from servers import Server, until


def letters(server: Server) -> list[dict[bytes, bytes]]:
    return stream(server, "events_stream_dlq")


def entries(server: Server) -> list[tuple[int, bytes]]:
    return [(int(fields[b"seq"]), fields[b"data"]) for fields in stream(server, "events_stream")]


def state(server: Server) -> dict[str, Any]:
    """Everything Redis holds that a requeue may touch."""
    client = server.client
    seq = client.hget("{events_stream}:state", "seq") if client.type("{events_stream}:state") == b"hash" else None
    stream = client.xrange("events_stream") if client.type("events_stream") == b"stream" else None
    return {"stream": stream, "dead": client.xrange("events_stream_dlq"), "seq": int(seq or 0)}


def test_requeue_is_a_dry_run_unless_told(run: Run, server: Server) -> None:
    """Without --yes nothing changes, and it says what would be done."""
    bury(server, canonical(), "max_deliveries")
    bury(server, b"junk", "invalid_json")
    before = state(server)
    code, out, err = run("requeue")
    assert "1 would requeue, 1 refused" in out
    assert "--yes" in err
    assert code == 1
    assert run("requeue", "--reason", "max_deliveries")[0] == 0
    assert state(server) == before


def test_requeue_appends_the_same_bytes_with_the_next_number(run: Run, server: Server) -> None:
    """The good ones go back in order and vanish from the dead letters; a second run finds nothing."""
    for seq in (1, 2, 3):
        add(server, seq, canonical())
    good = [canonical(), canonical()]
    for data in good:
        bury(server, data, "max_deliveries")
    code, out, _ = run("requeue", "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"dry_run": False, "requeued": 2, "refused_because": {}})
    assert entries(server)[3:] == [(4, good[0]), (5, good[1])]
    assert letters(server) == []
    assert state(server)["seq"] == 5
    code, out, _ = run("requeue", "--yes")
    assert (code, out) == (0, "no dead letter matches\n")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "invalid_json"),
        (b"junk", "invalid_json"),
        (b"{}", "required"),
        (canonical()[:-1], "invalid_json"),
        (canonical() + b" ", "not_canonical"),
        (json.dumps(event()).encode(), "not_canonical"),
        (canonical(merchant_id_hash="MARK").replace(b"MARK", b"4111 1111 1111 1111"), "pan_detected"),
    ],
)
def test_requeue_refuses_what_is_no_canonical_event(data: bytes, why: str, run: Run, server: Server) -> None:
    """It stays where it is, and the reason is given; a card number never is."""
    entry_id = bury(server, data, "invalid_event")
    before = state(server)
    code, out, _ = run("requeue", "--yes")
    assert code == 1
    assert f"refused {entry_id}" in out
    assert why in out
    assert "4111" not in out
    assert state(server) == before


@pytest.mark.parametrize("arguments", [(), ("--all", "--reason", "a")])
def test_purge_needs_a_filter_or_all(arguments: tuple[str, ...], run: Run, server: Server) -> None:
    """Nobody deletes everything by forgetting something."""
    bury(server, b"x", "a")
    code, _, err = run("purge", "--yes", *arguments)
    assert code == 2
    assert "--all" in err
    assert len(letters(server)) == 1


def test_purge_deletes_what_is_meant(run: Run, server: Server) -> None:
    """Dry without --yes; then exactly the selection."""
    for reason in "aab":
        bury(server, b"x", reason)
    assert "2 would purge" in run("purge", "--reason", "a")[1]
    assert len(letters(server)) == 3
    assert run("purge", "--reason", "a", "--yes")[1] == "2 purged\n"
    assert [fields[b"reason"] for fields in letters(server)] == [b"b"]
    assert run("purge", "--all", "--yes")[1] == "1 purged\n"
    assert letters(server) == []


@pytest.mark.process
def test_a_requeued_event_is_exported_once(run: Run, server: Server, make_node: MakeNode) -> None:
    """A real node gives its line with the next number, and counts no loss and no duplicate."""
    node = make_node()
    first, again, last = event(), event(), event()
    assert node.post(first) == 202
    bury(server, decode_event(json.dumps(again).encode()).data, "max_deliveries")
    assert run("requeue", "--yes")[1] == "1 requeued\n"
    assert node.post(last) == 202
    until(lambda: node.line_count() == 3 and node.drained(), "three lines")
    assert [(line["event_id"], line["seq"]) for line in node.lines()] == [
        (one["event_id"], seq) for seq, one in enumerate((first, again, last), 1)
    ]
    metrics = node.metrics()
    assert sum(value for name, value in metrics.items() if name.startswith("stream_lost_total")) == 0
    assert metrics["dlq_depth"] == 0
