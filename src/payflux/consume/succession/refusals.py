"""Refusals: when nothing arrives, whether that is because this node refuses what is sent, or because nobody calls."""

from collections import deque

from payflux.telemetry.metrics import CHILD, INGEST_REJECTED, OFFSETS, Metrics, sections_of
from payflux.telemetry.reasons import REJECT_REASONS

REMEMBERED = 600
"""Seconds of which is known what was refused until then."""

STATUS = {"unauthorized": 401, "rate_limited": 429, "unavailable": 503}
"""What those are answered with who are refused for a reason that concerns everything they send."""

Totals = tuple[int, ...]
"""What was refused since the node began, by reason."""


class Refusals:
    """What the ingestion of this node refuses, from the counters that its processes share.

    Args:
        metrics: of any process of the node.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._sections = sections_of(metrics.slab)
        self._ingests = any(name.startswith(f"{CHILD}ingest") for name in metrics.slab.names())
        self._known: deque[tuple[int, Totals]] = deque(maxlen=REMEMBERED)

    def look(self, second: int) -> None:
        """Remember what was refused up to a second of stream time, later than before."""
        self._known.append((second, self._totals()))

    def since(self, second: int, *, nothing: bool) -> str:
        """In words what was refused since a second of stream time, or as long as is known.

        Args:
            second: stream time.
            nothing: nothing arrives at all; else there is only something to say where something was refused.
        """
        if not self._ingests:
            return "this node takes nothing in: see what the others refuse" if nothing else ""
        before: Totals = next((totals for at, totals in reversed(self._known) if at <= second), self._oldest())
        grown = [now - then for now, then in zip(self._totals(), before, strict=True)]
        found = sorted(
            ((count, reason) for count, reason in zip(grown, REJECT_REASONS, strict=True) if count), reverse=True
        )
        if not found:
            return "nobody calls this node" if nothing else ""
        return "this node refuses what is sent: " + ", ".join(f"{count} {_answered(reason)}" for count, reason in found)

    def _oldest(self) -> Totals:
        return self._known[0][1] if self._known else self._totals()

    def _totals(self) -> Totals:
        offset = OFFSETS[INGEST_REJECTED]
        return tuple(int(sum(one[offset + at] for one in self._sections)) for at in range(len(REJECT_REASONS)))


def _answered(reason: str) -> str:
    return f"with {STATUS[reason]} ({REJECT_REASONS[reason]})" if reason in STATUS else f"as {reason}"
