"""Severity: the lower of how sure the charts are and how bad it is.

How sure: evidence in nats, a line through 0 at 4, 0.3 at 8, 0.6 at 11.5, 0.8 at 15 and 1 at 25. How bad: which share of
the processor's attempts fails beyond what is expected. A trouble that is certain and immaterial stays below 0.6, and so
does one that is grave if it is true and may be chance.
"""

from bisect import bisect_right
from collections.abc import Callable

from payflux.risk.evidence.streams import Effect

NOTICE = 0.59
"""The most that is said of what is worth knowing and no reason to act."""

SURE = ((4.0, 0.0), (8.0, 0.3), (11.5, 0.6), (15.0, 0.8), (25.0, 1.0))
"""Nats of evidence, and the most that is said with so much."""

SHARES = ((0.025, 0.6), (0.2, 0.8), (0.6, 1.0))
"""Shares of all attempts that fail beyond expectation, and the most that is said of so many."""


SHOWN, SURELY_SHOWN = 0.25, 2.5
"""Which part of an excess must show in all failures together, and with how much evidence in nats."""


def _line(points: tuple[tuple[float, float], ...], at: float) -> float:
    """The value at a place of a line through points; level beyond the last, the first one's before it."""
    place = bisect_right(points, (at, 2.0))
    if place == 0:
        return points[0][1]
    if place == len(points):
        return points[-1][1]
    (left, low), (right, high) = points[place - 1], points[place]
    return low + (high - low) * (at - left) / (right - left)


def certainty(evidence: float) -> float:
    """How sure it is, 0 to 1.

    Args:
        evidence: in nats, after the price.
    """
    return _line(SURE, evidence)


def damage(gate: str, effect: Effect) -> float:
    """How bad it is, 0 to 1.

    Args:
        gate: a name in `GATES`.
        effect: what happened since the chart left 0.
    """
    return GATES[gate](effect)


def _shares(least: float, effect: Effect) -> float:
    share = (effect.k - effect.expected) / effect.attempts if effect.attempts else 0.0
    return NOTICE if share < least else max(_line(SHARES, share), 0.6)


def is_shown(effect: Effect) -> bool:
    """What fails beyond expectation fails beyond the expectation of all failures; a new name for old ones does not."""
    return effect.shown >= SHOWN * (effect.k - effect.expected) and effect.sure >= SURELY_SHOWN


def _whole(effect: Effect) -> float:
    return _shares(0.025, effect)


def _segment(effect: Effect) -> float:
    n, k, excess = effect.n, effect.k, effect.k - effect.expected
    if not n or excess < 0.15 * n or excess < 0.004 * effect.attempts:
        return NOTICE
    severe = k >= 0.5 * n and n >= 0.05 * effect.attempts
    return max(_shares(0.0, effect), 0.8 if severe else 0.6)


def _retries(effect: Effect) -> float:
    return _shares(0.04, effect)


def _card_testing(effect: Effect) -> float:
    return _shares(0.015, effect)


def _latency(effect: Effect) -> float:
    return min(_shares(0.10, effect), 0.79)


def _drop(effect: Effect) -> float:
    """Here `k` are the events that did not come, and `attempts` those that were due."""
    lost = effect.k / effect.attempts if effect.attempts else 0.0
    return NOTICE if lost < 0.6 else _line(((0.6, 0.6), (0.8, 0.8), (0.95, 1.0)), lost)


def _notice(_: Effect) -> float:
    return NOTICE


GATES: dict[str, Callable[[Effect], float]] = {
    "whole": _whole,
    "soft": _whole,
    "segment": _segment,
    "retries": _retries,
    "card_testing": _card_testing,
    "latency": _latency,
    "drop": _drop,
    "notice": _notice,
}


SHOWN_GATES = frozenset({"whole", "soft", "segment"})
"""The gates of failures, which must show in all failures together."""


class Hold:
    """A band that rises at once, and falls when the score has stayed well below its threshold for a while.

    Attributes:
        band: 0 to 3.
        below: the second since which the score has been low enough to fall; -1 when it is not.
    """

    __slots__ = ("band", "below")

    def __init__(self, band: int = 0, below: int = -1) -> None:
        self.band, self.below = band, below

    def update(self, second: int, score: float, thresholds: tuple[float, ...], hold_sec: int) -> int:
        """Take in the score of a second.

        Args:
            second: stream time, never less than before.
            score: 0 to 1.
            thresholds: where the bands after the first begin, ascending.
            hold_sec: how long the score must have been low.

        Returns:
            The band; never less than the score's own.
        """
        own = bisect_right(thresholds, score)
        if own >= self.band:
            self.band, self.below = own, -1
        elif score >= thresholds[self.band - 1] - min(0.1, thresholds[0] / 2):
            self.below = -1
        elif self.below < 0:
            self.below = second
        elif second - self.below >= hold_sec:
            self.band, self.below = own, -1
        return self.band

    def due(self, hold_sec: int) -> int:
        """The second at which the band falls if the score stays where it is; -1 when none will."""
        return self.below + hold_sec if self.below >= 0 else -1
