"""The node and its alerting as others see them."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from payflux.checks.deployment import RULES, Answer, judge_alerting, judge_links, judge_node, parse_base


@pytest.mark.parametrize(
    "text", ["", "localhost:8080", "ftp://host", "http://", "http://host/?a=b", "http://ho st", "http://me:pw@host"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """An address has a scheme and a host."""
    with pytest.raises(ValueError, match="an address such as"):
        parse_base(text)


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


LINKS: dict[str, tuple[tuple[str, ...], tuple[str, ...], bool]] = {
    "has scraped no PayFlux": ((), RULES, True),
    "ProcessorRiskCritical is not loaded": (("node:8080",), RULES[:1], True),
    "alerts go to nobody": (("node:8080",), RULES, False),
}


@pytest.mark.parametrize("reason", LINKS)
def test_alerting_fails_where_a_link_is_missing(reason: str) -> None:
    """Nothing scraped, rules not loaded, nobody told: each is named, with a fix."""
    scraped, rules, told = LINKS[reason]
    finding = judge_links(scraped, rules, told=told)
    assert finding.verdict == "fail"
    assert reason in finding.reason
    assert finding.fix
