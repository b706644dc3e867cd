"""Other detectors, each a statistic over seconds that is compared with a level: what they fire at, for every level.

All look at the series of one processor, as they are usually deployed. What is named after a system is written anew
after its description; figures are not the system's.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from river.drift import ADWIN, PageHinkley

from benchmarks.detection.columns import Floats, Ints
from benchmarks.detection.seconds import Series

BUCKET, BUCKETS = 10, 30
"""Version 1 and the first PayFlux count in thirty buckets of ten seconds."""

WINDOW = 300
LEAST = 20
"""Attempts without which a ratio says nothing."""

MINUTE, HOUR = 60, 3600
SMOOTHING, FADE = 0.1, 1 / 8640
"""Of the EWMA chart: the weight of a bin of ten seconds, and of the mean it is compared with, which lasts a day."""

COLD_BINS = 720
OUTCOMES = 125


class Peer(NamedTuple):
    """A detector.

    Attributes:
        title: what it is called in tables.
        levels: from the most sensitive to the least; one alone where nothing is to be tuned.
        fires: the seconds at whose end it fires, at a level.
    """

    title: str
    levels: tuple[float, ...]
    fires: Callable[[Series], Callable[[float], Ints]]


def _since(values: Ints, starts: Ints) -> Ints:
    """How many there are from the second `starts` says to the end of each second."""
    total = np.concatenate(([0], values.cumsum()))
    summed: Ints = total[1:] - total[np.maximum(starts, 0)]
    return summed


def _last(values: Ints, seconds: int) -> Ints:
    return _since(values, np.arange(len(values)) - seconds + 1)


def _share(part: Ints, whole: Ints, least: int = 1) -> Floats:
    """Zero where there is less than `least`."""
    shares: Floats = np.where(whole >= least, part / np.maximum(whole, 1), 0.0)
    return shares


def _weighted(parts: Sequence[Floats]) -> Floats:
    """Failure rate, mean retries, share of timeouts, surge, geographies, share of authentication failures."""
    rate, retries, timeouts, surge, geos, authentications = parts
    score: Floats = 0.25 * rate + 0.20 * np.minimum(retries / 3, 1) + 0.15 * timeouts
    score = score + 0.15 * np.minimum(surge / 2, 1) + 0.15 * np.minimum(geos / 10, 1) + 0.10 * authentications
    return np.floor(score * 100 + 0.5 + 1e-9) / 100


def version_1(series: Series) -> Floats:
    """The score of PayFlux before this detector: six shares of a sliding window of 300 s."""
    second = np.arange(len(series.events))
    bucket = second // BUCKET * BUCKET
    start = bucket - (BUCKETS - 1) * BUCKET
    events, failures, timeouts, authentications, retries = (_since(one, start) for one in series[:5])
    current = _since(series.events, bucket)
    filled = np.add.reduceat(series.events, second[::BUCKET]) > 0
    before = np.concatenate(([0], filled.cumsum()))
    others = before[second // BUCKET] - before[np.maximum(start // BUCKET, 0)]
    surge = _share(current * others, events - current)
    seen = np.maximum.accumulate(np.where(series.geos, second, -WINDOW * 10), axis=1)
    geos = (seen >= start).sum(axis=0)
    parts = (_share(failures, events), _share(retries, events), _share(timeouts, failures), surge)
    score = _weighted((*parts, geos, _share(authentications, failures)))
    return np.where(events >= 5, score, 0.0)


def first_payflux(series: Series) -> Floats:
    """The score of the first PayFlux, whose thirty buckets were never cleared: of everything since its start."""
    second = np.arange(len(series.events))
    events, failures, timeouts, authentications, retries = (one.cumsum() for one in series[:5])
    slot = second // BUCKET % BUCKETS
    in_slot = np.zeros(len(second), np.int64)
    for number in range(BUCKETS):
        in_slot += np.where(slot == number, np.where(slot == number, series.events, 0).cumsum(), 0)
    surge = _share(in_slot * BUCKETS, events)
    geos = np.logical_or.accumulate(series.geos, axis=1).sum(axis=0)
    parts = (_share(failures, events), _share(retries, events), _share(timeouts, failures), surge)
    score = _weighted((*parts, geos, _share(authentications, failures)))
    return np.where(events >= 5, score, 0.0)


def _ratio(series: Series, seconds: int) -> Floats:
    return _share(_last(series.failures, seconds), _last(series.events, seconds), LEAST)


def _lowest(values: Floats, seconds: int) -> Floats:
    """The lowest value of the last so many seconds, looked at every ten; below every level before there are as many."""
    looked = values[BUCKET - 1 :: BUCKET]
    width = seconds // BUCKET + 1
    lows = np.full(len(looked), -1.0)
    if len(looked) >= width:
        lows[width - 1 :] = sliding_window_view(looked, width).min(axis=1)
    spread = np.full(len(values), -1.0)
    spread[BUCKET - 1 :: BUCKET] = lows
    return spread


def static_ratio(series: Series) -> Floats:
    """The share of failures in five minutes, above the level for five minutes."""
    return _lowest(_ratio(series, WINDOW), WINDOW)


def burn_rate(series: Series) -> Floats:
    """The lower of the shares of failures in an hour and in five minutes."""
    return np.minimum(_ratio(series, HOUR), _ratio(series, WINDOW))


def success_window(series: Series) -> Floats:
    """The share of failures among the last 125 attempts."""
    attempts = np.concatenate(([0], series.events.cumsum()))
    failures = np.concatenate(([0], series.failures.cumsum()))
    before = np.interp(attempts[1:] - OUTCOMES, attempts, failures)
    return np.where(attempts[1:] >= OUTCOMES, (failures[1:] - before) / OUTCOMES, 0.0)


def ewma(series: Series) -> Floats:
    """An EWMA chart of standardised failures in bins of ten seconds, beside a mean that lasts a day."""
    starts = np.arange(0, len(series.events), BUCKET)
    events = np.add.reduceat(series.events, starts).tolist()
    failures = np.add.reduceat(series.failures, starts).tolist()
    mean, chart, bins, spread = 0.1, 0.0, 0, np.sqrt(SMOOTHING / (2 - SMOOTHING))
    values = np.zeros(len(series.events))
    for place, (n, k) in enumerate(zip(events, failures, strict=True)):
        if n:
            bins += 1
            chart += SMOOTHING * ((k - n * mean) / np.sqrt(n * mean * (1 - mean)) - chart)
            mean += max(FADE, 1 / (bins + 10)) * (k / n - mean)
            mean = min(max(mean, 0.005), 0.95)
            if bins > COLD_BINS:
                values[min((place + 1) * BUCKET, len(values)) - 1] = chart / spread
    return values


def _minutes(series: Series) -> Iterator[tuple[int, float]]:
    """The last second of every minute with traffic, and the share of failures in it."""
    starts = np.arange(0, len(series.events), MINUTE)
    events = np.add.reduceat(series.events, starts).tolist()
    failures = np.add.reduceat(series.failures, starts).tolist()
    for start, n, k in zip(starts.tolist(), events, failures, strict=True):
        if n:
            yield min(start + MINUTE, len(series.events)) - 1, k / n


def adwin(series: Series, delta: float) -> Ints:
    """River's ADWIN on the share of failures by the minute, where it finds a rise."""
    detector: Any = ADWIN(delta=delta)  # type: ignore[no-untyped-call]
    fired, mean = [], 0.0
    for second, share in _minutes(series):
        detector.update(share)
        if detector.drift_detected and detector.estimation > mean:
            fired.append(second)
        mean = detector.estimation
    return np.array(fired, np.int64)


def page_hinkley(series: Series, threshold: float) -> Ints:
    """River's Page-Hinkley test of a rise in the share of failures by the minute."""
    detector: Any = PageHinkley(min_instances=120, delta=0.02, threshold=threshold, mode="up")
    fired = []
    for second, share in _minutes(series):
        detector.update(share)
        if detector.drift_detected:
            fired.append(second)
    return np.array(fired, np.int64)


def _above(statistic: Callable[[Series], Floats]) -> Callable[[Series], Callable[[float], Ints]]:
    """Fires wherever a statistic is above the level."""

    def of(series: Series) -> Callable[[float], Ints]:
        values = statistic(series)
        return lambda level: np.flatnonzero(values > level)

    return of


def _shipped(score: Callable[[Series], Floats]) -> Callable[[Series], Callable[[float], Ints]]:
    """Fires as the alert rules do: above 0.6 for five minutes, or at 0.8 for one."""

    def of(series: Series) -> Callable[[float], Ints]:
        values = score(series)
        firing = (_lowest(values, WINDOW) > 0.6) | (_lowest(values, MINUTE) >= 0.8)
        return lambda _: np.flatnonzero(firing)

    return of


def _each(fires: Callable[[Series, float], Ints]) -> Callable[[Series], Callable[[float], Ints]]:
    return lambda series: lambda level: fires(series, level)


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    return tuple(np.arange(first, last, step).round(3).tolist())


RATIOS = _steps(0.12, 0.70, 0.02)
PEERS = (
    Peer("version 1, its alert rules", (0.6,), _shipped(version_1)),
    Peer("version 1, tuned", _steps(0.3, 0.8, 0.02), _above(version_1)),
    Peer("first PayFlux, its alert rules", (0.6,), _shipped(first_payflux)),
    Peer("first PayFlux, tuned", _steps(0.3, 0.8, 0.02), _above(first_payflux)),
    Peer("static ratio, 5 min for 5 min", RATIOS, _above(static_ratio)),
    Peer("burn rate, 1 h and 5 min", RATIOS, _above(burn_rate)),
    Peer("success rate of 125", RATIOS, _above(success_window)),
    Peer("EWMA chart, 10 s", (*range(3, 20), 24.0, 30.0, 40.0), _above(ewma)),
    Peer("river ADWIN, 1 min", (0.002, 1e-4, 1e-6, 1e-8, 1e-12, 1e-18), _each(adwin)),
    Peer("river Page-Hinkley, 1 min", (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0), _each(page_hinkley)),
)
"""All of them."""
