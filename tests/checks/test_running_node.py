"""The node that runs, as its neighbours see it, and servers that are none."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodes import KEY, Node, event
from payflux.checks.alerting import judge_alerting
from payflux.checks.asking import Answer
from payflux.checks.running_node import judge_node
from real_parts import MakeNode
from servers import until


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Some other HTTP server, which says the same to everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_GET  # noqa: N815 - the name is the protocol's

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("answer", [Answer(200, b"hello"), Answer(500, b""), Answer(200, b"[1]"), Answer(202, b"{}")])
def test_another_server_is_not_taken_for_a_node(answer: Answer) -> None:
    """A server that takes events without a key, or tells no export, is none of ours, and none of Prometheus's."""
    with answering(answer) as url:
        found = {finding.check: finding.verdict for finding in judge_node(url)}
        assert found["node_auth"] == found["export"] == "fail"
        assert judge_alerting(url).verdict == "fail"


def test_operators_are_asked_at_their_own_address() -> None:
    """A node may answer metrics elsewhere, and for a token."""
    with answering(Answer(404, b"")) as url, answering(Answer(200, b"payflux_redis_up 1\n")) as admin:
        found = {finding.check: finding.verdict for finding in judge_node(url, admin, "token")}
        assert found["losses"] == "pass"


def test_a_server_that_does_not_speak_http_fails() -> None:
    """Its answer is told, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"-ERR unknown command\r\n")
                    connection.recv(65536)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert [(f.check, f.verdict) for f in judge_node(url)] == [("node", "fail")]
        assert judge_alerting(url).verdict == "fail"
        thread.join()


@pytest.mark.process
def test_what_a_node_lost_and_refused_is_told(make_node: MakeNode, directory: Path) -> None:
    """A directory that went away fails the export, and requests over the rate are counted."""
    logs = directory / "logs"
    logs.mkdir()
    node = make_node(
        {
            "PAYFLUX_EXPORT_MODE": "file",
            "PAYFLUX_EXPORT_FILE": str(logs / "events.jsonl"),
            "PAYFLUX_RATELIMIT_RPS": "1",
            "PAYFLUX_RATELIMIT_BURST": "1",
        }
    )
    logs.rmdir()
    statuses = [node.post(event()) for _ in range(3)]
    assert statuses[0] == 202
    assert 429 in statuses
    until(lambda: _node(node).get("export") == "fail", "the export to fail")
    found = _node(node)
    assert found["export"] == "fail"
    assert found["losses"] == found["rate_limited"] == "warn"
    assert found["node"] == found["node_auth"] == "pass"


@pytest.mark.process
def test_a_key_that_sends_the_same_again_is_named(make_node: MakeNode) -> None:
    """By its place among the keys, once more than a fifth of what it sent was stored already; singly or in batches."""
    node = make_node({"PAYFLUX_API_KEYS": f"another-key,{KEY}"})
    events = [event() for _ in range(120)]
    node.post_batch(events)
    assert "duplicates" not in _node(node)
    node.post_batch(events[:40])
    for one in events[:10]:
        node.post(one)
    [found] = [one for one in judge_node(f"http://127.0.0.1:{node.port}") if one.check == "duplicates"]
    assert (found.verdict, found.reason) == (
        "warn",
        "50 of 170 events of key 2 were duplicates since the node started",
    )
    assert [name for name in node.metrics() if "ingest_key_events" in name] == ['ingest_key_events_total{key="2"}']


def _node(node: Node) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in judge_node(f"http://127.0.0.1:{node.port}")}
