"""Risk: what a detector is, which ones there are, and what an assessment says.

A detector watches one payment processor. A new one is one file and one line in `DETECTORS`; `payflux.risk.scorer` makes
one for each processor, and adds bands and bounded memory.
"""

from importlib import import_module
from typing import Protocol, cast

import msgspec

from payflux.event.outcome import Outcome

BANDS = ("low", "elevated", "high", "critical")
"""From harmless to worst; the three thresholds lie between them."""

INSUFFICIENT_DATA = ("insufficient_data",)
"""The drivers of a processor about which too little is known: it scores 0, which is not to say that it is healthy."""


class Assessment(msgspec.Struct, frozen=True, gc=False):
    """The risk of one processor at one moment.

    Attributes:
        score: 0.0 (none) to 1.0.
        band: the one of `BANDS` the score lies in.
        drivers: what the score comes from; never empty.
    """

    score: float
    band: str
    drivers: tuple[str, ...]


class Detector(Protocol):
    """Watches one processor, in stream time: the milliseconds of the stream's entry ids, the same on every replay."""

    def observe(self, at_ms: int, outcome: Outcome, retry_count: int, geo: str) -> None:
        """Count one event.

        Args:
            at_ms: the event's stream time; must not break anything when it is older than the last one.
            outcome: what the event says; its `scored` is true.
            retry_count: retries made so far, 0 to 100.
            geo: the event's `geo_bucket`, as sent; may be empty.
        """

    def assess(self, at_ms: int) -> tuple[float, tuple[str, ...]]:
        """Score (0.0 to 1.0, rounded to 0.01) and drivers at a stream time.

        Changes nothing that later events are scored by, however far ahead that time lies.
        """

    def explain(self, at_ms: int) -> dict[str, tuple[float, float]]:
        """What was observed for each driver, and the threshold above which that driver is named, in the same unit.

        Empty when no event counts any more: the detector then scores like a new one.
        """


class DetectorClass(Protocol):
    """What makes detectors."""

    def __call__(self, window_sec: int, /) -> Detector:
        """A detector for one processor, with a sliding window of so many seconds."""


DETECTORS = {"v1": "payflux.risk.score_v1:ScoreV1"}
"""Every detector PayFlux brings, by name, as `module:Class`; imported when used."""


def detector_class(name: str) -> DetectorClass:
    """Find a detector.

    Args:
        name: a name in `DETECTORS`, or any `module:Class`.

    Returns:
        Its class.

    Raises:
        ValueError: it is neither of the two.
        ImportError: there is no such module.
        AttributeError: the module has no such class.
    """
    module, colon, attribute = DETECTORS.get(name, name).partition(":")
    if not colon:
        raise ValueError(f"unknown detector {name!r}: expected one of {', '.join(DETECTORS)}, or module:Class")
    return cast("DetectorClass", getattr(import_module(module), attribute))
