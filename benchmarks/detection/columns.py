"""The corpus as columns of numbers: the attempts of `payflux.load.traffic`, drawn an hour at once.

The streams of words are those of `payflux.load.corpus.attempts`, consumed in the same order, and no float is used that
is not exact, so that these are the same attempts, one for one; `tests/benchmarks/detection/test_columns.py` holds it.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from payflux.load.corpus.attempts import (
    CATEGORIES_OF,
    CHANNEL_COUNT,
    FIRST_WORDS,
    HASTE_MS,
    METHOD_COUNT,
    NEXT_ADDEND,
    NEXT_FACTOR,
    OF_RECURRING,
    OF_TESTS,
    RETRY_WORDS,
    USUAL,
    Source,
    arrivals_of,
)
from payflux.load.corpus.chance import WORD, words
from payflux.load.corpus.conditions import HALF_WORD, Conditions
from payflux.load.corpus.lanes import Lane
from payflux.load.corpus.population import (
    CATEGORIES,
    CHANNELS,
    COUNTRIES,
    LATENCIES,
    MERCHANT_OF,
    QUANTILES,
    RECURRING,
    RESEND_LIMIT,
    RETRY_LIMIT,
    RETRY_ODDS,
    RETRYABLE,
    SMALL_AMOUNTS,
    STORM_LIMIT,
    TIMEOUT,
    TIMEOUT_LATENCIES,
)
from payflux.load.corpus.seasons import CHANNEL_OF, ISSUERS_OF, Minute, methods_with

Thing = TypeVar("Thing")
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SPAN = 3600
"""Seconds drawn at once."""

_MERCHANTS, _ISSUERS, _CHANNELS = np.array(MERCHANT_OF), np.array(ISSUERS_OF), np.array(CHANNEL_OF)
_DECLINES, _RETRYABLE = np.array(CATEGORIES_OF), np.array(RETRYABLE)
_LATENCIES, _TIMEOUT_LATENCIES = np.array(LATENCIES), np.array(TIMEOUT_LATENCIES)
_RETRIES = np.array([channel.retries for channel in CHANNELS.values()])
_DELAYS = np.array([channel.delays for channel in CHANNELS.values()])


class Columns(NamedTuple):
    """Attempts, one in each row; the members are those of `attempts.Attempt` and `attempts.Payment`."""

    at: Ints
    geo: Ints
    method: Ints
    issuer: Ints
    channel: Ints
    merchant: Ints
    amount: Ints
    declines: Ints
    tries: Ints
    category: Ints
    latency: Ints

    def rows(self, chosen: NDArray[np.bool_]) -> "Columns":
        """Some of the rows."""
        return Columns(*(column[chosen] for column in self))


class Cells(NamedTuple):
    """How many attempts of a kind there are in a second, ordered by second; numbers as in `Columns`.

    `retried` is 1 for retries, `category` 0 for success, `small` 1 for amounts of card tests.
    """

    second: Ints
    geo: Ints
    method: Ints
    issuer: Ints
    channel: Ints
    retried: Ints
    category: Ints
    small: Ints
    attempts: Ints


def spans(lane: Lane, seconds: int) -> Iterator[Columns]:
    """The attempts at one processor, an hour after the other, until so many seconds after the start of the traffic.

    Within an hour they are in no order of time.
    """
    later = _nothing()
    for start in range(0, seconds, SPAN):
        end = min(start + SPAN, seconds)
        begun = [part for one in _runs(lane, start, end).values() for part in _drawn(one)]
        found = _joined([later, *begun])
        now = found.at < end * 1000
        later = found.rows(~now)
        yield found.rows(now)


def cells(columns: Columns) -> Cells:
    """Count the attempts of a stretch of time by second and kind."""
    sizes = (len(COUNTRIES), METHOD_COUNT, len(COUNTRIES), CHANNEL_COUNT, 2, len(CATEGORIES), 2)
    kinds = (columns.geo, columns.method, columns.issuer, columns.channel, columns.tries > 0, columns.category)
    key: Ints = columns.at // 1000
    for size, kind in zip(sizes, (*kinds, columns.amount <= SMALL_AMOUNTS[-1]), strict=True):
        key = key * size + kind.astype(np.int64)
    key, attempts = np.unique(key, return_counts=True)
    parts: list[Ints] = []
    for size in reversed(sizes):
        key, part = np.divmod(key, size)
        parts.insert(0, part)
    return Cells._make((key, *parts, attempts))


class _Run(NamedTuple):
    """Seconds in a row in which the same holds at a source."""

    source: Source
    seconds: range
    rate: float
    minute: Minute
    conditions: Conditions


def _runs(lane: Lane, start: int, end: int) -> dict[Source, list[_Run]]:
    """The sources of some seconds, each with its runs."""
    runs: dict[Source, list[_Run]] = {}
    first = start
    while first < end:
        conditions = lane.profile.conditions(first)
        last = first + 1
        while last < end and last % 60 and lane.profile.conditions(last) is conditions:
            last += 1
        for source, rate, minute in lane.sources(first):
            runs.setdefault(source, []).append(_Run(source, range(first, last), rate, minute, conditions))
        first = last
    return runs


def _drawn(runs: list[_Run]) -> Iterator[Columns]:
    """What one source gives: its first attempts, then one generation of retries after the other."""
    source = runs[0].source
    second, which = _arrivals(source, runs)
    drawn = _words(source.firsts, len(which), FIRST_WORDS)
    attempts, odds = _payments(source, runs, which, drawn)
    attempts.at[:] += second * 1000
    weather = _Weather([run.conditions for run in runs])
    row = weather.of[which]
    delay = _settle(attempts, weather, row, odds * weather.odds[row], drawn[2:])
    yield attempts
    for tries, random in enumerate(source.retries, 1):
        attempts = attempts.rows(delay > 0)
        attempts.at[:] += delay[delay > 0]
        attempts.tries[:] = tries
        seconds, which = np.unique(attempts.at // 1000, return_inverse=True)
        weather = _Weather([source.profile.conditions(second) for second in seconds.tolist()])
        row = weather.of[which]
        attempts, row = attempts.rows(weather.open[row]), row[weather.open[row]]
        if not len(row):
            return
        odds = np.full(len(row), RETRY_ODDS)
        delay = _settle(attempts, weather, row, odds, _words(random, len(row), RETRY_WORDS))
        yield attempts


def _arrivals(source: Source, runs: list[_Run]) -> tuple[Ints, Ints]:
    """The second of each new payment, and the number of its run."""
    lengths = np.array([len(run.seconds) for run in runs])
    (drawn,) = _words(source.counts, int(lengths.sum()), 1)
    parts = []
    for run, words_of_run in zip(runs, np.split(drawn, lengths.cumsum()[:-1]), strict=True):
        arrivals = arrivals_of(run.rate)
        parts.append(arrivals.least + np.searchsorted(arrivals.edges, words_of_run, side="right"))
    counts = np.concatenate(parts)
    seconds = np.concatenate([np.arange(run.seconds.start, run.seconds.stop) for run in runs])
    return np.repeat(seconds, counts), np.repeat(np.repeat(np.arange(len(runs)), lengths), counts)


def _words(random: Random, count: int, each: int) -> Ints:
    """The next words of a stream, `each` rows of `count`."""
    return np.frombuffer(words(random, count * each), "<u4").astype(np.int64).reshape(count, each).T


def _payments(source: Source, runs: list[_Run], which: Ints, drawn: Ints) -> tuple[Columns, Floats]:
    """New payments with their times within a second, not yet settled, and their odds of failing."""
    a, b, _, d, _, _ = drawn
    pins, count = source.pins, len(which)
    if pins.geos is None:
        geo = _looked_up([run.minute.geos for run in runs], which, a & 4095)
    else:
        geo = np.array(pins.geos)[(a & 4095) * len(pins.geos) >> 12]
    methods = [methods_with(run.conditions.moved) for run in runs]
    issuer = _ISSUERS[b & 4095]
    channel = _CHANNELS[b >> 24] if pins.channel is None else np.full(count, pins.channel)
    tested = pins.odds is not None
    payments = Columns(
        at=(a >> 12 & 1023) * 1000 >> 10,
        geo=geo,
        method=_looked_up(methods, which, a >> 22) if pins.method is None else np.full(count, pins.method),
        issuer=np.where(issuer < 0, geo, issuer),
        channel=channel,
        merchant=_MERCHANTS[b >> 12 & 4095] if pins.merchant is None else np.full(count, pins.merchant),
        amount=np.array(pins.amounts)[d >> 12 & 1023],
        declines=np.full(count, OF_TESTS) if tested else np.where(channel == RECURRING, OF_RECURRING, USUAL),
        tries=np.zeros(count, np.int64),
        category=np.zeros(count, np.int64),
        latency=np.zeros(count, np.int64),
    )
    return payments, np.full(count, pins.odds) if tested else _odds(source, runs, which, payments)


def _odds(source: Source, runs: list[_Run], which: Ints, payments: Columns) -> Floats:
    tables, of = _distinct([run.minute.odds for run in runs])
    factors = np.array(source.profile.factors)[payments.geo * METHOD_COUNT + payments.method]
    minute = np.array(tables)[of[which], payments.issuer * CHANNEL_COUNT + payments.channel]
    odds: Floats = factors * minute * np.array(source.profile.merchants)[payments.merchant]
    return odds


class _Weather:
    """What incidents do in some seconds, a row for each different thing; `of` says which row each second has."""

    def __init__(self, conditions: Sequence[Conditions]) -> None:
        rows, self.of = _distinct(conditions)
        self.odds = np.array([row.odds for row in rows], np.float64)
        self.open = np.array([row.traffic > 0 for row in rows], np.bool_)
        self.latency = np.array([row.latency for row in rows], np.int64)
        self.retrying = np.array([row.retrying for row in rows], np.int64)
        self.resending = np.array([row.resending for row in rows], np.int64)
        self.failing = [
            _FailingColumn(rows, place) for place in range(max((len(row.failing) for row in rows), default=0))
        ]


class _FailingColumn:
    """The failures that the incidents at one place in the order of each row cause; `below` is 0 where there is none."""

    def __init__(self, rows: Sequence[Conditions], place: int) -> None:
        found = [row.failing[place] if len(row.failing) > place else None for row in rows]
        self.below = np.array([one.below if one else 0 for one in found], np.int64)
        self.dimension = np.array([one.dimension if one else 0 for one in found], np.int64)
        self.value = np.array([one.value if one else 0 for one in found], np.int64)
        tables, self.table = _distinct([one.categories if one else (0,) * 1024 for one in found])
        self.tables = np.array(tables, np.int64)


def _settle(attempts: Columns, weather: _Weather, row: Ints, odds: Floats, drawn: Ints) -> Ints:
    """Decide how attempts end; returns the delays until the next ones, 0 for none."""
    c, d, e, f = drawn
    category = np.where(c * (1 + odds) < odds * WORD, _DECLINES[attempts.declines, d & 4095], 0)
    undecided = np.ones(len(row), np.bool_)
    concerned = np.stack([attempts.geo, attempts.method, attempts.issuer, attempts.channel])
    for failing in weather.failing:
        dimension = failing.dimension[row]
        own = concerned[np.maximum(dimension, 0), np.arange(len(row))] == failing.value[row]
        hit = undecided & (e < failing.below[row]) & ((dimension < 0) | own)
        category = np.where(hit, failing.tables[failing.table[row], d & 1023], category)
        undecided &= ~hit
        e = e * NEXT_FACTOR + NEXT_ADDEND & WORD - 1
    usual = _LATENCIES[d >> 22] * weather.latency[row] >> 10
    attempts.category[:] = category
    attempts.latency[:] = np.where(category == TIMEOUT, _TIMEOUT_LATENCIES[d >> 22], usual)
    return _delays(attempts, weather, row, f)


def _delays(attempts: Columns, weather: _Weather, row: Ints, word: Ints) -> Ints:
    hasty, usual = word & HALF_WORD - 1, word >> 16
    soon, tries = HASTE_MS + (usual >> 5), attempts.tries
    share = _RETRIES[attempts.channel]
    patient = np.where(
        (usual < share) & (tries < RETRY_LIMIT),
        _DELAYS[attempts.channel, np.minimum(usual * QUANTILES // share, QUANTILES - 1)],
        0,
    )
    stormy = np.where(hasty < weather.retrying[row], np.where(tries < STORM_LIMIT, soon, 0), patient)
    failed = np.where(_RETRYABLE[attempts.category], stormy, 0)
    resent = (hasty < weather.resending[row]) & (attempts.merchant % 5 & 1 == 1)
    delays: Ints = np.where(resent, np.where(tries < RESEND_LIMIT, soon, 0), failed)
    return delays


def _distinct(things: Sequence[Thing]) -> tuple[list[Thing], Ints]:
    """The different objects among some, and which of them each one is; equal ones may count as different."""
    numbers: dict[int, int] = {}
    of = np.array([numbers.setdefault(id(thing), len(numbers)) for thing in things], np.int64)
    kept = {id(thing): thing for thing in things}
    return [kept[identity] for identity in numbers], of


def _looked_up(tables: Sequence[tuple[int, ...]], which: Ints, slot: Ints) -> Ints:
    """What stands in a slot of the table of each row."""
    distinct, of = _distinct(tables)
    found: Ints = np.array(distinct, np.int64)[of[which], slot]
    return found


def _nothing() -> Columns:
    return Columns(*(np.zeros(0, np.int64) for _ in Columns._fields))


def _joined(parts: Sequence[Columns]) -> Columns:
    return Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
