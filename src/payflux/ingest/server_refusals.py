"""What the HTTP server refuses by itself of requests that were let in: it reads the body, so no handler sees them."""

from collections.abc import Collection

from payflux.http.limits import BODY_TOO_LARGE, TIMED_OUT
from payflux.http.messages import Request, Response
from payflux.telemetry.metrics import INGEST_REJECTED, Metrics

REASONS = {BODY_TOO_LARGE: "body_too_large", TIMED_OUT: "request_timeout"}


class Refusals:
    """Counts them for the paths that take events in, as their handlers count their own.

    Args:
        metrics: where to.
        paths: those that take events in.
    """

    def __init__(self, metrics: Metrics, paths: Collection[str]) -> None:
        self._metrics, self._paths = metrics, paths

    def __call__(self, request: Request, response: Response) -> None:
        """Note that the server gave this answer before the request was complete."""
        reason = REASONS.get(response)
        if reason is not None and request.path in self._paths:
            self._metrics.add(INGEST_REJECTED, reason)
