"""How a processor's normal traffic comes and goes: days, weeks, countries' hours, and slow noise."""

from collections.abc import Sequence
from functools import lru_cache
from math import fsum, sqrt
from typing import NamedTuple

from payflux.load.corpus.chance import SlowNoise, normal, slots, stream
from payflux.load.corpus.population import (
    CHANNELS,
    COUNTRIES,
    FIRST_ATTEMPTS,
    GEOS,
    MERCHANTS,
    METHODS,
    SAME_COUNTRY,
    Kind,
    Processor,
)

DAY = (
    *(0.60, 0.47, 0.40, 0.36, 0.38, 0.47, 0.62, 0.82, 1.00, 1.12, 1.20, 1.26),
    *(1.30, 1.28, 1.25, 1.25, 1.30, 1.38, 1.48, 1.53, 1.45, 1.24, 0.99, 0.79),
)
"""Payments at each hour of the day in UTC, 1 on average; straight lines between the hours."""

WEEK = (1.08, 1.08, 1.08, 1.08, 1.08, 0.80, 0.80)
"""Payments on each day of the week from Monday, 1 on average."""

GEO_SWING, DECLINE_SWING = 0.30, 0.12
"""A country's share is so much higher in its evening and lower in its morning; odds of a decline, at night in UTC."""

VOLUME_MINUTES, DECLINE_MINUTES, ISSUER_MINUTES = 30, 20, 60
VOLUME_DEVIATION, DECLINE_DEVIATION, ISSUER_DEVIATION = 0.07, 0.04, 0.06
QUIETER_FROM = 10
"""Above so many events a second the noise falls with their root, as more merchants add up."""

MERCHANT_DEVIATION, LEAST_MERCHANT_ODDS = 0.20, 0.4
OWN_COUNTRY = -1
ISSUERS_OF = tuple([OWN_COUNTRY] * SAME_COUNTRY + slots([geo.weight for geo in GEOS.values()], 4096 - SAME_COUNTRY))
CHANNEL_OF = tuple(slots([channel.weight for channel in CHANNELS.values()], 256))


class Minute(NamedTuple):
    """What is normal at one processor in one minute.

    Attributes:
        rate: new payments a second.
        geos: 4,096 slots of country numbers.
        odds: of a decline, by country of the card and channel: `issuer * len(CHANNELS) + channel`.
    """

    rate: float
    geos: tuple[int, ...]
    odds: tuple[float, ...]


def wave(hour: float) -> float:
    """A day as a zigzag of straight lines: 1 at hour 0, -1 at hour 12."""
    return abs(hour % 24 - 12) / 6 - 1


@lru_cache(maxsize=1024)
def geos_at(geos: tuple[str, ...], hour: int) -> tuple[int, ...]:
    """4,096 slots of country numbers, as the countries come at an hour of the day in UTC; -1: at any hour."""
    swings = [1 + GEO_SWING * wave(hour + GEOS[geo].hours - 19) if hour >= 0 else 1.0 for geo in geos]
    shares = slots([GEOS[geo].weight * swing for geo, swing in zip(geos, swings, strict=True)], 4096)
    return tuple(COUNTRIES.index(geos[number]) for number in shares)


@lru_cache(maxsize=1024)
def methods_with(moved: tuple[tuple[int, float], ...]) -> tuple[int, ...]:
    """1,024 slots of payment methods, some shares of all payments moved to others."""
    weights = [kind.weight for kind in METHODS.values()]
    for method, share in moved:
        weights = [weight * (1 - share) for weight in weights]
        weights[method] += share * fsum(kind.weight for kind in METHODS.values())
    return tuple(slots(weights, 1024))


def factors_of(processor: Processor) -> list[float]:
    """Part of the odds of a decline, by country of the shopper and method: `geo * len(METHODS) + method`.

    On average over the processor's payments it makes up for all factors, so that the odds are the processor's own.
    """
    here = _mean([(GEOS[geo].weight, GEOS[geo].odds) for geo in processor.geos])
    issuer = _mean([(geo.weight, geo.issuer_odds) for geo in GEOS.values()])
    level = here * issuer * _mean(list(METHODS.values())) * _mean([(c.weight, c.odds) for c in CHANNELS.values()])
    odds = processor.declines / (1 - processor.declines) / level
    geos = [GEOS[country].odds if country in GEOS else 1.0 for country in COUNTRIES]
    return [odds * geo * method.odds for geo in geos for method in METHODS.values()]


def _mean(kinds: Sequence[Kind | tuple[float, float]]) -> float:
    return fsum(weight * odds for weight, odds in kinds) / fsum(weight for weight, _ in kinds)


class Course:
    """One minute after the other of a processor's normal traffic.

    Args:
        seed: the same seed gives the same noise.
        name: the processor's.
        processor: what it is like.
        start: of the traffic, Unix seconds; seasons go by the clock.
        scale: multiple of the processor's rate.
    """

    def __init__(self, seed: int, name: str, processor: Processor, start: int, scale: float) -> None:
        self._processor = processor
        self._start = start
        self._rate = processor.rate * scale * FIRST_ATTEMPTS
        share = sqrt(min(1.0, QUIETER_FROM / processor.rate))
        self._volume = SlowNoise(stream(seed, name, "volume"), share * VOLUME_DEVIATION, VOLUME_MINUTES)
        self._declines = SlowNoise(stream(seed, name, "declines"), share * DECLINE_DEVIATION, DECLINE_MINUTES)
        self._issuers = [
            SlowNoise(stream(seed, name, "issuer", country), share * ISSUER_DEVIATION, ISSUER_MINUTES)
            for country in GEOS
        ]
        self._number = -1
        self._minute = self._steady()

    def minute(self, number: int) -> Minute:
        """What is normal in a minute, counted from the start of the traffic; numbers must not fall."""
        if self._processor.seasonal:
            while self._number < number:
                self._number += 1
                self._minute = self._next(self._start + 60 * self._number)
        return self._minute

    def _steady(self) -> Minute:
        odds = [geo.issuer_odds * channel.odds for geo in GEOS.values() for channel in CHANNELS.values()]
        return Minute(self._rate, geos_at(self._processor.geos, -1), tuple(odds))

    def _next(self, at: int) -> Minute:
        hour, second = at // 3600 % 24, at % 3600
        day = DAY[hour] + (DAY[(hour + 1) % 24] - DAY[hour]) * second / 3600
        rate = self._rate * day * WEEK[(at // 86_400 + 3) % 7] * (1 + self._volume.step())  # 1970 began on a Thursday
        level = (1 + DECLINE_SWING * wave(hour + second / 3600 - 4)) * (1 + self._declines.step())
        channels = [channel.odds for channel in CHANNELS.values()]
        issuers = [
            level * geo.issuer_odds * (1 + noise.step())
            for geo, noise in zip(GEOS.values(), self._issuers, strict=True)
        ]
        odds = tuple(issuer * channel for issuer in issuers for channel in channels)
        return Minute(rate, geos_at(self._processor.geos, hour), odds)


def merchants_of(seed: int) -> list[float]:
    """The odds of a decline of each merchant, by rank; 1 is average."""
    random = stream(seed, "merchants")
    return [max(1 + MERCHANT_DEVIATION * normal(random), LEAST_MERCHANT_ODDS) for _ in range(MERCHANTS)]
