"""Single events: what is answered, in which order things are checked, and what is counted."""

import json
from typing import Any

import pytest

from ingesting import JSON, KEYS, PAN, Ingestion, dumped, payment
from payflux.event.decode import decode_event
from payflux.event.intake import EVENT_PATH
from payflux.event.rules import CODES
from payflux.http.messages import Request, Response
from payflux.ingest.single import TOGETHER

GOOD = dumped()
OTHER_KEY = {**JSON, b"authorization": b"Bearer " + KEYS[1].encode()}


def test_an_event_is_stored_once() -> None:
    """202 for the event, 202 for the same once more, in another spelling of its id too; one entry, each counted."""
    node = Ingestion()
    event = payment(processor="adyen", unknown="dropped")
    for spelling in (event, event, event | {"event_id": event["event_id"].upper()}):
        answer = node.ask(json.dumps(spelling).encode())
        assert answer.status == 202
        assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"status": "duplicate"}
    (entry,) = node.stream.entries
    assert json.loads(entry)["event_id"] == event["event_id"]
    assert b"unknown" not in entry
    assert node.counted() == {"ingest_accepted": 1, "ingest_duplicate": 2, "events_by_processor adyen": 1}


# the order of the checks: each request has the fault and every later one


def test_json_is_judged_before_the_event_and_the_event_last() -> None:
    """A body that is no JSON is that, whatever its members; after the wait for the rate both are judged."""
    node = Ingestion(rate=1, burst=1)
    for body, code in ((b'{"event_id":"x"', "invalid_json"), (b"{}", "invalid_event")):
        answer = node.ask(body)
        assert (answer.status, answer.code) == (400, code)
        assert node.ask(body).code == "rate_limited"
        node.clock.time += 1


# the rate


def test_one_connection_can_use_all_of_a_rate() -> None:
    """A burst passes on one connection, the next event waits for as long as it is told, rounded up."""
    node = Ingestion(rate=1, burst=50)
    connection: dict[str, Any] = {}
    assert [node.ask(dumped(), connection=connection).status for _ in range(51)] == [202] * 50 + [429]
    node.clock.time += 0.5
    answer = node.ask(dumped(), connection=connection)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "rate_limited", "1")
    assert node.ask(dumped(), OTHER_KEY).status == 202
    node.clock.time += 0.5
    assert node.ask(dumped(), connection=connection).status == 202
    assert node.counted()["ingest_rejected rate_limited"] == 2


def test_refused_events_cost_the_rate_too() -> None:
    """What is not JSON has to be read as well."""
    node = Ingestion(rate=1, burst=2)
    assert [node.ask(b"{").status for _ in range(3)] == [400, 400, 429]


# events that arrive together


def canonical(**members: object) -> bytes:
    """An event that is stored as it is sent."""
    return decode_event(dumped(**members)).data


def test_each_of_many_gets_its_own_answer() -> None:
    """Whatever else arrives in the same turn: stored, known, refused; and all of it is counted."""
    node = Ingestion()
    known = canonical()
    assert node.ask(known).status == 202
    plain = [canonical(processor="adyen") for _ in range(TOGETHER)]
    assert {a.json["status"] for a in node.ask_together([(body, JSON) for body in plain])} == {"accepted"}
    mixed = [canonical(), known, b"{", dumped(), *plain, canonical(processor="no_slug")]
    answers = node.ask_together([(body, JSON) for body in mixed])
    said = [answer.json.get("status") for answer in answers]
    assert said == ["accepted", "duplicate", 400, "accepted", *["duplicate"] * TOGETHER, "accepted"]
    assert node.counted() == {
        "ingest_accepted": TOGETHER + 4,
        "ingest_duplicate": TOGETHER + 1,
        "events_by_processor stripe": 3,
        "events_by_processor adyen": TOGETHER,
        "events_by_processor no_slug": 1,
        "ingest_rejected invalid_json": 1,
    }
    assert node.timed()[0] == 2 * TOGETHER + 5


@pytest.mark.parametrize("first", ["over its rate", "within it"])
def test_many_together_pay_for_each(first: str) -> None:
    """The key that is over its rate is refused what is too much, the other key none, whichever comes first."""
    node = Ingestion(rate=1, burst=TOGETHER)
    much = [(canonical(), JSON) for _ in range(TOGETHER + 2)], [202] * TOGETHER + [429] * 2
    little = [(canonical(), OTHER_KEY) for _ in range(2)], [202] * 2
    one, other = (much, little) if first == "over its rate" else (little, much)
    answers = [answer.status for answer in node.ask_together([*one[0], *other[0]])]
    assert answers == one[1] + other[1]
    assert len(node.stream.entries) == TOGETHER + 2
    assert [a.status for a in node.ask_together([(canonical(), JSON), (canonical(), OTHER_KEY)])] == [429, 202]


def test_many_together_when_the_stream_fails() -> None:
    """What was stored is answered so, the rest with 503."""
    node = Ingestion()
    node.stream.room = 3
    answers = node.ask_together([(canonical(), JSON) for _ in range(TOGETHER)])
    assert [answer.status for answer in answers] == [202] * 3 + [503] * (TOGETHER - 3)
    assert node.counted()["ingest_rejected unavailable"] == TOGETHER - 3


# events that are refused


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"null", "invalid_json"),
        (b"[" + GOOD + b"]", "invalid_json"),
        (GOOD + b"{}", "invalid_json"),
        (GOOD[:-1] + b',"x":NaN}', "invalid_json"),
        (GOOD[:-1] + b',"x":"\xff"}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (GOOD[:-1] + b',"processor":"stripe"}', "duplicate_member"),
        (dumped(channel=PAN), "pan_detected"),
        (dumped(merchant_id_hash="4111-1111 1111.1111"), "pan_detected"),
        (b"{}", "invalid_event"),
    ],
)
def test_what_is_refused_is_counted_by_its_reason(body: bytes, code: str) -> None:
    """400 with the code, counted under it, and no card number in the answer."""
    node = Ingestion()
    answer = node.ask(body)
    assert (answer.status, answer.code) == (400, code)
    assert {error["code"] for error in answer.json["errors"]} <= set(CODES)
    assert PAN[:12].encode() not in answer.body
    assert node.stream.entries == []
    assert node.counted() == {f"ingest_rejected {code}": 1}


def test_a_refused_id_is_not_used_up() -> None:
    """The same id is accepted once its event is right."""
    node = Ingestion()
    event = payment()
    assert node.ask(json.dumps(event | {"geo_bucket": "x" * 21}).encode()).status == 400
    assert node.ask(json.dumps(event).encode()).json == {"status": "accepted"}


# a stream that does not work


def test_the_duration_is_from_the_request_to_its_answer() -> None:
    """What waited for the stream is timed from `handle` to the answer, accepted, duplicate or unavailable."""
    node = Ingestion()
    for room in (1, 1, 0):
        node.stream.room = room
        request = Request("POST", EVENT_PATH, "", JSON, GOOD, 1)
        answers: list[Response] = []
        assert node.single.admit(request) is None
        node.single.handle(request, answers.append)
        assert answers == []
        node.clock.time += 0.25
        node.stream.work()
        assert len(answers) == 1
    assert node.timed() == (3, 0.75)
