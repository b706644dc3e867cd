"""History: what was said of each processor, and from which second on."""

from bisect import bisect_left
from collections import deque

from payflux.risk.assessment import RiskAssessment
from payflux.risk.observation import Observation

MOST = 20_000
"""Assessments remembered; those that came first are forgotten first, but for the last one of each processor."""


class History:
    """Assessments in the order of their seconds, by processor."""

    def __init__(self) -> None:
        self._said: dict[str, list[RiskAssessment]] = {}
        self._order: deque[str] = deque()

    def add(self, one: RiskAssessment) -> None:
        """Take in what was said; what was said of a second before is replaced."""
        said = self._said.setdefault(one.processor, [])
        place = bisect_left(said, one.second, key=_second)
        known = place < len(said) and said[place].second == one.second
        said[place : place + known] = [one]
        self._order.append(one.processor)
        if len(self._order) > MOST:
            oldest = self._said.get(self._order.popleft(), [])
            del oldest[: len(oldest) > 1]

    def forget(self, processor: str) -> None:
        """Drop what was said of a processor."""
        self._said.pop(processor, None)

    def at(self, processor: str, second: int) -> RiskAssessment:
        """What holds for events of a second: what was said last of an earlier one; nothing known when nothing was."""
        said = self._said.get(processor, [])
        place = bisect_left(said, second, key=_second)
        return said[place - 1] if place else RiskAssessment(0, processor)

    def score(  # noqa: PLR0917 - as that of `Scorer`
        self,
        second: int,
        processor: str,
        seen: Observation | None,
        latency_ms: int,
        currency: str,
        amount_minor: int,
        event_id: str,
    ) -> RiskAssessment:
        """What holds for an event, as `Scorer.score` tells it; nothing is counted."""
        del seen, latency_ms, currency, amount_minor, event_id
        return self.at(processor, second)


def _second(one: RiskAssessment) -> int:
    return one.second
