"""What handlers say to the server: answers with their heads, and problems."""

import json

import pytest

from payflux.http.messages import NOT_MODIFIED, REASONS, TEXT, Request, Response, problem


def test_a_response_has_a_whole_head() -> None:
    """Status line, type, length and further headers, each line ended; the blank line comes from the tail."""
    answer = Response(200, b"ok", TEXT, [(b"Allow", b"GET"), (b"X", b"1")])
    assert answer.head == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\nAllow: GET\r\nX: 1\r\n"
    )


def test_a_constant_answer_is_joined_once_for_each_tail() -> None:
    """What is sent again and again is the same object until the date changes; nothing of an old tail stays."""
    answer, one, two = Response(202, b"{}"), b"Date: 1\r\n\r\n", b"Date: 2\r\n\r\n"
    assert answer.whole(one) == answer.head + one + b"{}"
    assert answer.whole(one) is answer.whole(one)
    assert answer.whole(two) == answer.head + two + b"{}"


@pytest.mark.parametrize("status", sorted(REASONS.keys() - {NOT_MODIFIED}))
def test_a_problem_is_one_of_rfc_9457(status: int) -> None:
    """Type, title, status, code and detail, then what the problem has of its own."""
    answer = problem(status, "some_code", "what to do", errors=[{"field": "a"}])
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": REASONS[status].decode(),
        "status": status,
        "code": "some_code",
        "detail": "what to do",
        "errors": [{"field": "a"}],
    }
    assert b"Content-Type: application/problem+json\r\n" in answer.head


def test_requests_share_nothing_unless_told_to() -> None:
    """Two requests made without headers and connection have dictionaries of their own."""
    one, two = Request("GET", "/"), Request("GET", "/")
    one.headers[b"a"] = b"1"
    one.connection["a"] = 1
    assert (two.headers, two.connection, two.body_handler) == ({}, {}, None)
