"""Batches: one result for each event, and the few ways in which a batch is refused as a whole."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingesting import BEARER, JSON, NDJSON, PAN, Answer, Ingestion, dumped, payment
from payflux.event.intake import BATCH_EVENTS, BATCH_PATH

BAD_ID = "not-a-uuid"


def numbers(answer: Answer) -> tuple[int, int, int]:
    """Accepted, duplicates, rejected."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["accepted", "duplicates", "rejected", "results"]
    return answer.json["accepted"], answer.json["duplicates"], answer.json["rejected"]


def test_each_event_has_its_result_in_order() -> None:
    """Accepted, duplicate and rejected ones each say so at their place; only the accepted ones are stored."""
    node = Ingestion()
    known, new, bad = payment(), payment(processor="adyen"), payment(processor="No Slug")
    assert node.ask_batch([known]).status == 200
    answer = node.ask_batch([new, bad, known, payment(event_id=BAD_ID), 7, None, [], "x"])
    assert numbers(answer) == (1, 1, 6)
    results = answer.json["results"]
    assert [result["index"] for result in results] == list(range(8))
    assert results[0] == {"index": 0, "event_id": new["event_id"], "status": "accepted"}
    assert results[1]["event_id"] == bad["event_id"]
    assert (results[1]["status"], results[1]["code"]) == ("rejected", "invalid_event")
    (error,) = results[1]["errors"]
    assert (error["field"], error["code"]) == ("processor", "invalid_processor")
    assert results[2] == {"index": 2, "event_id": known["event_id"], "status": "duplicate"}
    assert (results[3]["event_id"], results[3]["code"]) == (None, "invalid_event")
    assert [(one["event_id"], one["code"]) for one in results[4:]] == [(None, "invalid_json")] * 4
    assert [json.loads(entry)["event_id"] for entry in node.stream.entries] == [known["event_id"], new["event_id"]]
    assert node.counted() == {
        "ingest_accepted": 2,
        "ingest_duplicate": 1,
        "events_by_processor stripe": 1,
        "events_by_processor adyen": 1,
        "ingest_rejected invalid_event": 2,
        "ingest_rejected invalid_json": 4,
    }


def test_only_errors_are_listed_on_request() -> None:
    """With `results=errors` the counts stay, and of the results only the rejected ones, with their places."""
    node = Ingestion()
    events = [payment(), payment(channel="\n"), payment(), payment(event_id=BAD_ID)]
    for query in ("results=errors", "a=b&results=errors"):
        answer = node.ask_batch(events, query=query)
        assert [(one["index"], one["status"]) for one in answer.json["results"]] == [(1, "rejected"), (3, "rejected")]
    assert numbers(answer) == (0, 2, 2)
    for query in ("", "results=all", "xresults=errors", "errors"):
        assert len(node.ask_batch(events, query=query).json["results"]) == 4


def test_an_id_twice_in_one_batch_is_stored_once() -> None:
    """The first is accepted, the second a duplicate, in another letter case too."""
    node = Ingestion()
    event = payment()
    answer = node.ask_batch([event, event | {"event_id": event["event_id"].upper()}, payment(), event])
    assert numbers(answer) == (2, 2, 0)
    assert [one["status"] for one in answer.json["results"]] == ["accepted", "duplicate", "accepted", "duplicate"]
    assert {one["event_id"] for one in answer.json["results"][:2]} == {event["event_id"]}
    assert len(node.stream.entries) == 2


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n", "\n \t\n"])
@pytest.mark.parametrize(
    "content_type",
    ["application/x-ndjson", "application/NDJSON", "application/jsonl; charset=utf-8", "application/jsonlines"],
)
def test_ndjson_is_one_event_a_line(ending: str, content_type: str) -> None:
    """With any line ending, blank lines in between, with or without one at the end."""
    for last in ("", ending):
        node = Ingestion()
        body = (ending.join(dumped().decode() for _ in range(3)) + last).encode()
        answer = node.ask(body, BEARER | {b"content-type": content_type.encode()}, BATCH_PATH)
        assert numbers(answer) == (3, 0, 0)


def test_a_broken_line_spoils_no_other_one() -> None:
    """In NDJSON every line stands for itself, whatever is in it."""
    node = Ingestion()
    lines = [dumped(), b"{", dumped()[:-1], b"\xff", b"[]", dumped(), b'{"a":' * 5000, dumped() + dumped()]
    answer = node.ask(b"\n".join(lines), NDJSON, BATCH_PATH)
    assert numbers(answer) == (2, 0, 6)
    assert [one["index"] for one in answer.json["results"] if one["status"] == "accepted"] == [0, 5]


@pytest.mark.parametrize("half", ["\\ud800", "\\udc00x", "\\ud83d\\ud83d"])
@pytest.mark.parametrize("name", ["channel", "unknown"])
def test_half_a_surrogate_pair_spoils_no_other_event(half: str, name: str) -> None:
    """As an array and as NDJSON the events around one that holds it are stored, and it alone is refused."""
    for headers in (BEARER | JSON, NDJSON):
        events = [dumped(), dumped(**{name: "HERE"}).replace(b"HERE", half.encode()), dumped(channel=None)]
        body = b"\n".join(events) if headers is NDJSON else b"[" + b",".join(events) + b"]"
        node = Ingestion()
        answer = node.ask(body, headers, BATCH_PATH)
        assert numbers(answer) == (2, 0, 1)
        assert [one["index"] for one in answer.json["results"] if one["status"] == "rejected"] == [1]
        assert len(node.stream.entries) == 2


def test_a_byte_order_mark_before_a_batch_is_skipped() -> None:
    """Before an array, before a file of lines with any line ending, and before a line; and one alone is no batch."""
    mark, events = b"\xef\xbb\xbf", [dumped(), dumped()]
    assert numbers(Ingestion().ask(mark + b"[" + b",".join(events) + b"]", BEARER | JSON, BATCH_PATH)) == (2, 0, 0)
    assert numbers(Ingestion().ask(mark + b"\r\n".join(events), NDJSON, BATCH_PATH)) == (2, 0, 0)
    assert numbers(Ingestion().ask(b"\n".join([events[0], mark + events[1]]), NDJSON, BATCH_PATH)) == (2, 0, 0)
    for headers in (BEARER | JSON, NDJSON):
        assert Ingestion().ask(mark, headers, BATCH_PATH).json["code"] == "invalid_batch"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_batch_in_another_encoding_is_told_so(encoding: str) -> None:
    """As an array the batch is refused, as NDJSON each line, and both say that UTF-8 is wanted."""
    array = json.dumps([payment()]).encode(encoding)
    refusal = Ingestion().ask(array, BEARER | JSON, BATCH_PATH)
    assert (refusal.status, refusal.json["code"]) == (400, "invalid_batch")
    assert "UTF-8" in refusal.json["detail"]
    lines = (json.dumps(payment()) + "\n" + json.dumps(payment())).encode(encoding)
    answer = Ingestion().ask(lines, NDJSON, BATCH_PATH)
    assert numbers(answer) == (0, 0, 2)
    assert all("UTF-8" in one["errors"][0]["message"] for one in answer.json["results"])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (b"{", "the event is not valid JSON: Expecting property name enclosed in double quotes at character 1"),
        (b"\xff", "the event is not valid UTF-8"),
        (b'{"a":NaN}', "the event is not valid JSON: NaN and Infinity are no JSON numbers"),
        (b'{"a":' * 5000, "the event is nested too deeply"),
        (b"[]", "the event must be a JSON object"),
        (b"7", "the event must be a JSON object"),
    ],
)
def test_a_refused_line_speaks_of_itself(item: bytes, message: str) -> None:
    """The message is about the event, which stands at its index, and never about the body, which is fine."""
    answer = Ingestion().ask(b"\n".join([dumped(), item]), NDJSON, BATCH_PATH)
    (error,) = answer.json["results"][1]["errors"]
    assert error == {"field": "", "code": "invalid_json", "message": message}
    if item in (b"[]", b"7"):
        answer = Ingestion().ask(b"[" + item + b"]", JSON, BATCH_PATH)
        (error,) = answer.json["results"][0]["errors"]
        assert error["message"] == message


def test_an_array_in_ndjson_is_one_bad_event() -> None:
    """What the Content-Type says is what the body is read as."""
    answer = Ingestion().ask(json.dumps([payment()]).encode(), NDJSON, BATCH_PATH)
    assert numbers(answer) == (0, 0, 1)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b""),
        (JSON, b"[]"),
        (JSON, b"{}"),
        (JSON, b"null"),
        (JSON, dumped()),
        (JSON, b"[" + dumped()),
        (JSON, b"[" + dumped() + b"," + dumped()[:-1] + b"]"),
        (JSON, b"[" + dumped() + b"]]"),
        (JSON, b"[" + dumped() + b",]"),
        (JSON, dumped() + b"\n" + dumped()),
        (JSON, b"[" * 100_000),
        (JSON, b"\xff"),
        (JSON, b"\xef\xbb\xbf" * 2 + b"[" + dumped() + b"]"),
        (NDJSON, b""),
        (NDJSON, b"\n \r\n\t"),
    ],
)
def test_what_cannot_be_read_as_a_batch_is_refused_whole(headers: dict[bytes, bytes], body: bytes) -> None:
    """400 `invalid_batch`, nothing stored, counted once."""
    node = Ingestion()
    answer = node.ask(body, headers, BATCH_PATH)
    assert (answer.status, answer.code) == (400, "invalid_batch")
    assert node.stream.entries == []
    assert node.counted() == {"ingest_rejected invalid_batch": 1}


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/json-seq"])
def test_other_types_are_refused(content_type: str) -> None:
    """415 names every type a batch may have."""
    answer = Ingestion().ask(b"[]", BEARER | {b"content-type": content_type.encode()}, BATCH_PATH)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert {"application/json", "application/x-ndjson"} <= set(answer.headers["accept"].split(", "))


@pytest.mark.parametrize("ndjson", [True, False])
def test_a_thousand_events_pass_and_one_more_does_not(ndjson: bool) -> None:
    """At 1,000 each is stored; at 1,001 none is, whatever else is wrong with them."""
    for size in (BATCH_EVENTS, BATCH_EVENTS + 1):
        node = Ingestion()
        events = [dumped() for _ in range(size)]
        body = b"\n".join(events) if ndjson else b"[" + b",".join(events) + b"]"
        answer = node.ask(body, NDJSON if ndjson else JSON, BATCH_PATH)
        if size == BATCH_EVENTS:
            assert numbers(answer) == (size, 0, 0)
            assert len(node.stream.entries) == size
        else:
            assert (answer.status, answer.code) == (400, "batch_too_large")
            assert node.stream.entries == []
            assert node.counted() == {"ingest_rejected batch_too_large": 1}


# ids that must not be repeated


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (b'{"x":1,"x":2}', "duplicate_member"),
        (b'{"x":1,"x":2,"event_id":7}', "duplicate_member"),
        (b'{"x":1,"x":2,"event_id":"%s"}' % PAN.encode(), "duplicate_member"),
        (b'{"event_id":"550e8400-e29b-41d4-a716-446655440000","event_id":"%s"}' % PAN.encode(), "duplicate_member"),
        (b'{"event_id":"%s"}' % PAN.encode(), "pan_detected"),
        (b"{}", "invalid_event"),
        (b'{"event_id":null}', "invalid_event"),
        (b'{"event_id":"550e8400-e29b-41d4-a716-446655440000","x":"\\ud800"}', "invalid_event"),
    ],
)
def test_a_refused_item_repeats_no_id_that_may_be_none(item: bytes, code: str) -> None:
    """Where nobody can be sure that it is a UUID, `event_id` is null, and the other items get their results."""
    node = Ingestion()
    answer = node.ask(b"\n".join((dumped(), item, dumped())), NDJSON, BATCH_PATH)
    assert numbers(answer) == (2, 0, 1)
    assert [one["status"] for one in answer.json["results"]] == ["accepted", "rejected", "accepted"]
    assert answer.json["results"][1]["code"] == code
    assert answer.json["results"][1]["event_id"] is None
    assert PAN.encode() not in answer.body
    assert node.counted()[f"ingest_rejected {code}"] == 1


def test_a_card_number_refuses_its_event_alone() -> None:
    """`pan_detected` with the id of the event, nothing of the number, and the neighbours are stored."""
    node = Ingestion()
    bad = payment(merchant_id_hash=PAN)
    answer = node.ask_batch([payment(), bad, payment()])
    assert numbers(answer) == (2, 0, 1)
    assert answer.json["results"][1]["code"] == "pan_detected"
    assert answer.json["results"][1]["event_id"] == bad["event_id"]
    assert PAN.encode() not in answer.body + b"".join(node.stream.entries)


# the rate


def test_a_batch_costs_its_events() -> None:
    """A batch is granted or refused as a whole; one larger than the burst passes on a full bucket and leaves debt."""
    node = Ingestion(rate=10, burst=20)
    assert node.ask_batch([payment() for _ in range(15)]).status == 200
    answer = node.ask_batch([payment() for _ in range(15)])
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "rate_limited", "1")
    assert node.ask_batch([payment() for _ in range(5)]).status == 200
    node.clock.time += 2
    assert node.ask_batch([payment() for _ in range(200)]).status == 200
    answer = node.ask_batch([payment()])
    assert (answer.status, answer.headers["retry-after"]) == (429, "19")
    assert len(node.stream.entries) == 220
    assert node.counted()["ingest_rejected rate_limited"] == 2


@pytest.mark.parametrize(
    "body", [b"{", b"[" + b",".join([b"1"] * (BATCH_EVENTS + 1)) + b"]"], ids=["unreadable", "too large"]
)
def test_a_batch_that_is_refused_whole_costs_something(body: bytes) -> None:
    """Nobody may send nonsense at any rate, and over the rate nothing is read."""
    node = Ingestion(rate=1, burst=3)
    assert [node.ask(body, JSON, BATCH_PATH).status for _ in range(4)] == [400, 400, 400, 429]


# a stream that does not work


@pytest.mark.parametrize("stored", [0, 1, 2, 3])
def test_a_failure_in_the_middle_is_told_event_by_event(stored: int) -> None:
    """What is stored says so, the rest is rejected with the reason; nothing stored at all is a 503."""
    node = Ingestion()
    node.stream.room = stored
    events = [payment(), payment(channel="\n"), payment(), payment()]
    answer = node.ask_batch(events)
    if not stored:
        assert (answer.status, answer.code) == (503, "redis_down")
        assert answer.headers["retry-after"] == "1"
        assert node.counted() == {"ingest_rejected unavailable": 3}
    else:
        assert numbers(answer) == (stored, 0, 4 - stored)
        lost = [events[index]["event_id"] for index in (0, 2, 3)][stored:]
        said = [one for one in answer.json["results"] if one.get("code") == "redis_down"]
        assert [one["event_id"] for one in said] == lost
        assert all((one["status"], one["errors"]) == ("rejected", []) for one in said)
        counted = node.counted()
        assert counted["ingest_accepted"] == stored
        assert counted["ingest_rejected invalid_event"] == 1
        assert counted.get("ingest_rejected unavailable", 0) == 3 - stored
    node.stream.room = 100
    assert numbers(node.ask_batch(events)) == (3 - stored, stored, 1)


def test_a_batch_without_any_valid_event_needs_no_stream() -> None:
    """Everything rejected is 200 with the reasons, even while the stream is down."""
    node = Ingestion()
    node.stream.room = 0
    assert numbers(node.ask_batch([{}, payment(event_id=BAD_ID)])) == (0, 0, 2)


def test_a_batch_is_timed_once() -> None:
    """A batch counts as one request in the durations."""
    node = Ingestion()
    node.ask_batch([payment(), payment(), {}])
    node.ask_batch([{}])
    assert node.timed() == (2, 0)


ITEMS = st.lists(st.one_of(st.integers(0, 5), st.sampled_from(["bad", "pan", "id"])), min_size=1, max_size=30)


@settings(deadline=None, max_examples=50)
@given(st.lists(ITEMS, min_size=1, max_size=4), st.integers(0, 40), st.booleans())
def test_answers_and_counters_agree_with_what_is_stored(batches: list[list[Any]], room: int, only_errors: bool) -> None:
    """However batches are mixed and wherever the stream fails, the counts add up to the events sent."""
    node = Ingestion()
    node.stream.room = room
    wrong = {"bad": {"channel": "\n"}, "pan": {"channel": PAN}, "id": {"event_id": BAD_ID}}
    accepted = duplicates = 0
    for batch in batches:
        events = [
            payment(**wrong[kind])
            if isinstance(kind, str)
            else payment(event_id=f"{kind:08d}-0000-4000-8000-{kind:012d}")
            for kind in batch
        ]
        answer = node.ask_batch(events, query="results=errors" if only_errors else "")
        if answer.status == 503:
            continue
        now_accepted, now_duplicates, rejected = numbers(answer)
        assert now_accepted + now_duplicates + rejected == len(batch)
        results = answer.json["results"]
        assert len(results) == (rejected if only_errors else len(batch))
        assert [one["index"] for one in results] == sorted({one["index"] for one in results})
        assert sum(one["status"] == "rejected" for one in results) == rejected
        accepted, duplicates = accepted + now_accepted, duplicates + now_duplicates
    assert len(node.stream.entries) == accepted
    counted = node.counted()
    assert counted.get("ingest_accepted", 0) == counted.get("events_by_processor stripe", 0) == accepted
    assert counted.get("ingest_duplicate", 0) == duplicates


def test_others_come_between_the_parts_of_a_large_batch() -> None:
    """A small one that came later is answered first; each has the results it would have had alone, in their order."""
    node = Ingestion()
    node.clock.step = 0.003  # a slice takes more than a turn
    large = [payment(channel="4-" * 50, retry_count=101 if number % 3 else 0) for number in range(600)]
    late_answers, small_answers = node.begin_batch(large), node.begin_batch([payment()])
    turns = 0
    while node.turns:
        node.turns.pop(0)()
        node.stream.work()
        turns += 1
        assert small_answers or not late_answers
    small, late = map(Answer, small_answers + late_answers)
    assert numbers(small) == (1, 0, 0)
    assert numbers(late) == (200, 0, 400)
    assert [one["index"] for one in late.json["results"]] == list(range(600))
    assert [one["status"] for one in late.json["results"]] == ["accepted", "rejected", "rejected"] * 200
    assert turns > 10


def test_a_defect_costs_one_batch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is answered 500 and logged by its kind; the next one is stored."""
    node = Ingestion()
    with monkeypatch.context() as patched:
        patched.setattr("payflux.ingest.batch.decode_event", None)
        assert node.ask_batch([payment()]).status == 500
    assert json.loads(capsys.readouterr().err)["error"] == "TypeError"
    assert numbers(node.ask_batch([payment()])) == (1, 0, 0)


def test_a_defect_in_storing_costs_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait for their turn beside it have theirs."""
    node = Ingestion()
    node.clock.step = 0.003
    with monkeypatch.context() as patched:
        patched.setattr(node.stream, "append", None)
        broken, other = (node.begin_batch([payment() for _ in range(size)]) for size in (400, 800))
        while not broken:
            node.turns.pop(0)()
    assert numbers(node.ask_batch([payment()])) == (1, 0, 0)
    assert [one.status for one in (*broken, *other)] == [500, 200]
