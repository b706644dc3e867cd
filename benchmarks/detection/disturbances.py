"""What happens to events on their way: some come late, some twice, some are held up together."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from benchmarks.detection.columns import Columns, Ints

LATE_SHARE, LATE_MS = 0.02, (5_000, 120_000)
TWICE_SHARE, TWICE_MS = 0.01, (0, 30_000)
HELD_SHARE, HELD_MS = 0.2, 90_000
HELD_EVERY_MS, HELD_FOR_MS = 7_200_000, 600_000

Disturbance = Callable[[Columns, np.random.Generator], Columns]


def _moved(rows: Columns, by: Ints) -> Columns:
    return rows._replace(at=rows.at + by)


def late(rows: Columns, random: np.random.Generator) -> Columns:
    """Two of a hundred events come up to two minutes late."""
    chosen = random.random(len(rows.at)) < LATE_SHARE
    return _moved(rows, chosen * random.integers(*LATE_MS, len(rows.at)))


def twice(rows: Columns, random: np.random.Generator) -> Columns:
    """One of a hundred comes once more, under another id, within half a minute."""
    again = rows.rows(random.random(len(rows.at)) < TWICE_SHARE)
    again = _moved(again, random.integers(*TWICE_MS, len(again.at)))
    return Columns(*(np.concatenate(both) for both in zip(rows, again, strict=True)))


def held_up(rows: Columns, random: np.random.Generator) -> Columns:
    """One of five comes a minute and a half late, for ten minutes of every two hours: a sender's clock or queue."""
    held = (rows.at % HELD_EVERY_MS < HELD_FOR_MS) & (random.random(len(rows.at)) < HELD_SHARE)
    return _moved(rows, held * np.int64(HELD_MS))


DISTURBANCES: dict[str, Disturbance] = {
    "two of a hundred up to 120 s late": late,
    "one of a hundred twice": twice,
    "a fifth held up for 90 s now and then": held_up,
}
"""By what they are called in tables."""


def disturbed(parts: Iterable[Columns], name: str, span_ms: int, seed: int) -> Iterator[Columns]:
    """The same events as they arrive.

    Args:
        parts: attempts, one span after the other.
        name: of a disturbance; empty for none.
        span_ms: how long a part is; events that arrive later are in the next one, those after the last are lost.
        seed: of whom it hits.
    """
    if not name:
        yield from parts
        return
    change, random, waiting = DISTURBANCES[name], np.random.default_rng(seed), None
    for number, rows in enumerate(parts, 1):
        came = change(rows, random)
        if waiting is not None:
            came = Columns(*(np.concatenate(both) for both in zip(waiting, came, strict=True)))
        over = came.at >= number * span_ms
        waiting = came.rows(over)
        yield came.rows(~over)
