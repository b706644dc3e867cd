"""The endpoint: what is answered, counted and stored, whatever processor it is of."""

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from ingesting import PAN, Answer
from payflux.event.decode import StoredEvent
from payflux.http.limits import BODY_BYTES
from payflux.http.messages import Request, Response
from payflux.ingest.token_bucket import TokenBucket
from payflux.stream.protocol import OnAppended
from payflux.webhooks import Payment, Webhook
from payflux.webhooks.endpoint import Challenge
from payflux.webhooks.normal import Normal, Normaliser
from receiving import NOW, Receiver, sample, signed


@pytest.fixture
def receiver() -> Receiver:
    """Stripe's."""
    return Receiver("stripe")


def test_success_is_told_only_when_all_is_appended(receiver: Receiver) -> None:
    """While Redis does not confirm it is 503, with a time to come again; then it is stored, once."""
    webhook = signed("stripe", sample("stripe", "charge.failed"))
    receiver.stream.room = 0
    answer = Answer(receiver.send(webhook))
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "redis_down", "1")
    receiver.stream.room = 5
    assert receiver.send(webhook).status == 200
    assert len(receiver.events()) == 1
    assert receiver.counted() == {"unavailable": 1, "accepted": 1}


def test_a_kind_that_is_not_used_is_acknowledged_and_counted(receiver: Receiver) -> None:
    """The processor need not repeat it."""
    assert receiver.send(signed("stripe", sample("stripe", "plan.created"))).status == 200
    assert receiver.events() == []
    assert receiver.counted() == {"ignored": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"type":5}'])
def test_what_is_signed_and_unreadable_is_a_400(receiver: Receiver, body: bytes) -> None:
    """Never a 500: the signature says who sent it, not that it is sane."""
    assert receiver.refusal(signed("stripe", body)) == (400, "invalid_webhook")
    assert receiver.counted() == {"invalid": 1}


def test_a_packed_body_is_signed_as_it_was_before(receiver: Receiver) -> None:
    """Packed for the way it is the same webhook."""
    webhook = signed("stripe", sample("stripe", "charge.failed"))
    packed = Webhook(gzip.compress(webhook.body), webhook.headers)
    assert receiver.send(packed, content_encoding=b"gzip").status == 200
    assert len(receiver.events()) == 1


def test_a_body_that_bursts_or_is_torn_is_refused(receiver: Receiver) -> None:
    """A mebibyte is the limit of what comes out, too; other encodings are refused by the head."""
    bomb = Webhook(gzip.compress(bytes(BODY_BYTES + 1)), {})
    assert receiver.refusal(bomb, content_encoding=b"gzip") == (413, "body_too_large")
    for torn in (b"no gzip", gzip.compress(b"{}")[:-4], zlib.compress(b"{}")):
        assert receiver.refusal(Webhook(torn, {}), content_encoding=b"GZIP") == (400, "invalid_webhook")
    assert receiver.refusal(Webhook(b"{}", {}), content_encoding=b"br") == (415, "unsupported_encoding")
    assert receiver.refusal(Webhook(bytes(BODY_BYTES + 1), {})) == (413, "body_too_large")
    assert receiver.counted() == {"body_too_large": 2, "invalid": 4}


def test_a_processor_has_a_rate_of_its_own() -> None:
    """Over it, all of a batch is refused with a time to come again; what is not signed costs nothing of it."""
    receiver = Receiver("adyen", rate=3)
    batch = signed("adyen", sample("adyen", "CAPTURE"))
    for _ in range(10):
        assert receiver.refusal(Webhook(b'{"notificationItems":[]}', {}))[0] == 400
    assert receiver.send(batch).status == 202
    answer = Answer(receiver.send(batch))
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "rate_limited", "1")
    receiver.clock.time += 1
    assert receiver.send(batch).status == 202
    assert receiver.counted() == {"invalid": 10, "accepted": 2, "duplicate": 2, "rate_limited": 2}


def test_a_card_number_is_never_stored(receiver: Receiver) -> None:
    """Wherever it stands: left out where the member is a hash or a code, refused where it would be stored."""
    body = sample("stripe", "charge.failed")
    body["data"]["object"] |= {"id": PAN, "payment_intent": PAN, "failure_code": PAN, "outcome": {"reason": PAN}}
    body["data"]["object"]["payment_method_details"]["card"] |= {"network": PAN, "country": PAN, "funding": PAN}
    receiver.send(signed("stripe", body))
    stored = b"".join(receiver.stream.entries)
    assert PAN.encode() not in stored
    assert json.loads(stored)["failure_category"] == "unnamed"
    assert receiver.counted() == {"accepted": 1, "unnamed": 1}


def test_codes_nobody_knows_are_counted_once_an_event(receiver: Receiver) -> None:
    """By name; a redelivery says nothing new."""
    body = sample("stripe", "charge.failed")
    body["data"]["object"]["outcome"] = {"reason": "flux_capacitor_empty"}
    for _ in range(3):
        receiver.send(signed("stripe", body))
    assert receiver.counted() == {"accepted": 1, "duplicate": 2, "flux_capacitor_empty": 1}


def test_no_answer_holds_what_was_sent(receiver: Receiver) -> None:
    """A refusal names the place and never the value."""
    body = sample("stripe", "charge.failed")
    body["data"]["object"]["id"] = {"secret": "cus_raw"}
    answer = receiver.send(signed("stripe", body))
    assert answer.status == 400
    assert b"cus_raw" not in answer.body


def test_an_old_signature_is_counted_by_its_reason(receiver: Receiver) -> None:
    """So that a wrong clock is told from a wrong secret."""
    old = signed("stripe", sample("stripe", "charge.failed"), now=NOW - 600)
    assert receiver.refusal(old) == (401, "timestamp_outside")
    assert receiver.counted() == {"timestamp_outside": 1}


def test_what_arrives_together_is_answered_one_by_one(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good, forged, unreadable, unused, and one that meets a defect of ours: each gets its own answer, in its place."""
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(receiver.endpoint, "_soon", later.append)
    names = ("charge.failed", "charge.succeeded", "plan.created", "charge.refunded")
    good, defective, unused, last = (signed("stripe", sample("stripe", name, seed)) for seed, name in enumerate(names))
    forged = Webhook(b"{}", good.headers)
    usual = receiver.endpoint._parts.normaliser

    class Defective:
        def event(self, payment: Payment) -> Normal:
            if payment.event_type == "payment_succeeded":
                raise RuntimeError
            return usual.event(payment)

    parts = receiver.endpoint._parts._replace(normaliser=cast("Normaliser", Defective()))
    monkeypatch.setattr(receiver.endpoint, "_parts", parts)
    answers = [receiver.begin(webhook) for webhook in (good, forged, signed("stripe", b"{"), defective, unused, last)]
    assert not any(answers)
    (work,) = later
    work()
    receiver.stream.work()
    assert [[one.status for one in each] for each in answers] == [[200], [401], [400], [500], [200], [200]]
    assert [one["event_type"] for one in receiver.events()] == ["payment_failed", "payment_refunded"]
    assert receiver.counted() == {"accepted": 2, "signature_wrong": 1, "invalid": 1, "ignored": 1}


def test_a_defect_at_the_end_costs_one_request(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """In storing, or in telling why not: those that arrived with it are answered, and stored."""
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(receiver.endpoint, "_soon", later.append)
    monkeypatch.setattr("payflux.webhooks.endpoint.unreadable", None)
    store, met = receiver.stream.append, list[StoredEvent]()

    def append(events: Sequence[StoredEvent], on_appended: OnAppended) -> None:
        met[:] = met or events[:1]
        if met[0] in events:
            raise RuntimeError
        store(events, on_appended)

    monkeypatch.setattr(receiver.stream, "append", append)
    first, last = (signed("stripe", sample("stripe", "charge.failed", seed)) for seed in (1, 2))
    answers = [receiver.begin(webhook) for webhook in (first, signed("stripe", b"{"), last)]
    later[0]()
    receiver.stream.work()
    assert [[one.status for one in each] for each in answers] == [[500], [500], [200]]
    assert len(receiver.events()) == 1


def test_a_rate_that_cannot_be_asked_leaves_nobody_waiting(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is stored, and each is told to come again."""
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(receiver.endpoint, "_soon", later.append)

    class Broken:
        def take_each(self, key: int, requests: int) -> bool:
            raise OSError(key, requests)

    broken = cast("TokenBucket", Broken())
    monkeypatch.setattr(receiver.endpoint, "_parts", receiver.endpoint._parts._replace(bucket=broken))
    answers = [receiver.begin(signed("stripe", sample("stripe", "charge.failed", seed))) for seed in (1, 2)]
    later[0]()
    assert [[one.status for one in each] for each in answers] == [[500], [500]]
    assert receiver.events() == []


def test_an_answer_that_fails_makes_nothing_twice(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """That to a webhook without payments: those beside it are stored and counted once."""
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(receiver.endpoint, "_soon", later.append)
    begun = [receiver.begin(signed("stripe", sample("stripe", name, 1))) for name in ("charge.failed", "plan.created")]
    arrived = receiver.endpoint._arrived
    webhook, (same, respond) = arrived[1]

    def failing(response: Response) -> None:
        if response.status == 200:
            raise RuntimeError
        respond(response)

    arrived[1] = (webhook, (same, failing))
    later[0]()
    receiver.stream.work()
    assert [[one.status for one in each] for each in begun] == [[200], [500]]
    assert receiver.counted() == {"accepted": 1, "ignored": 1}


def test_those_that_arrive_together_are_stored_in_one_step(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each is told what became of its own: when the stream takes two of three, the third has to come again."""
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(receiver.endpoint, "_soon", later.append)
    store, sizes = receiver.stream.append, list[int]()

    def append(events: Sequence[StoredEvent], on_appended: OnAppended) -> None:
        sizes.append(len(events))
        store(events, on_appended)

    monkeypatch.setattr(receiver.stream, "append", append)
    receiver.stream.room = 2
    answers = [receiver.begin(signed("stripe", sample("stripe", "charge.failed", seed))) for seed in (1, 2, 3)]
    later[0]()
    receiver.stream.work()
    assert sizes == [3]
    assert [[one.status for one in each] for each in answers] == [[200], [200], [503]]
    assert receiver.counted() == {"accepted": 2, "unavailable": 1}


def test_a_rate_without_room_for_all_takes_those_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that arrive together, in their order."""
    receiver, later = Receiver("stripe", rate=2), list[Callable[[], None]]()
    monkeypatch.setattr(receiver.endpoint, "_soon", later.append)
    answers = [receiver.begin(signed("stripe", sample("stripe", "charge.failed", seed))) for seed in (1, 2, 3)]
    later[0]()
    receiver.stream.work()
    assert [[one.status for one in each] for each in answers] == [[200], [200], [429]]


def test_a_challenge_is_answered_or_refused() -> None:
    """In plain text; a question that is none is a 400."""
    challenge = Challenge(lambda query: b"proof" if query == "ask" else None)
    answers: list[Response] = []
    for query in ("ask", ""):
        request = Request("GET", "/", query)
        assert challenge.admit(request) is None
        challenge.handle(request, answers.append)
    assert [(answer.status, answer.body[:5]) for answer in answers] == [(200, b"proof"), (400, b'{"typ')]
