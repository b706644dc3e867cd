"""Answers: what a producer is told of a bad event, and when it may try again."""

from ingesting import Ingestion, dumped

GOOD = dumped()


def test_every_bad_field_is_named() -> None:
    """`errors` holds field, code and message of each, the message is the detail, and nothing is stored."""
    node = Ingestion()
    answer = node.ask(dumped(event_id="not-a-uuid", processor="No Slug", retry_count=101, geo_bucket=7))
    assert (answer.status, answer.code) == (400, "invalid_event")
    assert [(error["field"], error["code"]) for error in answer.json["errors"]] == [
        ("event_id", "invalid_uuid"),
        ("processor", "invalid_processor"),
        ("retry_count", "out_of_range"),
        ("geo_bucket", "type"),
    ]
    assert all(set(error) == {"field", "code", "message"} for error in answer.json["errors"])
    assert all(error["message"] in answer.json["detail"] for error in answer.json["errors"])
    assert b"event_id must be valid UUID" in answer.body
    assert b"not-a-uuid" not in answer.body
    assert node.stream.entries == []
    assert node.counted() == {"ingest_rejected invalid_event": 1}


def test_an_unavailable_stream_is_503_and_may_be_tried_again() -> None:
    """503 says why by its code, when to come again, and nothing of the server's own words."""
    node = Ingestion()
    node.stream.room = 0
    answer = node.ask(GOOD)
    assert (answer.status, answer.code) == (503, "redis_down")
    assert answer.headers["retry-after"] == "1"
    assert b"connection refused" not in answer.body
    assert node.counted() == {"ingest_rejected unavailable": 1}
    node.stream.room = 1
    assert node.ask(GOOD).json == {"status": "accepted"}
