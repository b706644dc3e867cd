"""The corpus as columns of numbers: the very attempts that events are made of, and as noisy as real traffic."""

from collections import Counter
from itertools import takewhile

import numpy as np
import pytest

from benchmarks.detection.columns import Columns, Floats, Ints, cells, spans
from payflux.load.corpus.attempts import Attempt
from payflux.load.corpus.population import CORPUS, PROCESSORS
from payflux.load.corpus.schedule import planned
from payflux.load.traffic import Traffic

MONDAY = 1_767_571_200.0


def traffic(name: str, plan: str, warm_up: float = 600) -> Traffic:
    processors = {name: PROCESSORS[name]}
    return Traffic(3, MONDAY, planned([plan] if plan else [], 3, MONDAY, processors, warm_up), processors)


def drawn(name: str, plan: str, seconds: int) -> list[Columns]:
    (lane,) = traffic(name, plan).lanes()
    return list(spans(lane, seconds))


def row(attempt: Attempt) -> tuple[int, ...]:
    payment = attempt.payment
    about = (payment.geo, payment.method, payment.issuer, payment.channel, payment.merchant, payment.amount)
    return (attempt.at, *about, payment.declines, attempt.tries, attempt.category, attempt.latency)


@pytest.mark.parametrize(
    ("name", "plan", "seconds"),
    [("p5", "corpus", 20_000), ("p0_5", "corpus", 40_000), ("p20", "benign", 8000), ("stripe", "", 3700)],
)
def test_columns_and_events_are_the_same_attempts(name: str, plan: str, seconds: int) -> None:
    """Not only in distribution: one for one, with incidents and without, retries of hours ago included."""
    attempts = takewhile(lambda attempt: attempt.at < seconds * 1000, traffic(name, plan).attempts())
    expected = sorted(map(row, attempts))
    assert len(expected) > 5000
    parts = drawn(name, plan, seconds)
    assert sorted(one for part in parts for one in zip(*(column.tolist() for column in part), strict=True)) == expected


def test_cells_are_counts_of_events() -> None:
    """By second and kind, as a count of the events themselves gives them, in the order of time."""
    seconds, found = 7200, Counter[tuple[int, ...]]()
    last = -1
    for part in drawn("p5", "corpus", seconds):
        counted = cells(part)
        assert last < counted.second[0]
        assert (np.diff(counted.second) >= 0).all()
        last = counted.second[-1]
        *kinds, counts = (column.tolist() for column in counted)
        found.update(dict(zip(zip(*kinds, strict=True), counts, strict=True)))
    expected = Counter[tuple[int, ...]]()
    for one in takewhile(lambda attempt: attempt.at < seconds * 1000, traffic("p5", "corpus").attempts()):
        kind = (one.payment.geo, one.payment.method, one.payment.issuer, one.payment.channel)
        expected[one.at // 1000, *kind, int(one.tries > 0), one.category, int(one.payment.amount < 306)] += 1
    assert found == expected


def minutes(name: str, hours: int) -> tuple[Ints, Floats]:
    """Attempts and failures by hour and minute, in normal traffic."""
    parts = drawn(name, "", hours * 3600)
    minute = np.concatenate([part.at for part in parts]) // 60_000
    failed = np.concatenate([part.category > 0 for part in parts])
    counts, failures = np.bincount(minute), np.bincount(minute, weights=failed)
    return np.asarray(counts, np.int64).reshape(hours, 60), failures.astype(np.float64).reshape(hours, 60)


@pytest.mark.parametrize("name", [name for name in CORPUS if name != "p0_05"])
def test_normal_traffic_is_as_noisy_as_real_traffic(name: str) -> None:
    """Pearson's dispersion of minutes within their hour: 1.0 to 1.2 of decline shares, 0.9 to 2.6 of arrivals.

    Around the share of the hour, and around the straight line through its minutes; the median of the hours. The limits
    are what was measured in a real series of minutes, with a margin for the few hours that are looked at.
    """
    counts, failures = minutes(name, {"p50": 10, "p200": 6}.get(name, 24))
    share = failures.sum(1, keepdims=True) / counts.sum(1, keepdims=True)
    assert 0.08 < share.mean() < 0.13
    declines = ((failures - counts * share) ** 2 / (counts * share * (1 - share) + 1e-9)).sum(1) / 59
    assert 0.93 < np.median(declines) < 1.27
    place = np.arange(60) - 29.5
    line = counts.mean(1, keepdims=True) + (counts * place).sum(1, keepdims=True) / (place**2).sum() * place
    assert 0.9 < np.median(((counts - line) ** 2 / line).sum(1) / 58) < 2.6
