"""The producer's client: sends payment events to a node in the background, and never gets in the way of a payment."""

from payflux.client.client import AsyncClient, Client
from payflux.client.counts import Counts
from payflux.client.worker import Rejected

__all__ = ["AsyncClient", "Client", "Counts", "Rejected"]
