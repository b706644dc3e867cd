"""Attempts: what each answer says of the events that were sent."""

import pytest

from one_answer import once, one_answer
from payflux.load.node_connection import AnswerError


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok",
        b'HTTP/1.1 202 Accepted\r\nContent-Length: 18\r\n\r\n{"status":"maybe"}',
        b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
async def test_unexpected_answers_fail(answer: bytes) -> None:
    """What no node says is an error, not a count."""
    with pytest.raises(AnswerError):
        await one_answer(once, answer)


@pytest.mark.parametrize(
    "body",
    [
        b'{"accepted":1,"duplicates":0,"rejected":0,"results":[]}',
        b'{"accepted":1,"duplicates":0,"rejected":0,"results":[{"index":1,"status":"accepted"}]}',
        b'{"accepted":0,"duplicates":0,"rejected":0,"results":[{"index":0,"status":"accepted"}]}',
        b'{"accepted":1,"duplicates":0,"rejected":0,"results":[{"index":0,"status":"fine"}]}',
        b"[]",
    ],
)
async def test_a_batch_answer_must_account_for_every_event(body: bytes) -> None:
    """Missing, misplaced or miscounted results are unexpected answers."""
    with pytest.raises(AnswerError):
        await one_answer(once, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), "array")


async def test_a_202_without_a_body_is_stored() -> None:
    """Whether it was a duplicate is then unknown, and the record does not pretend otherwise."""
    (attempt,) = await one_answer(once, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    assert (attempt.verdict, attempt.settled) == ("stored", True)
