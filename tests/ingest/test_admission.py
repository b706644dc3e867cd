"""Admission: who is let in, by the head of a request, and what the others are told."""

from typing import Any

import pytest

from ingesting import BEARER, JSON, KEYS, Ingestion, dumped
from payflux.event.intake import BATCH_PATH, EVENT_PATH
from payflux.http.limits import BODY_BYTES
from payflux.http.messages import Request, Response

GOOD = dumped()
OTHER_KEY = {**JSON, b"authorization": b"Bearer " + KEYS[1].encode()}
LARGE = str(BODY_BYTES + 1).encode()
BAD_TYPE = {b"content-type": b"text/plain", b"content-encoding": b"gzip"}
BAD_CODING = {b"content-type": b"application/json", b"content-encoding": b"gzip"}
FAULTS: dict[str, tuple[dict[bytes, bytes], int, bytes, int, str]] = {
    "key": (BAD_TYPE, BODY_BYTES + 1, b"{", 401, "unauthorized"),
    "size": (BEARER | BAD_TYPE, BODY_BYTES + 1, b"{", 413, "body_too_large"),
    "type": (BEARER | BAD_TYPE, 1, b"{", 415, "unsupported_media_type"),
    "coding": (BEARER | BAD_CODING, 1, b"{", 415, "unsupported_encoding"),
    "rate": (JSON, 1, b"{", 429, "rate_limited"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", [EVENT_PATH, BATCH_PATH])
def test_the_first_fault_is_the_answer(fault: str, path: str) -> None:
    """Key, size, type and coding, rate, JSON: a request with every later fault is answered for the first."""
    headers, length, body, status, code = FAULTS[fault]
    node = Ingestion(rate=1, burst=1)
    assert node.ask(GOOD).status == 202  # the rate is used up
    answer = node.ask(body, headers, path, announced=length)
    assert (answer.status, answer.code) == (status, code)
    counted = node.counted()
    assert counted.pop(f"ingest_rejected {code}") == 1
    assert counted.pop("auth_denied missing", 0) == (fault == "key")
    assert counted == {"ingest_accepted": 1, "events_by_processor stripe": 1}
    assert len(node.stream.entries) == 1


@pytest.mark.parametrize(
    ("header", "reason"), [(None, "missing"), (b"Bearer x", "invalid"), (b"", "invalid"), (b"Basic x", "invalid")]
)
def test_without_a_key_nothing_else_is_looked_at(header: bytes | None, reason: str) -> None:
    """401 in the same words whatever is wrong with the key, and no event is read."""
    node = Ingestion()
    headers = {b"content-type": b"application/json"} | ({} if header is None else {b"authorization": header})
    answer = node.ask(GOOD, headers)
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "bearer"
    assert answer.body == Ingestion().ask(b"", {}).body
    assert node.counted() == {"ingest_rejected unauthorized": 1, f"auth_denied {reason}": 1}


def test_a_key_in_the_query_is_none() -> None:
    """Keys belong into a header, not into logs of addresses."""
    assert Ingestion().ask(GOOD, {b"content-type": b"application/json"}, query=f"key={KEYS[0]}").status == 401


@pytest.mark.parametrize("length", [BODY_BYTES, None])
def test_a_body_of_the_limit_or_unannounced_is_let_in(length: int | None) -> None:
    """1 MiB is allowed; how long a chunked body becomes is for the server to see."""
    assert Ingestion().ask(GOOD, announced=length).status == 202
    assert Ingestion().ask(GOOD, announced=BODY_BYTES + 1).status == 413


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;a=b"]
)
def test_json_is_json_in_any_spelling(content_type: str) -> None:
    """Letter case and parameters do not matter."""
    assert Ingestion().ask(GOOD, BEARER | {b"content-type": content_type.encode()}).status == 202


@pytest.mark.parametrize(
    "content_type",
    ["", "text/json", "application/x-ndjson", "application/jsonp", "application/json, text/plain", "json", ";", "*/*"],
)
def test_other_types_are_refused(content_type: str) -> None:
    """A single event is `application/json`; 415 says so, in `Accept` too."""
    node = Ingestion()
    answer = node.ask(GOOD, BEARER | {b"content-type": content_type.encode()})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert answer.headers["accept"] == "application/json"
    assert node.ask(GOOD, BEARER).status == 415


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "deflate"])
def test_compressed_bodies_are_refused(coding: str) -> None:
    """Only `identity` is understood, in any letter case."""
    node = Ingestion()
    answer = node.ask(GOOD, {**JSON, b"content-encoding": coding.encode()})
    assert (answer.status, answer.code) == (415, "unsupported_encoding")
    assert answer.headers["accept-encoding"] == "identity"
    assert node.ask(GOOD, {**JSON, b"content-encoding": b"Identity"}).status == 202


def test_requests_that_wait_on_one_connection_keep_their_keys() -> None:
    """When two pipelined requests with two keys are admitted before the first is handled, each pays for itself."""
    node = Ingestion(rate=1, burst=1)
    connection: dict[str, Any] = {}
    requests = [Request("POST", EVENT_PATH, "", headers, dumped(), 1, connection) for headers in (JSON, OTHER_KEY)]
    answers: list[Response] = []
    for request in requests:
        assert node.single.admit(request) is None
    for request in requests:
        node.single.handle(request, answers.append)
    node.stream.work()
    assert [answer.status for answer in answers] == [202, 202]
