"""The corpus second by second: as the detector counts it, and as the series that other rules look at."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.columns import Columns, Ints, spans
from payflux.load.corpus.lanes import Lane
from payflux.load.corpus.population import CATEGORIES, CHANNELS, COUNTRIES, DECLINES, METHODS, TIMEOUT
from payflux.risk.counts import Counts
from payflux.risk.observation import Observation, is_small_amount, latency_class
from payflux.risk.reading import Facts, observed

MOST_LATENCY = 32_768
AUTHENTICATION = CATEGORIES.index("authentication_failed")
_CODE = 1 << 32
_CLASSES = np.array([latency_class(latency) for latency in range(MOST_LATENCY + 1)])
_METHODS, _CHANNELS = tuple(METHODS), tuple(CHANNELS)
_SIZES = (len(_METHODS), len(COUNTRIES), len(_CHANNELS), 2, len(CATEGORIES), 2)
_SMALL, _LARGE = 500, 501
assert (is_small_amount(_SMALL), is_small_amount(_LARGE)) == (True, False)


class Series(NamedTuple):
    """What other rules look at: a number for each second, and for each geography.

    Attributes:
        events: attempts.
        failures: those that failed.
        timeouts: failures that are timeouts.
        authentications: failures of authentication.
        retries: the sum of retry counts.
        geos: whether there was an attempt of a geography, one row for each.
    """

    events: Ints
    failures: Ints
    timeouts: Ints
    authentications: Ints
    retries: Ints
    geos: NDArray[np.bool_]


class Tally:
    """Adds up the series of some seconds.

    Args:
        seconds: how many there are.
    """

    def __init__(self, seconds: int) -> None:
        a, b, c, d, e = (np.zeros(seconds, np.int64) for _ in range(5))
        self.series = Series(a, b, c, d, e, np.zeros((len(COUNTRIES), seconds), np.bool_))

    def add(self, rows: Columns) -> None:
        """Add some attempts."""
        if not len(rows.at):
            return
        second = rows.at // 1000
        first = second.min()
        failed = rows.category > 0
        chosen = (failed | ~failed, failed, rows.category == TIMEOUT, rows.category == AUTHENTICATION)
        for place, those in enumerate(chosen):
            found = np.bincount(second[those] - first)
            self.series[place][first : first + len(found)] += found
        tries = np.bincount(second - first, rows.tries).astype(np.int64)
        self.series.retries[first : first + len(tries)] += tries
        self.series.geos[rows.geo, second] = True


def counted(rows: Columns, known: dict[int, Observation]) -> Iterator[tuple[int, Counts]]:
    """The counts of every second with traffic, in order.

    Args:
        rows: attempts of a stretch of time.
        known: observations made before, by a code of ours; grows.
    """
    code: Any = rows.geo  # of numbers, each kind a digit
    second: Ints = rows.at // 1000
    kinds = (rows.method, rows.issuer, rows.channel, rows.tries > 0, rows.category, rows.amount <= _SMALL)
    for size, kind in zip(_SIZES, kinds, strict=True):
        code = code * size + kind
    counts: dict[int, Counts] = {}
    for key, times in _tally(second * _CODE + code):
        at, code_of = divmod(key, _CODE)
        if code_of not in known:
            known[code_of] = _observation(code_of)
        counts.setdefault(at, Counts()).add(known[code_of], times)
    classes = (second * 256 + _CLASSES[np.minimum(rows.latency, MOST_LATENCY)])[rows.category != TIMEOUT]
    for key, times in _tally(classes):
        counts[key >> 8].add_latency(key & 255, times)
    yield from sorted(counts.items())


def _tally(keys: Ints) -> Iterator[tuple[int, int]]:
    found, times = np.unique(keys, return_counts=True)
    return zip(found.tolist(), times.tolist(), strict=True)


def _observation(code: int) -> Observation:
    """The observation that the detector makes of the event of such an attempt."""
    parts = []
    for size in reversed(_SIZES):
        code, part = divmod(code, size)
        parts.append(part)
    small, category, retried, channel, issuer, method = parts
    name = CATEGORIES[category]
    found = observed(
        Facts(
            "payment_failed" if category else "payment_succeeded",
            "",
            failure_category=name,
            failure_origin=DECLINES[name].origin if category else "",
            retry_count=retried,
            geo_bucket=COUNTRIES[code],
            payment_method_bucket=_METHODS[method],
            issuer_country=COUNTRIES[issuer],
            channel=_CHANNELS[channel],
            amount_minor=_SMALL if small else _LARGE,
        )
    )
    assert found is not None
    return found


def parts(lane: Lane, seconds: int) -> Iterator[Columns]:
    """The attempts of so many seconds, an hour after the other; what comes later is left out."""
    for rows in spans(lane, seconds):
        yield rows.rows(rows.at < 1000 * seconds)
