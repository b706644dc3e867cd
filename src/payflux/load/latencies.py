"""How long things took: buckets 2 % wide, so that an hour takes as little memory as a second."""

from math import log

LEAST_SECONDS = 1e-6
WIDTH = 1.02
BUCKETS = 1050  # up to about 1,000 s; what is longer counts as that

_PER_BUCKET = 1 / log(WIDTH)


class Latencies:
    """Durations; a percentile is at most 2 % too long and never too short."""

    __slots__ = ("_counts", "count", "longest")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self.count = 0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Take one duration."""
        bucket = int(log(seconds / LEAST_SECONDS) * _PER_BUCKET) if seconds > LEAST_SECONDS else 0
        self._counts[min(bucket, BUCKETS - 1)] += 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def percentile(self, percent: float) -> float:
        """Seconds within which so many of a hundred were done, by nearest rank; 0 when there was nothing."""
        rank = percent / 100 * self.count
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return min(LEAST_SECONDS * WIDTH ** (bucket + 1), self.longest)
        return 0.0
