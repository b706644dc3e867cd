"""Risk score, version 1: six shares of one sliding window, weighted and added up."""

from itertools import compress, product

from payflux.risk import INSUFFICIENT_DATA
from payflux.risk.window import Window

MIN_EVENTS = 5
"""With fewer events in the window than this nothing is said."""

LIMITS: dict[str, float] = {
    "high_failure_rate": 0.4,
    "retry_pressure_spike": 1.5,
    "timeout_clustering": 0.5,
    "traffic_volatility": 1.0,
    "geo_entropy_increase": 5,
    "auth_failure_cluster": 0.5,
}
"""What must be exceeded for each driver to be named, in the units of `ScoreV1.explain` and in the order of naming.

That is 0.4 of the failure rate, and half of where each other part of the score stops growing.
"""

RATE_LIMIT, RETRY_LIMIT, TIMEOUT_LIMIT, SURGE_LIMIT, GEO_LIMIT, AUTH_LIMIT = LIMITS.values()

NAMED = {
    fired: tuple(compress(LIMITS, fired)) or ("nominal_behavior",)
    for fired in product((False, True), repeat=len(LIMITS))
}
"""The drivers to name for each combination of exceeded limits; a table, as every event asks for them."""

HALF_UP = 0.5 + 1e-9
"""Rounds to hundredths as one does by hand: a half goes up even where binary fractions fall just short of it."""


class ScoreV1:
    """One processor's score.

    It is the sum of six parts, each at most 1, times their weights: 0.25 failure rate, 0.20 mean retries / 3,
    0.15 share of timeouts among failures, 0.15 surge of traffic / 2, 0.15 distinct geographies / 10, and 0.10 share of
    authentication failures among failures; rounded to 0.01.

    The failure rate is failures / (successes + failures): without successes it is always 1. Events that are neither
    count as traffic, towards the mean of the retries, and with their geographies. A processor that answers nothing but
    timeouts, in steady traffic from everywhere and without retries, comes to 0.63: such an outage is `high`, not
    `critical`.
    """

    __slots__ = ("_window", "observe")

    def __init__(self, window_sec: int) -> None:
        self._window = Window(window_sec)
        self.observe = self._window.add
        """Count one event; see `Detector.observe`."""

    def assess(self, at_ms: int) -> tuple[float, tuple[str, ...]]:
        """Score and drivers at a stream time; see `Detector.assess`.

        Costs O(1) within the bucket of the last event, and a copy of the window later on.
        """
        window = self._window
        if at_ms >= window.ends_ms:
            window = window.ahead(at_ms)
        if window.events < MIN_EVENTS:
            return 0.0, INSUFFICIENT_DATA
        rate, retries, timeouts, surge, geos, auth = _observed(window)
        score = (
            0.25 * rate
            + 0.20 * (retries / 3.0 if retries < 3.0 else 1.0)
            + 0.15 * timeouts
            + 0.15 * (surge / 2.0 if surge < 2.0 else 1.0)
            + 0.15 * (geos / 10 if geos < 10 else 1.0)
            + 0.10 * auth
        )
        drivers = NAMED[
            rate > RATE_LIMIT,
            retries > RETRY_LIMIT,
            timeouts > TIMEOUT_LIMIT,
            surge > SURGE_LIMIT,
            geos > GEO_LIMIT,
            auth > AUTH_LIMIT,
        ]
        return int(score * 100 + HALF_UP) / 100, drivers

    def explain(self, at_ms: int) -> dict[str, tuple[float, float]]:
        """Observed and limit for each driver; see `Detector.explain`.

        The units are: failure rate, mean retries of an event, share of failures, multiple of the mean bucket, number of
        geographies, share of failures. With too few events to score: how many there are, and how many it takes.
        """
        window = self._window
        if at_ms >= window.ends_ms:
            window = window.ahead(at_ms)
        if window.events >= MIN_EVENTS:
            return dict(zip(LIMITS, zip(_observed(window), LIMITS.values(), strict=True), strict=True))
        return {INSUFFICIENT_DATA[0]: (window.events, MIN_EVENTS)} if window.events else {}


def _observed(window: Window) -> tuple[float, float, float, float, int, float]:
    """What each driver of `LIMITS` looks at, in that order; the window is not empty.

    The surge is the current bucket's events over the mean of the other buckets that hold any (that mean is at least 1,
    as none of them is empty). Without another there is nothing to compare with, and it is 0; the first PayFlux compared
    with empty buckets, and called every first minute a spike.
    """
    events, failures, earlier = window.events, window.failures, window.earlier_events
    return (
        failures / (window.successes + failures) if failures else 0.0,
        window.retries / events,
        window.timeouts / failures if failures else 0.0,
        (events - earlier) * window.earlier_buckets / earlier if earlier else 0.0,
        len(window.geos),
        window.auth_failures / failures if failures else 0.0,
    )
