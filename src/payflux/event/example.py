"""An event for tests and examples."""

import uuid
from typing import Any

EXAMPLE: dict[str, Any] = {
    "event_type": "payment_failed",
    "event_timestamp": "2026-01-09T12:00:00Z",
    "event_id": "550e8400-e29b-41d4-a716-446655440000",
    "merchant_id_hash": "abc123",
    "payment_intent_id_hash": "xyz456",
    "processor": "stripe",
    "failure_category": "processor_timeout",
    "retry_count": 0,
    "geo_bucket": "US",
    "amount_bucket": "50-200",
    "system_source": "checkout_api",
    "payment_method_bucket": "credit_card",
    "channel": "web",
    "retry_result": "failed",
    "failure_origin": "processor",
}
"""The event of the documentation: all fifteen members, in their order."""


def make_event(**members: object) -> dict[str, Any]:
    """A valid event with all fifteen members and an id of its own.

    Args:
        members: values to set instead, or to add.
    """
    return EXAMPLE | {"event_id": str(uuid.uuid4())} | members
