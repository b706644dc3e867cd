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
from payflux.risk.scorer import RiskScorer
from payflux.stream.deliveries import Delivery
from payflux.telemetry.metrics import Metrics, create_slab


@pytest.mark.parametrize("digits", [4, 12, 13, 14, 16, 18])
def test_the_window_moves_with_ids_of_any_length(digits: int) -> None:
    """Events an hour later are scored by themselves, however alike their ids begin."""
    slab = create_slab(["consumer"])
    enricher = Enricher("me", RiskScorer(300, (0.3, 0.6, 0.8)), Metrics(slab, "consumer"))
    start = 10 ** (digits - 1)
    numbers = itertools.count(1)

    def drivers(at_ms: int) -> bytes:
        delivery = Delivery(b"%d-0" % at_ms, next(numbers), CANONICAL)
        return enricher.line(delivery, b"").data.partition(b'"processor_risk_drivers":')[2].partition(b"]")[0]

    assert drivers(start) == b'["insufficient_data"'
    for _ in range(9):
        found = drivers(start)
    assert b"high_failure_rate" in found
    assert drivers(start + 3_600_000) == b'["insufficient_data"'


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
