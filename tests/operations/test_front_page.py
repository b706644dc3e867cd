"""`/`: a page for browsers, JSON for programs, and every path of the node on both."""

import json
import re
from xml.etree import ElementTree as ET

import pytest

from payflux.http.messages import Request, Response
from payflux.operations.front_page import PATH, route

ROUTES = ("/v1/events/payment_exhaust", "/health", "/v1/risk/{processor}", "/metrics")
BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def asked(accept: bytes | None) -> Response:
    """What is answered."""
    (handler,) = route(ROUTES)[PATH].values()
    request = Request("GET", PATH, headers={} if accept is None else {b"accept": accept})
    assert handler.admit(request) is None
    answers: list[Response] = []
    handler.handle(request, answers.append)
    (answer,) = answers
    return answer


def test_a_browser_gets_a_page_with_links() -> None:
    """Well-formed; what can be followed is a link, what takes a POST or a name is not."""
    answer = asked(BROWSER)
    text = answer.body.decode()
    assert b"Content-Type: text/html; charset=utf-8\r\n" in answer.head
    assert b"Vary: Accept\r\n" in answer.head
    ET.fromstring(re.sub(r"<(meta [^>]*|br)>", r"<\1/>", text.partition("\n")[2]))  # noqa: S314 - our own
    assert re.findall(r'href="([^"]+)"', text) == ["/health", "/metrics", "/openapi.json"]
    assert "payment-traffic observability buffer" in text
    assert "POST /v1/events/payment_exhaust" in text


@pytest.mark.parametrize("accept", [None, b"*/*", b"application/json"])
def test_a_program_gets_json(accept: bytes | None) -> None:
    """Every path with what it is for."""
    answer = asked(accept)
    assert b"Content-Type: application/json\r\n" in answer.head
    told = json.loads(answer.body)
    assert told["service"] == "payflux"
    assert set(told["paths"]) == {
        f"{'POST' if 'events' in path else 'GET'} {path}" for path in (*ROUTES, "/openapi.json")
    }
    assert all(told["paths"].values())
