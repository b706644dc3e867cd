"""The scorer: a producer who means harm fills neither memory nor time."""

import time
import tracemalloc
from collections.abc import Iterator

import pytest

from payflux.risk.evidence.segments import MOST_VALUES
from payflux.risk.reading import Facts, observed
from payflux.risk.scoring import Scorer
from risk_traffic import START

A_SECOND = 400
"""Events a second: fewer than are told apart within one."""

HARMLESS = 1_200, pytest.param(1_000_000, marks=[pytest.mark.thorough, pytest.mark.timeout(900)])


def invented(number: int, processor: str) -> Facts:
    """A failure of which nothing was ever seen before."""
    word = f"v{number}"
    return Facts(
        "payment_failed",
        processor,
        failure_category=word,
        retry_count=number % 5,
        geo_bucket=word,
        amount_bucket=word,
        payment_method_bucket=word,
        channel=word,
        network_response_code=word,
        card_network=word,
        currency=word,
        amount_minor=number + 1,
        latency_ms=number,
        issuer_country=word,
    )


def fed(scorer: Scorer, facts: Iterator[Facts]) -> tuple[float, int]:
    """Score events, some hundreds a second; microseconds of CPU an event, and the most bytes a scorer took."""
    began, count, most = time.thread_time(), 0, 0
    for count, one in enumerate(facts, 1):
        seen = observed(one)
        scorer.score(START + count // A_SECOND, one.processor, seen, one.latency_ms, one.currency, one.amount_minor)
        if count % A_SECOND == 0:
            scorer.tick(START + count // A_SECOND - 1)
            scorer.changes(START + count // A_SECOND - 1)
            scorer.take_said()
            scorer.take_forgotten()
            most = max(most, tracemalloc.get_traced_memory()[0])
    return 1e6 * (time.thread_time() - began) / count, most


@pytest.mark.parametrize("events", HARMLESS)
def test_invented_values_fill_neither_memory_nor_time(events: int) -> None:
    """A new value in every dimension with every event: `other` stands for nearly all of them."""
    scorer = Scorer()
    fed(scorer, (invented(-number, "stripe") for number in range(1, A_SECOND + 1)))
    tracemalloc.start()
    try:
        cost, most = fed(scorer, (invented(number, "stripe") for number in range(events)))
    finally:
        tracemalloc.stop()
    watch = scorer.watch("stripe")
    assert watch is not None
    assert all(len(values) <= MOST_VALUES + 1 for values in watch.segments.dimensions)
    assert len(watch.sides.categories.shares) <= MOST_VALUES + 2
    assert most < 48 * 2**20  # what is remembered of values, which is bounded, most of all
    assert cost < 1000


@pytest.mark.parametrize("events", HARMLESS)
def test_invented_processors_push_out_each_other(events: int) -> None:
    """A new processor with every event: no more are followed than there is room for."""
    scorer = Scorer(most_processors=50)
    tracemalloc.start()
    try:
        cost, most = fed(scorer, (invented(number, f"p{number}") for number in range(events)))
    finally:
        tracemalloc.stop()
    assert len(scorer.followed()) == 50
    assert most < 48 * 2**20
    assert cost < 4000
