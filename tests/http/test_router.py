"""The router: which handler gets a request, and what is answered when none does."""

import json

import pytest

from payflux.http.messages import Request, Respond, Response
from payflux.http.router import Router

REFUSED = Response(401)


class Named:
    """A handler that answers with its name and refuses requests with a `no` in the query."""

    def __init__(self, name: str) -> None:
        self.name = name

    def admit(self, request: Request) -> Response | None:
        """Refuse by query."""
        return REFUSED if request.query == "no" else None

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer with the name and the method."""
        respond(Response(200, f"{self.name} {request.method}".encode()))


ROUTER = Router(
    {
        "/events": {"POST": Named("send")},
        "/health": {"GET": Named("health")},
        "/named/{name}": {"GET": Named("one")},
        "/both": {"GET": Named("show"), "POST": Named("change")},
    }
)


def answered(method: str, path: str) -> bytes:
    """The body of the answer to an admitted request."""
    request = Request(method, path)
    assert ROUTER.admit(request) is None
    answers: list[Response] = []
    ROUTER.handle(request, answers.append)
    (answer,) = answers
    return answer.body


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/events", b"send POST"),
        ("GET", "/health", b"health GET"),
        ("HEAD", "/health", b"health HEAD"),
        ("GET", "/both", b"show GET"),
        ("POST", "/both", b"change POST"),
        ("GET", "/named/stripe", b"one GET"),
        ("HEAD", "/named/%2e", b"one HEAD"),
    ],
)
def test_a_request_goes_to_the_handler_of_its_path_and_method(method: str, path: str, name: bytes) -> None:
    """GET's handler gets HEAD too."""
    assert answered(method, path) == name


def test_the_handler_judges_what_the_router_admits() -> None:
    """The handler's refusal is the router's."""
    assert ROUTER.admit(Request("GET", "/health", "no")) is REFUSED


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "*",
        "/Events",
        "/events/",
        "//events",
        "/events;a",
        "/%65vents",
        "/events%2f",
        "/events/x",
        "/e" * 4000,
        "/named/",
        "/named/a/b",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "FOO"])
def test_any_other_path_is_not_found(path: str, method: str) -> None:
    """A path is exact: no other case, no slash more, nothing decoded."""
    response = ROUTER.admit(Request(method, path))
    assert response is not None
    assert response.status == 404
    assert json.loads(response.body)["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/events", "POST"), ("/health", "GET, HEAD"), ("/both", "GET, HEAD, POST"), ("/named/x", "GET, HEAD")],
)
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "post", "get", "FOO", "X" * 8192])
def test_another_method_is_told_which_ones_there_are(path: str, allowed: str, method: str) -> None:
    """405 with `Allow` and a problem that repeats nothing of the request."""
    response = ROUTER.admit(Request(method, path))
    assert response is not None
    assert response.status == 405
    assert f"Allow: {allowed}\r\n".encode() in response.head
    assert json.loads(response.body)["code"] == "method_not_allowed"
    assert method.encode() not in response.body
