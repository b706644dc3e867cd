"""Assessments: what is said of one processor at one second."""

from typing import Literal, get_args

import msgspec

from payflux.risk.drivers import Driver

Band = Literal["low", "elevated", "high", "critical"]
BANDS: tuple[str, ...] = get_args(Band)
"""From harmless to worst; the three thresholds lie between them."""


class RiskAssessment(msgspec.Struct, frozen=True, gc=False):
    """The risk of one processor from one second on, until the next one.

    Attributes:
        second: stream time in seconds: it holds for events of later seconds.
        processor: the payment processor.
        score: 0.0 (none) to 1.0; of failures that count against the processor alone.
        band: the one of `BANDS` the score lies in, or a higher one that is still held.
        drivers: what is out of the ordinary, the first cause first; also what does not raise the score.
        learned: it is known what is normal; before, nothing exceeds `elevated` but the unmistakable.
        note: what happened to the baseline: empty, `baseline_learned`, `baseline_reset`, or `baseline_gap`:
            events are missing that the stream held no longer when a consumer took over.
    """

    second: int
    processor: str
    score: float = 0.0
    band: str = BANDS[0]
    drivers: tuple[Driver, ...] = ()
    learned: bool = False
    note: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the drivers as exported, each once, never empty."""
        if self.drivers:
            return tuple(dict.fromkeys(driver.name for driver in self.drivers))
        return ("nominal_behavior",) if self.learned else ("insufficient_data",)

    @property
    def concern(self) -> float:
        """The worst severity of any driver, whoever is to blame, 0.0 to 1.0."""
        return max((driver.severity for driver in self.drivers), default=0.0)
