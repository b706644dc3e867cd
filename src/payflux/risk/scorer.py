"""Scores every processor as its events flow by: one detector each, bands, and memory that stays bounded."""

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator

from payflux.event.outcome import Outcome
from payflux.risk import BANDS, INSUFFICIENT_DATA, Assessment, Detector, detector_class
from payflux.settings import Setting, flag, integer

Thresholds = tuple[float, float, float]


def _thresholds(text: str) -> Thresholds:
    numbers = [word.strip() for word in text.split(",")]
    if len(numbers) == 3 and all(re.fullmatch(r"[0-9]*\.?[0-9]+", number) for number in numbers):
        elevated, high, critical = map(float, numbers)
        if 0 < elevated < high < critical <= 1:
            return elevated, high, critical
    raise ValueError("three ascending numbers above 0 and up to 1, such as 0.3,0.6,0.8")


RISK_SCORE_ENABLED = Setting(
    "PAYFLUX_RISK_SCORE_ENABLED", flag, "true", "Whether exported events carry their processor's risk."
)
RISK_SCORE_WINDOW_SEC = Setting(
    "PAYFLUX_RISK_SCORE_WINDOW_SEC",
    integer(20, 86400),
    "300",
    "Length in seconds of the sliding window that is scored; rounded up to a multiple of 10.",
)
RISK_SCORE_THRESHOLDS = Setting(
    "PAYFLUX_RISK_SCORE_THRESHOLDS",
    _thresholds,
    "0.3,0.6,0.8",
    "The scores from which a processor's risk is `elevated`, `high` and `critical`; below the first it is `low`.",
)
SETTINGS = (RISK_SCORE_ENABLED, RISK_SCORE_WINDOW_SEC, RISK_SCORE_THRESHOLDS)


class _Tracked:
    """One processor: its detector, what was last said of it, and whether no event counted when it was last shown."""

    __slots__ = ("assess", "assessment", "detector", "observe", "quiet")

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.observe, self.assess = detector.observe, detector.assess
        self.assessment = UNKNOWN
        self.quiet = False


UNKNOWN = Assessment(0.0, BANDS[0], INSUFFICIENT_DATA)
"""What is said of a processor of which no scored event is known."""


class RiskScorer:
    """The risk of every processor.

    What it answers follows from the events it was given and their order alone: the same ones give the same scores, on
    replay too, and looking with `current` in between changes none of them.

    Args:
        window_sec: length of the sliding window in seconds.
        thresholds: the scores from which the bands after the first begin, ascending, in (0, 1].
        max_processors: how many processors are followed at once; one more, and the one idle longest is forgotten.
        detector: a name in `payflux.risk.DETECTORS`, or `module:Class`.

    Raises:
        ValueError, ImportError, AttributeError: there is no such detector.
    """

    def __init__(
        self, window_sec: int, thresholds: Thresholds, max_processors: int = 1000, detector: str = "v1"
    ) -> None:
        self._window_sec = window_sec
        self._thresholds = thresholds
        self._max_processors = max_processors
        self._new_detector = detector_class(detector)
        self._tracked: OrderedDict[str, _Tracked] = OrderedDict()  # the one idle longest first
        self._newest: _Tracked | None = None

    def score(self, at_ms: int, processor: str, outcome: Outcome, retry_count: int, geo: str) -> Assessment:
        """Count one event and assess its processor; to be called once for each event, in stream order.

        Args:
            at_ms: the event's stream time, the milliseconds of its entry id.
            processor: its payment processor.
            outcome: what it says; one that is not scored is answered but not counted.
            retry_count: its retries, 0 to 100.
            geo: its `geo_bucket`; may be empty.

        Returns:
            The processor's risk with this event; the same object as before where nothing changed.
        """
        tracked = self._tracked.get(processor)
        if not outcome.scored:
            return self._assess(tracked, at_ms) if tracked else UNKNOWN
        if tracked is None:
            tracked = self._track(processor)
        elif tracked is not self._newest:
            self._tracked.move_to_end(processor)
        self._newest = tracked
        tracked.observe(at_ms, outcome, retry_count, geo)
        score, drivers = tracked.assess(at_ms)
        last = tracked.assessment
        if last.score == score and last.drivers == drivers:
            return last
        return self._assessed(tracked, score, drivers)

    def current(self, at_ms: int) -> Iterator[tuple[str, Assessment]]:
        """The risk of every processor now, so that it decays without traffic.

        A processor none of whose events counts any more is given once, at 0, and then not until some do again.

        Args:
            at_ms: now in stream time: while entries wait to be read that of the last one scored, else Redis's clock.

        Returns:
            Processors and their risk, the one idle longest first.
        """
        shown = []
        for processor, tracked in self._tracked.items():
            known = bool(tracked.detector.explain(at_ms))
            if known or not tracked.quiet:
                shown.append((processor, self._assess(tracked, at_ms)))
            tracked.quiet = not known
        return iter(shown)

    def _track(self, processor: str) -> _Tracked:
        if len(self._tracked) >= self._max_processors:
            self._tracked.popitem(last=False)
        tracked = self._tracked[processor] = _Tracked(self._new_detector(self._window_sec))
        return tracked

    def _assess(self, tracked: _Tracked, at_ms: int) -> Assessment:
        score, drivers = tracked.assess(at_ms)
        last = tracked.assessment
        return last if last.score == score and last.drivers == drivers else self._assessed(tracked, score, drivers)

    def _assessed(self, tracked: _Tracked, score: float, drivers: tuple[str, ...]) -> Assessment:
        tracked.assessment = Assessment(score, self._band(score), drivers)
        return tracked.assessment

    def _band(self, score: float) -> str:
        return BANDS[bisect_right(self._thresholds, score)]
