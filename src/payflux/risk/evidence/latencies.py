"""Latencies: what share of the answers takes longer than all but one in twenty used to."""

from math import exp

from payflux.risk.evidence.baseline import Verdict
from payflux.risk.evidence.shares import BLOCK_SEC, FADE_SEC, FADE_TRIALS, joined
from payflux.risk.evidence.streams import LATENCY, Share
from payflux.risk.tally import EXPECTED_COUNTED, UNIT, tally

SLOW_SHARE = 0.05
LEAST_KNOWN = 200.0
"""Latencies to learn from before any is called slow."""


class Latencies:
    """One processor's latencies by class, and the chart of the slow ones.

    Attributes:
        share: the chart.
        sizes: latencies learned from, by class, older ones fading.
        current: those of the block at hand.
        pending: those of the block before.
        slow: the class from which on a latency is slow.
        rate: how many are expected to be.
    """

    def __init__(self) -> None:
        self.share = Share(LATENCY, "", "")
        self.sizes: dict[int, float] = {}
        self.current: dict[int, int] = {}
        self.pending: dict[int, int] = {}
        self.slow, self.rate = 128, 0.0

    def step(self, second: int, latencies: dict[int, int], whole: int) -> float:
        """Take in one second.

        Args:
            second: stream time.
            latencies: how many there were of each class.
            whole: the total of all traffic before this second.

        Returns:
            The highest evidence in nats.
        """
        share, slow, current = self.share, self.slow, self.current
        n = k = 0
        for class_, times in latencies.items():
            current[class_] = current.get(class_, 0) + times
            n += times
            if class_ >= slow:
                k += times
        if not self.rate or not (k or share.stream.bank.live):
            return share.stream.bank.price
        growth = tally(n, k) + (int(n * self.rate * UNIT) << EXPECTED_COUNTED)
        mark = (second, share.total, whole)
        share.total += growth
        return share.stream.step(second, n, growth, mark)

    def close(self, verdict: Verdict) -> None:
        """End a block; what changed for good is learned when everything is."""
        self.share.stream.catch_up()
        if verdict == "learn":
            self._disperse()
            self._learn()
        waits = verdict in {"freeze", "thaw", "accept"}
        self.pending, self.current = (joined(self.pending, self.current) if waits else self.current), {}
        if verdict == "accept":
            self._learn()
            self.pending = {}

    def _learn(self) -> None:
        keep = exp(-min(BLOCK_SEC / FADE_SEC, sum(self.pending.values()) / FADE_TRIALS))
        sizes = {class_: size * keep for class_, size in self.sizes.items()}
        for class_, times in sorted(self.pending.items()):
            sizes[class_] = sizes.get(class_, 0.0) + times
        self.sizes = {class_: size for class_, size in sizes.items() if size >= 0.01}
        self.settle()

    def _disperse(self) -> None:
        n = sum(self.current.values())
        mean = n * self.rate
        if mean >= 2.0:
            k = sum(times for class_, times in self.current.items() if class_ >= self.slow)
            self.share.stream.dispersion.add(n, k, mean)

    def settle(self) -> None:
        """Work out from what class on a latency is slow: at most one in twenty is."""
        total = sum(self.sizes[class_] for class_ in sorted(self.sizes))
        slow, above = 128, 0.0
        for class_ in sorted(self.sizes, reverse=True):
            if above + self.sizes[class_] > SLOW_SHARE * total:
                break
            slow, above = class_, above + self.sizes[class_]
        if total < LEAST_KNOWN:
            self.slow, self.rate = 128, 0.0
            return
        if slow == 128:
            slow = max(self.sizes) + 1
        self.slow, self.rate = slow, (above + 0.5) / (total + 50.0)
        self.share.stream.settle(above, 1)
