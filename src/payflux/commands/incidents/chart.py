"""A small chart for a terminal: how high something was in the last half hour."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

STEP_SEC, STEPS = 30, 60
ROWS = 4
BLOCKS = " ▁▂▃▄▅▆▇█"
MARGIN = " " * 6

Course = Sequence[tuple[int, float]]
"""Seconds, in order, each with the value that holds from then on, 0.0 to 1.0."""


def heights(course: Course, end: int) -> list[float]:
    """The highest value in each step of the half hour.

    Args:
        course: what held when; before the first one it was 0.
        end: the second after the last step.

    Returns:
        `STEPS` values, the oldest first.
    """
    begin = end - STEPS * STEP_SEC
    found = [0.0] * STEPS
    for (at, value), (until, _) in pairwise([*course, (end, 0.0)]):
        first, last = max(at, begin), min(max(until, at + 1), end)
        for step in range((first - begin) // STEP_SEC, -(-(last - begin) // STEP_SEC)):
            found[step] = max(found[step], value)
    return found


def drawn(values: Sequence[float], end: int) -> Iterator[str]:
    """The chart in lines, the scale beside it and the time, UTC, below it; 66 columns wide.

    Args:
        values: as `heights` gives them.
        end: of the last one.
    """
    for row in range(ROWS, 0, -1):
        label = f"{row / ROWS:.1f}" if row % 2 == 0 else ""
        yield f"{label:>5} {''.join(_block(value * ROWS - row + 1, low=row == 1) for value in values)}".rstrip()
    begin, middle = end - STEPS * STEP_SEC, end - STEPS * STEP_SEC // 2
    yield MARGIN + "─" * STEPS
    yield f"{MARGIN}{_clock(begin)}{_clock(middle):^{STEPS - 10}}{_clock(end)}"


def _block(height: float, *, low: bool) -> str:
    """A character filled so far; what is above 0 is seen."""
    eighths = round(min(max(height, 0.0), 1.0) * 8)
    return BLOCKS[max(eighths, int(low and height > 0.0))]


def _clock(second: int) -> str:
    return time.strftime("%H:%M", time.gmtime(second))
