"""Lines: what stream time an entry is scored at."""

import itertools

import pytest

from events import CANONICAL
from payflux.consume.line import Enricher
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
