"""Episodes: from assessments to warnings, one from the moment a processor is in trouble until it is not any more."""

from collections.abc import Sequence

import msgspec

from payflux.risk.assessment import BANDS, RiskAssessment
from payflux.risk.drivers import Driver

UNDECIDED_SEC = 60
"""For so long after it was opened a warning may still be given another driver."""


class Episode(msgspec.Struct):
    """One warning.

    Attributes:
        processor: of which processor.
        driver: what explains it best; empty where nobody says.
        dimension: of the driver, such as `geo`; empty for all traffic.
        value: of the dimension.
        severity: the worst band so far.
        opened_at: the end of the second that gave it, stream time in seconds.
        peak: the worst severity so far, 0.0 to 1.0.
        resolved_at: the end of the second after which nothing was wrong any more; None while something is.
    """

    processor: str
    driver: str
    dimension: str
    value: str
    severity: str
    opened_at: int
    peak: float
    resolved_at: int | None = None


class Episodes:
    """Gathers the warnings in a log of assessments.

    A warning is on while any driver of the processor is in a band, whoever is to blame. Bands are held, so that it does
    not come and go.

    Args:
        least: the lowest band that is a warning.

    Attributes:
        found: every warning, in the order they began.
    """

    def __init__(self, least: str = "high") -> None:
        self._least = BANDS.index(least)
        self._open: dict[str, Episode] = {}
        self.found: list[Episode] = []

    def take(self, said: RiskAssessment) -> None:
        """Take in an assessment; to be called in the order of their seconds."""
        grave = [driver for driver in said.drivers if BANDS.index(driver.band) >= self._least]
        current = self._open.get(said.processor)
        if not grave:
            if current is not None:
                current.resolved_at = said.second + 1
                del self._open[said.processor]
            return
        if current is None:
            current = self._open[said.processor] = _opened(said, grave)
            self.found.append(current)
        _follow(current, said, grave)


def _opened(said: RiskAssessment, grave: Sequence[Driver]) -> Episode:
    lead = grave[0]
    return Episode(said.processor, lead.name, lead.dimension, lead.value, lead.band, said.second + 1, 0.0)


def _follow(current: Episode, said: RiskAssessment, grave: Sequence[Driver]) -> None:
    lead = grave[0]
    if said.second + 1 - current.opened_at <= UNDECIDED_SEC:
        current.driver, current.dimension, current.value = lead.name, lead.dimension, lead.value
    current.peak = max(current.peak, *(driver.severity for driver in grave))
    current.severity = max(current.severity, *(driver.band for driver in grave), key=BANDS.index)
