"""How events reach a node over HTTP: ingest keeps to it, and so do the senders that are ours."""

from typing import Literal

EVENT_PATH = "/v1/events/payment_exhaust"
BATCH_PATH = f"{EVENT_PATH}/batch"
BATCH_EVENTS = 1000
"""How many events one batch may have."""

Form = Literal["single", "array", "ndjson"]
"""How events are sent: one as such, or a batch as a JSON array or as NDJSON."""

UNCONFIRMED_CODES = ("unavailable", "overloaded", "redis_")
"""How the code of a batch item begins that was not refused for what it is: the buffer did not confirm it."""
