"""Chance that comes out the same everywhere: words of the Mersenne Twister, and tables to look them up in."""

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate
from math import fsum, sqrt
from random import Random
from typing import NamedTuple

WORD = 2**32
RARE = 1e-12
"""Terms of a Poisson distribution this much smaller than its greatest are left out: a word cannot tell them."""


def stream(*names: int | str) -> Random:
    """A stream of chance of its own for each list of names; no two of them have anything to do with each other.

    How `random.Random` is seeded by a whole number, and makes its words, has not changed since Python 3.2; a test holds
    what comes of it.
    """
    text = "\n".join(map(str, names))
    return Random(int.from_bytes(sha256(text.encode()).digest(), "big"))


def words(random: Random, count: int) -> bytes:
    """The next `count` words of 32 bits, little-endian, in the order in which single draws would give them."""
    return random.getrandbits(32 * count).to_bytes(4 * count, "little") if count else b""


def slots(weights: Sequence[float], size: int) -> list[int]:
    """A table of `size` entries, each the index of a weight, in shares as near to the weights as whole slots allow.

    Left-over slots go to the largest remainders (Hamilton's method), the earlier index first.

    Args:
        weights: 0 or more each, not all of them 0.
        size: of the table.
    """
    total = fsum(weights)
    exact = [weight * size / total for weight in weights]
    whole = [int(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda index: (whole[index] - exact[index], index))
    for index in by_remainder[: size - sum(whole)]:
        whole[index] += 1
    return [index for index, share in enumerate(whole) for _ in range(share)]


class Poisson(NamedTuple):
    """A Poisson distribution: a word that is at or above n of the edges stands for `least` + n events."""

    least: int
    edges: list[int]

    def count(self, word: int) -> int:
        """The number of events that a word stands for."""
        return self.least + bisect_right(self.edges, word)


def poisson(mean: float) -> Poisson:
    """The distribution of the number of events when `mean` are expected.

    Its terms follow from p(k) / p(k - 1) = mean / k, outwards from the greatest of them, so no exponential is needed.

    Args:
        mean: 0 or more.
    """
    mode = int(mean)
    below, above = [1.0], [1.0]
    while mode - len(below) >= 0 and below[-1] > RARE:
        below.append(below[-1] * (mode - len(below) + 1) / mean)
    while above[-1] > RARE:
        above.append(above[-1] * mean / (mode + len(above)))
    running = list(accumulate(below[:0:-1] + above))
    return Poisson(mode - len(below) + 1, [int(part / running[-1] * WORD) for part in running[:-1]])


def normal(random: Random) -> float:
    """A number with mean 0 and variance 1, nearly normal, within 6 of 0: the sum of twelve even ones (Irwin-Hall)."""
    return (sum(random.getrandbits(96).to_bytes(12, "little")) - 1530) / 256


class SlowNoise:
    """What wanders around 0 and forgets where it was: a first-order autoregression, a step a minute.

    Args:
        random: where its chance comes from.
        deviation: its standard deviation.
        minutes: how long it remembers, more than 1.
    """

    def __init__(self, random: Random, deviation: float, minutes: float) -> None:
        self._random = random
        self._keep = 1 - 1 / minutes
        self._push = deviation * sqrt(1 - self._keep * self._keep)
        self._value = deviation * normal(random)

    def step(self) -> float:
        """Its value in the next minute."""
        self._value = self._keep * self._value + self._push * normal(self._random)
        return self._value
