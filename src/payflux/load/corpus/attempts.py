"""Attempts to pay, as numbers: drawn second by second from streams of words.

What decides an attempt takes the same number of words each time, and every generation of retries has a stream of its
own. So any number of seconds may be drawn at once, by whatever means, and the attempts are the same.
"""

from collections.abc import Iterator
from functools import lru_cache
from struct import iter_unpack
from typing import NamedTuple

from payflux.load.corpus.chance import WORD, Poisson, poisson, slots, stream, words
from payflux.load.corpus.conditions import EVERYTHING, HALF_WORD, Conditions, Plan
from payflux.load.corpus.population import (
    AMOUNTS,
    CHANNELS,
    COUNTRIES,
    DECLINES,
    FAR_GEOS,
    INVALID_CARD,
    LATENCIES,
    MERCHANT_OF,
    METHODS,
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
    Processor,
)
from payflux.load.corpus.scenarios import Extra
from payflux.load.corpus.seasons import CHANNEL_OF, ISSUERS_OF, Course, Minute, factors_of, methods_with

FIRST_WORDS, RETRY_WORDS = 6, 4
HASTE_MS = 1000
"""Nothing is tried again within a second; hasty retries come one to three seconds later."""

NEXT_FACTOR, NEXT_ADDEND = 1_664_525, 1_013_904_223
"""From one word to another that decides about the next incident (Knuth and Lewis; Numerical Recipes, 7.1)."""

USUAL, OF_RECURRING, OF_TESTS = 0, 1, 2
CATEGORIES_OF = (
    tuple(slots([0, *(decline.weight for decline in DECLINES.values())], 4096)),
    tuple(slots([0, *(decline.recurring for decline in DECLINES.values())], 4096)),
    (INVALID_CARD,) * 4096,
)
"""Slots of category numbers: why attempts are declined that no incident fails."""

RETRIES_OF = tuple((channel.retries, channel.delays) for channel in CHANNELS.values())
METHOD_COUNT, CHANNEL_COUNT = len(METHODS), len(CHANNELS)


class Payment(NamedTuple):
    """What all attempts of a payment have in common, by number; `order` counts the payments of its source."""

    geo: int
    method: int
    issuer: int
    channel: int
    merchant: int
    amount: int
    order: int
    declines: int


class Attempt(NamedTuple):
    """One attempt: its time in milliseconds since the start, its source, its payment, which retry, how it ends.

    `category` is the number of the failure category, 0 for success; `latency` is in milliseconds.
    """

    at: int
    source: int
    payment: Payment
    tries: int
    category: int
    latency: int


Fate = tuple[int, int, int]
"""How an attempt ends: the number of its failure category, its latency, and the delay until the next, 0 for none."""


@lru_cache(maxsize=256)
def arrivals_of(mean: float) -> Poisson:
    """The distribution of a number of new payments, remembered."""
    return poisson(mean)


class Profile:
    """What the sources of one processor's payments share.

    Args:
        name: the processor's.
        processor: what it is like.
        course: its normal traffic.
        plan: the incidents.
        merchants: the odds of a decline of each merchant.
    """

    def __init__(self, name: str, processor: Processor, course: Course, plan: Plan, merchants: list[float]) -> None:
        self.name = name
        self.course = course
        self.merchants = merchants
        self.factors = factors_of(processor)
        self.geos = tuple(COUNTRIES.index(geo) for geo in processor.geos)
        self._plan = plan

    def conditions(self, second: int) -> Conditions:
        """What incidents make of a second."""
        return self._plan.at(self.name, second)


class Pins(NamedTuple):
    """What is the same in all payments of a source; None: as usual."""

    geos: tuple[int, ...] | None = None
    method: int | None = None
    channel: int | None = None
    merchant: int | None = None
    amounts: tuple[int, ...] = AMOUNTS
    odds: float | None = None


def pins_of(extra: Extra, geos: tuple[int, ...]) -> Pins:
    """What is the same in an incident's own payments, at a processor that is used in these countries."""
    far = tuple(COUNTRIES.index(geo) for geo in FAR_GEOS)
    return Pins(
        {"usual": None, "first": geos[:1], "even": geos, "far": far}[extra.geos],
        tuple(METHODS).index(extra.method) if extra.method else None,
        tuple(CHANNELS).index(extra.channel) if extra.channel else None,
        extra.merchant,
        SMALL_AMOUNTS if extra.small else AMOUNTS,
        None if extra.declined is None else extra.declined / (1 - extra.declined),
    )


class Source:
    """Payments of one kind at one processor: the normal ones, or those that an incident adds.

    Args:
        number: of the source; decides the order of attempts at the same time.
        seed: with the name, where its chance comes from.
        name: different for each source.
        profile: the processor.
        pins: what is the same in all its payments.
    """

    def __init__(self, number: int, seed: int, name: str, profile: Profile, pins: Pins) -> None:
        self._number = number
        self.profile = profile
        self.pins = pins
        self.counts = stream(seed, profile.name, name, "counts")
        self.firsts = stream(seed, profile.name, name, "first attempts")
        self.retries = [stream(seed, profile.name, name, "retries", n) for n in range(1, STORM_LIMIT + 1)]
        self._order = 0

    def second(self, second: int, rate: float, minute: Minute) -> Iterator[Attempt]:
        """The payments that begin in a second, with all their attempts, later ones included.

        Args:
            second: since the start of the traffic.
            rate: how many are expected.
            minute: what is normal then.
        """
        arrivals = arrivals_of(rate)
        count = arrivals.count(self.counts.getrandbits(32))
        if not count:
            return
        conditions = self.profile.conditions(second)
        methods = methods_with(conditions.moved)
        for a, b, c, d, e, f in iter_unpack("<6I", words(self.firsts, FIRST_WORDS * count)):
            payment = self._payment(a, b, d, minute, methods)
            at = second * 1000 + ((a >> 12 & 1023) * 1000 >> 10)
            odds = self._odds(payment, minute) * conditions.odds
            category, latency, delay = fate_of(payment, 0, odds, conditions, (c, d, e, f))
            yield Attempt(at, self._number, payment, 0, category, latency)
            if delay:
                yield from self._again(at + delay, payment)

    def _payment(self, a: int, b: int, d: int, minute: Minute, methods: tuple[int, ...]) -> Payment:
        pins = self.pins
        geo = minute.geos[a & 4095] if pins.geos is None else pins.geos[(a & 4095) * len(pins.geos) >> 12]
        issuer = ISSUERS_OF[b & 4095]
        channel = CHANNEL_OF[b >> 24] if pins.channel is None else pins.channel
        self._order += 1
        return Payment(
            geo,
            methods[a >> 22] if pins.method is None else pins.method,
            geo if issuer < 0 else issuer,
            channel,
            MERCHANT_OF[b >> 12 & 4095] if pins.merchant is None else pins.merchant,
            pins.amounts[d >> 12 & 1023],
            self._order,
            OF_TESTS if pins.odds is not None else OF_RECURRING if channel == RECURRING else USUAL,
        )

    def _odds(self, payment: Payment, minute: Minute) -> float:
        if self.pins.odds is not None:
            return self.pins.odds
        profile = self.profile
        return (
            profile.factors[payment.geo * METHOD_COUNT + payment.method]
            * minute.odds[payment.issuer * CHANNEL_COUNT + payment.channel]
            * profile.merchants[payment.merchant]
        )

    def _again(self, at: int, payment: Payment) -> Iterator[Attempt]:
        """The retries of a payment, the first of them at `at`; they end where no payments come through at all."""
        for tries, random in enumerate(self.retries, 1):
            conditions = self.profile.conditions(at // 1000)
            if not conditions.traffic:
                return
            (drawn,) = iter_unpack("<4I", words(random, RETRY_WORDS))
            category, latency, delay = fate_of(payment, tries, RETRY_ODDS, conditions, drawn)
            yield Attempt(at, self._number, payment, tries, category, latency)
            if not delay:
                return
            at += delay


def fate_of(payment: Payment, tries: int, odds: float, conditions: Conditions, drawn: tuple[int, ...]) -> Fate:
    """How an attempt ends.

    Args:
        payment: what is tried.
        tries: how often it was tried before.
        odds: of failing without an incident.
        conditions: what incidents make of its second.
        drawn: four words.
    """
    c, d, e, f = drawn
    category = 0
    for failing in conditions.failing:
        if e < failing.below and (failing.dimension == EVERYTHING or payment[failing.dimension] == failing.value):
            category = failing.categories[d & 1023]
            break
        e = e * NEXT_FACTOR + NEXT_ADDEND & WORD - 1
    else:
        if c * (1 + odds) < odds * WORD:
            category = CATEGORIES_OF[payment.declines][d & 4095]
    late = TIMEOUT_LATENCIES[d >> 22] if category == TIMEOUT else LATENCIES[d >> 22] * conditions.latency >> 10
    return category, late, _delay(payment, tries, category, conditions, f)


def _delay(payment: Payment, tries: int, category: int, conditions: Conditions, word: int) -> int:
    """Milliseconds until the next attempt; 0 when there is none."""
    hasty, usual = word & HALF_WORD - 1, word >> 16
    if hasty < conditions.resending and payment.merchant % 5 & 1:
        return HASTE_MS + (usual >> 5) if tries < RESEND_LIMIT else 0
    if not RETRYABLE[category]:
        return 0
    if hasty < conditions.retrying:
        return HASTE_MS + (usual >> 5) if tries < STORM_LIMIT else 0
    share, delays = RETRIES_OF[payment.channel]
    return delays[usual * QUANTILES // share] if usual < share and tries < RETRY_LIMIT else 0
