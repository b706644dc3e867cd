"""Lines: what stream time an entry is scored at, and what it counts as."""

import itertools
import json
import re

import pytest

from events import CANONICAL
from payflux.consume.line import Enricher
from payflux.event.decode import decode_event
from payflux.event.example import make_event
from payflux.event.outcome import OUTCOMES
from payflux.operations.exposition import Exposition
from payflux.risk.assessment import RiskAssessment
from payflux.risk.observation import Observation
from payflux.risk.scoring import Scorer
from payflux.stream.deliveries import Delivery
from payflux.telemetry.metrics import Metrics, create_slab


@pytest.mark.parametrize("digits", [4, 12, 13, 14, 16, 18])
def test_stream_time_moves_with_ids_of_any_length(digits: int) -> None:
    """A processor that is down is named in the second after it is known, however alike ids begin, and not before."""
    enricher = Enricher("me", Scorer().score, Metrics(create_slab(["consumer"]), "consumer"))
    start = 10 ** (digits - 1)
    numbers = itertools.count(1)

    def drivers(at_ms: int) -> bytes:
        delivery = Delivery(b"%d-0" % at_ms, next(numbers), CANONICAL)
        return enricher.line(delivery, b"").data.partition(b'"processor_risk_drivers":')[2].partition(b"]")[0]

    assert {drivers(start) for _ in range(30)} == {b'["insufficient_data"'}
    assert b"high_failure_rate" in drivers(start + 1000)
    assert enricher.begun == ((start + 1000) // 1000, 31)


def test_tests_and_canaries_are_answered_and_not_counted() -> None:
    """They show the risk of their processor, and raise none."""
    scorer = Scorer()
    enricher = Enricher("me", scorer.score, Metrics(create_slab(["consumer"]), "consumer"))
    for second in range(30):
        data = decode_event(json.dumps(make_event(event_type="canary", retry_result="failed")).encode()).data
        line = enricher.line(Delivery(b"%d-0" % (1_767_957_855_000 + 1000 * second), second + 1, data), b"").data
        assert b'"processor_risk_drivers":["insufficient_data"]' in line
    assert scorer.followed() == []


def test_the_numbers_behind_a_driver_are_there_when_asked_for() -> None:
    """Observed beside expected, so that a score is understood from the line alone; else nothing of it."""
    lines: dict[bool, dict[str, object]] = {}
    for evidence in (False, True):
        metrics = Metrics(create_slab(["consumer"]), "consumer")
        enricher = Enricher("me", Scorer().score, metrics, evidence=evidence)
        deliveries = [Delivery(b"%d-0" % (1_767_957_855_000 + 100 * at), at + 1, CANONICAL) for at in range(60)]
        lines[evidence] = json.loads([enricher.line(one, b"2026-01-09T12:00:00Z").data for one in deliveries][-1])
    told = lines[True].pop("processor_risk_evidence")
    assert lines[True] == lines[False]
    assert isinstance(told, list)
    assert [one["name"] for one in told] == lines[False]["processor_risk_drivers"] == ["high_failure_rate"]
    assert told[0]["observed"] == told[0]["attempts"] > told[0]["expected"]


def test_what_the_detector_sees_is_read_once_for_each_kind() -> None:
    """An event that differs in nothing the detector reads is the same to it; who is to blame is no detail."""
    said: list[Observation | None] = []

    def score(second: int, processor: str, seen: Observation | None, *_: object) -> RiskAssessment:
        said.append(seen)
        return RiskAssessment(second - 1, processor)

    enricher = Enricher("me", score, Metrics(create_slab(["consumer"]), "consumer"))
    origins = ("processor", "issuer", "processor")
    for seq, origin in enumerate(origins, 1):
        event = make_event(failure_category="do_not_honor", failure_origin=origin, retry_result="failed")
        data = decode_event(json.dumps(event).encode()).data
        enricher.line(Delivery(b"1767957855596-%d" % seq, seq, data), b"")
    assert [one.counts for one in said if one] == [True, False, True]
    assert said[0] is said[2]


def test_failures_in_words_nobody_knows_are_counted_by_name() -> None:
    """A failure's category that no table knows is named; known ones, none at all, and those of successes are not."""
    slab = create_slab(["consumer"])
    metrics = Metrics(slab, "consumer")
    enricher = Enricher("me", None, metrics)
    failures = [("payment_failed", name) for name in ("misc_27", "timeout", "", "declined", "misc_27", 'a "b"')]
    for seq, (event_type, name) in enumerate([*failures, ("payment_succeeded", "misc_28")], 1):
        event = make_event(event_type=event_type, failure_category=name, retry_result="")
        data = decode_event(json.dumps(event).encode()).data
        for slot in enricher.line(Delivery(b"1767957855596-%d" % seq, seq, data), b"").slots:
            metrics.values[slot] += 1
    text = Exposition(slab).text(None, None).decode()
    counted = dict(re.findall(r'payflux_failures_uncategorised_total\{category="(.+)"\} (\S+)', text))
    assert counted == {"misc_27": "2.0", r"a \"b\"": "1.0"}


def test_what_says_nothing_of_an_outcome_is_counted_by_name() -> None:
    """An event whose type nobody can read, and that the operator has not declared, is counted under its type."""
    slab = create_slab(["consumer"])
    metrics = Metrics(slab, "consumer")
    enricher = Enricher("me", None, metrics, OUTCOMES.parse("order.done=success"))
    types = ["payment_attempt", "order.done", "payment_failed", "order.lost", "payment_attempt", "test"]
    for seq, event_type in enumerate(types, 1):
        data = decode_event(json.dumps(make_event(event_type=event_type, retry_result="")).encode()).data
        for slot in enricher.line(Delivery(b"1767957855596-%d" % seq, seq, data), b"").slots:
            metrics.values[slot] += 1
    text = Exposition(slab).text(None, None).decode()
    counted = dict(re.findall(r'payflux_events_unclassified_total\{event_type="(.+)"\} (\S+)', text))
    assert counted == {"payment_attempt": "2.0", "order.lost": "1.0"}
    outcomes = dict(re.findall(r'payflux_events_by_outcome_total\{outcome="(.+)",processor="stripe"\} (\S+)', text))
    assert outcomes == {"success": "1.0", "failure": "1.0", "neutral": "3.0"}


def test_each_retry_is_read_for_itself() -> None:
    """How many there were, and by which network, decides what a retry shows, whichever was met first."""
    shown: list[tuple[str, ...]] = []

    def score(second: int, processor: str, seen: Observation | None, *_: object) -> RiskAssessment:
        shown.append(seen.signs if seen else ())
        return RiskAssessment(second, processor)

    enricher = Enricher("one", score, Metrics(create_slab(["consumer"]), "consumer"))
    for number, (retries, network) in enumerate([(1, "visa"), (17, "visa"), (25, "visa"), (17, "amex"), (1, "visa")]):
        event = make_event(
            event_type="payment_succeeded", retry_count=retries, card_network=network, failure_category=""
        )
        stored = decode_event(json.dumps(event).encode())
        enricher.line(Delivery(b"%d-0" % (1000 + number), number + 1, stored.data), b"")
    assert shown == [(), ("retries_near_limit",), ("forbidden_retries",), (), ()]
