"""PayFlux: a payment-traffic observability buffer beside the payment path."""

__version__ = "0.1.0"
