"""How events reach a node over HTTP: ingest keeps to it; whoever sends shares how they are written in `client.wire`."""

from payflux.client.wire import BATCH_PATH as BATCH_PATH
from payflux.client.wire import EVENT_PATH as EVENT_PATH
from payflux.client.wire import UNCONFIRMED_CODES as UNCONFIRMED_CODES
from payflux.client.wire import Form as Form

BATCH_EVENTS = 1000
"""How many events one batch may have."""
