"""Incidents for those who are told of them."""

from typing import Any

from msgspec.structs import replace

from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import Incident

NOON = 1_767_960_000  # 2026-01-09T12:00:00Z


def driver(name: str = "segment_degradation", dimension: str = "geo", value: str = "GB", **members: Any) -> Driver:
    """A driver: 62 % of 500 where 9 % were expected."""
    known = Driver(name, dimension, value, 0.7, "high", True, 310, 500, 45.0, NOON, 16.0, 60.0)
    return replace(known, **members)


def incident(number: int = 1, **members: Any) -> Incident:
    """Card payments from GB fail at Stripe."""
    known = Incident(
        id=f"stripe-{NOON + number}-abc",
        processor="stripe",
        severity="high",
        opened=NOON + number,
        since=NOON,
        counted_from=NOON,
        updated=NOON + number,
        dimension="geo",
        value="GB",
        peak=0.7,
        peak_at=NOON,
        drivers=(driver(),),
        payments=265,
        value_at_risk={"GBP": 4_120_000},
        samples=("550e8400-e29b-41d4-a716-446655440000",),
    )
    return replace(known, **members)
