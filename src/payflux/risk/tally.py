"""Tallies: what is counted of one segment of the traffic, packed into one integer.

A tally holds four counts and two expectations side by side in the bits of a Python integer, so that one addition adds
all six. Integers add exactly and in any order, so the same events give the same tallies however they were shuffled
within a second, or shared out over several counters. Expected failures are fractions: they are kept in units of 2**-32.

The counts are of 44 bits (five years at 100,000 events a second), the expectations of 76.
"""

ATTEMPTS, COUNTED, OTHER, TRAFFIC = 0, 44, 88, 132
"""Where the counts begin: attempts, failures that count against the processor, other failures, and events."""

EXPECTED_COUNTED, EXPECTED_OTHER = 176, 252
"""Where the expected failures of either kind begin."""

COUNT = (1 << 44) - 1
EXPECTED = (1 << 76) - 1
UNIT = 1 << 32
"""What stands for one expected failure."""


def tally(attempts: int = 0, counted: int = 0, other: int = 0, traffic: int = 0) -> int:
    """Pack counts, each of at least 0.

    Args:
        attempts: events that say success or failure.
        counted: failures that count against the processor.
        other: failures that do not.
        traffic: events of every kind.
    """
    return attempts << ATTEMPTS | counted << COUNTED | other << OTHER | traffic << TRAFFIC


def expectation(counted: float, other: float) -> int:
    """Pack the probabilities, 0 to 1, that an attempt fails in either way."""
    return int(counted * UNIT) << EXPECTED_COUNTED | int(other * UNIT) << EXPECTED_OTHER


def count(packed: int, at: int) -> int:
    """One of a tally's counts: `ATTEMPTS`, `COUNTED`, `OTHER` or `TRAFFIC`."""
    return packed >> at & COUNT


def expected(packed: int, at: int) -> float:
    """One of a tally's expectations: `EXPECTED_COUNTED` or `EXPECTED_OTHER`, in failures."""
    return (packed >> at & EXPECTED) / UNIT
