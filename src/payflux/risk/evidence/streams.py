"""Streams: everything of one processor that has charts of its own, and what each says when it goes wrong."""

from math import log
from typing import NamedTuple

import msgspec

from payflux.risk.evidence.charts import CHARTS, GENTLE, STEEP, Bank, Ladder, Mark, likelihood
from payflux.risk.observation import is_timeout
from payflux.risk.tally import (
    ATTEMPTS,
    COUNT,
    COUNTED,
    EXPECTED,
    EXPECTED_COUNTED,
    EXPECTED_OTHER,
    OTHER,
    UNIT,
)

MOST_DISPERSION = 4.0
_PRIOR_WINDOWS = 40.0
_MOST_STATISTIC = 16.0
_WINDOWS = 600.0


class Kind(msgspec.Struct, frozen=True):
    """A kind of trouble.

    Attributes:
        driver: the name of its driver.
        weight: its share of all charts' weight; shared by its streams.
        raises: it raises the processor's score; else it is a driver with a severity of its own.
        gate: how its size is judged; a name in `payflux.risk.severity`.
        ladder: its odds ratios.
        slack: the factor of the odds that is indifferent: traffic drifts.
    """

    driver: str
    weight: float
    raises: bool
    gate: str
    ladder: Ladder = STEEP
    slack: float = 1.10


WHOLE = Kind("high_failure_rate", 0.22, raises=True, gate="whole", slack=1.07)
CATEGORY = Kind("failure_clustering", 0.06, raises=True, gate="whole")
SEGMENT = {
    "geo": Kind("segment_degradation", 0.13, raises=True, gate="segment"),
    "method": Kind("segment_degradation", 0.10, raises=True, gate="segment"),
    "issuer": Kind("segment_degradation", 0.06, raises=True, gate="segment"),
    "channel": Kind("segment_degradation", 0.02, raises=True, gate="segment"),
}
OTHER_WHOLE = Kind("high_failure_rate", 0.03, raises=False, gate="whole")
OTHER_CATEGORY = Kind("failure_clustering", 0.05, raises=False, gate="whole")
OTHER_SEGMENT = {
    "geo": Kind("segment_degradation", 0.03, raises=False, gate="segment"),
    "method": Kind("segment_degradation", 0.03, raises=False, gate="segment"),
    "issuer": Kind("segment_degradation", 0.05, raises=False, gate="segment"),
    "channel": Kind("segment_degradation", 0.01, raises=False, gate="segment"),
}
SOFT = Kind("high_failure_rate", 0.02, raises=True, gate="soft")
RETRIES = Kind("retry_pressure_spike", 0.05, raises=False, gate="retries", ladder=GENTLE, slack=1.2)
CARD_TESTING = Kind("card_testing_suspected", 0.05, raises=False, gate="card_testing", ladder=GENTLE, slack=1.2)
DROP = Kind("volume_drop", 0.04, raises=False, gate="drop")
SURGE = Kind("traffic_volatility", 0.006, raises=False, gate="notice")
GEO_SHARE = Kind("geo_entropy_increase", 0.006, raises=False, gate="notice", slack=1.4)
LATENCY = Kind("latency_increase", 0.03, raises=False, gate="latency", slack=1.3)
SIGNS_WEIGHT = 0.008
"""What all detectors of `payflux.risk.detectors` share.

The weights of all kinds and this one add up to 1. Only failures that count against the processor, and soft declines
that rise at most issuers, raise its score.
"""


class Effect(NamedTuple):
    """What happened since a mark.

    Attributes:
        n: attempts of the stream.
        k: failures of the stream.
        expected: failures expected of it.
        attempts: attempts of the processor.
        shown: how many more failures than expected there are of any kind, where the stream's own ought to show.
        sure: nats of evidence that there are more.
    """

    n: int
    k: int
    expected: float
    attempts: int
    shown: float
    sure: float


class Dispersion:
    """How much noisier counts are than coins, from one window to the next, drawn towards 1.

    It is the mean of `(d1 - d2)² / (v1 + v2)` over neighbouring windows, d being observed less expected and v the
    variance of coins (von Neumann's ratio, 1941): a level that is off by as much in both leaves no mark, so that it is
    the noise that is measured, and neither drift nor a lasting trouble.

    Attributes:
        total: sum of the statistics, older ones fading.
        windows: how many there were, fading too.
        opened: the stream's totals when the current window began.
        before: d and v of the window before; v is 0 when there is none.
    """

    __slots__ = ("before", "opened", "total", "windows")

    def __init__(self) -> None:
        self.total = 0.0
        self.windows = 0.0
        self.opened = 0
        self.before = (0.0, 0.0)

    def add(self, n: int, k: int, expected: float) -> None:
        """Take in a window of n attempts, of which k failed and fewer than n were expected to."""
        difference, variance = k - expected, expected * (1.0 - expected / n)
        last, other = self.before
        self.before = (difference, variance)
        if other > 0.0:
            keep = 1.0 - 1.0 / _WINDOWS
            statistic = (difference - last) ** 2 / (variance + other)
            self.total = self.total * keep + min(statistic, _MOST_STATISTIC)
            self.windows = self.windows * keep + 1.0

    def skip(self) -> None:
        """Leave out a window: those on either side of it are no neighbours."""
        self.before = (0.0, 0.0)

    @property
    def value(self) -> float:
        """The dispersion, 1 to `MOST_DISPERSION`."""
        mean = (self.total + _PRIOR_WINDOWS) / (self.windows + _PRIOR_WINDOWS)
        return min(max(mean, 1.0), MOST_DISPERSION)


class Segment:
    """One value of one dimension, or all there is: its totals, and what they were.

    Attributes:
        dimension: such as `geo`; empty for all traffic.
        value: such as `GB`.
        growth: the tally of the second at hand.
        total: the tally of everything.
        opened: `total` when the current block began.
        pending: the tally of the block before, not learned yet.
        size: attempts learned from, older ones fading.
        seen: the second of the last event.
        charted: its charts are kept; not for a value that is as good as everything, or is none.
        counted: the stream of its failures that count against the processor.
        other: the stream of its other failures.
    """

    __slots__ = (
        "charted",
        "counted",
        "dimension",
        "growth",
        "opened",
        "other",
        "pending",
        "seen",
        "size",
        "total",
        "value",
    )

    def __init__(self, dimension: str, value: str, counted: Kind, other: Kind) -> None:
        self.dimension, self.value = dimension, value
        self.growth = self.total = self.opened = self.pending = 0
        self.size = 0.0
        self.seen = 0
        self.charted = True
        self.counted = Stream(counted, self, COUNTED, EXPECTED_COUNTED)
        self.other = Stream(other, self, OTHER, EXPECTED_OTHER)


class Share:
    """What is counted besides the segments: a category, retries, small amounts, slow answers, a geography's part.

    Attributes:
        dimension: such as `category`; empty where there is but one.
        value: such as `processor_timeout`.
        total: what happened since its charts were last at 0, as a tally: the streams' numbers are differences.
        hits: how many of each channel's trials were hits; older ones fading.
        current: hits of the block at hand, by channel.
        pending: hits of the block before.
        seen: the second of the last hit.
        taken: the group's trials of the block at hand that its charts have taken in.
        stream: its charts.
    """

    __slots__ = ("current", "dimension", "hits", "pending", "seen", "stream", "taken", "total", "value")

    def __init__(self, kind: Kind, dimension: str, value: str) -> None:
        self.dimension, self.value = dimension, value
        self.total = self.seen = 0
        self.hits: dict[str, float] = {}
        self.current: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.stream = Stream(kind, self)


class Stream:
    """One kind of failure in one segment: its charts and its expectation.

    Attributes:
        kind: what it says when it goes wrong.
        segment: whose totals it reads.
        bank: its charts.
        dispersion: how noisy it is.
        hits: failures learned from, older ones fading.
        mean: failures the model of the time expected of the same attempts.
        ratio: its odds of failing over those of all traffic.
        scale: what its expectations are multiplied by, so that they are right on average.
        taken: the segment's total that its charts have taken in, while they are not at 0.
    """

    __slots__ = (
        *("_at_expected", "_at_k", "bank", "dispersion", "hits", "kind", "mean", "ratio", "scale", "segment"),
        "taken",
    )

    def __init__(
        self, kind: Kind, segment: Segment | Share, at_k: int = COUNTED, at_expected: int = EXPECTED_COUNTED
    ) -> None:
        self.kind, self.segment = kind, segment
        self._at_k, self._at_expected = at_k, at_expected
        self.bank = Bank(kind.ladder)
        self.dispersion = Dispersion()
        self.hits = self.mean = 0.0
        self.ratio = self.scale = 1.0
        self.taken = 0

    def numbers(self, tally: int) -> tuple[int, int, float]:
        """Attempts, failures and expected failures of a tally."""
        expected = (tally >> self._at_expected & EXPECTED) * (self.scale / UNIT)
        return tally >> ATTEMPTS & COUNT, tally >> self._at_k & COUNT, expected

    def raw(self, tally: int) -> tuple[int, int, float]:
        """The same, as the segments' differences alone have it, without the level."""
        return tally >> ATTEMPTS & COUNT, tally >> self._at_k & COUNT, (tally >> self._at_expected & EXPECTED) / UNIT

    def step(self, second: int, n: int, growth: int, mark: Mark) -> float:
        """Take in what the segment grew by within a second, n attempts, at least 1; see `Bank.step`."""
        k = growth >> self._at_k & COUNT
        bank, total = self.bank, mark[1]
        if not bank.live:
            if not k:
                return bank.price
        elif not k and bank.wait(second):
            return bank.price
        elif total != self.taken:
            self._lower(total - self.taken)
        self.taken = total + growth
        expected = (growth >> self._at_expected & EXPECTED) * self.scale / UNIT
        return bank.step(second, n, k, expected, mark)

    def catch_up(self) -> None:
        """Take in what waits, before what is expected changes."""
        if self.bank.live:
            self._lower(self.segment.total - self.taken)
        self.taken = self.segment.total

    def _lower(self, growth: int) -> None:
        if n := growth & COUNT:
            self.bank.lower(n, (growth >> self._at_expected & EXPECTED) * self.scale / UNIT)

    def effect(self, mark: Mark, whole: Segment, part: Segment) -> Effect:
        """What happened since a mark.

        Args:
            mark: the second, the total of `segment` and that of `whole` then.
            whole: all traffic.
            part: where the excess ought to show: `segment` or `whole`.
        """
        n, k, expected = self.numbers(self.segment.total - mark[1])
        tally = part.total - (mark[1] if part is self.segment else mark[2])
        all_n, counted, mean = part.counted.numbers(tally)
        _, other, other_mean = part.other.numbers(tally)
        failed, usual = counted + other, mean + other_mean
        attempts = (whole.total - mark[2]) >> ATTEMPTS & COUNT
        return Effect(n, k, expected, attempts, failed - usual, likelihood(all_n, failed, usual))

    def disperse(self) -> None:
        """Close a window of the dispersion, if enough was expected of it."""
        n, k, expected = self.numbers(self.segment.total - self.dispersion.opened)
        if expected < 2.0:
            return
        self.dispersion.opened = self.segment.total
        if expected < n:
            self.dispersion.add(n, k, expected)

    def settle(self, hits: float, sharers: int) -> None:
        """Take over what was learned.

        Args:
            hits: failures the expectation was learned from.
            sharers: how many streams share the weight of its kind.
        """
        price = log(self.kind.weight / (max(sharers, 1) * CHARTS))
        self.bank.learn(self.kind.slack, hits, self.dispersion.value, price)


def is_authentication(category: str) -> bool:
    """Whether a category is a failure of authentication."""
    return category.startswith(("auth", "3ds", "three_ds", "sca")) and not category.startswith("authorization")


def driver_of(kind: Kind, value: str) -> str:
    """The name of the driver of a stream: some categories have one of their own."""
    if kind in {CATEGORY, OTHER_CATEGORY}:
        if is_timeout(value.lower()):
            return "timeout_clustering"
        if is_authentication(value.lower()):
            return "auth_failure_cluster"
    return kind.driver
