"""Shares: what part of the attempts are of a category, are retries, are small, are slow, come from a geography."""

from math import exp
from typing import TypeVar

from payflux.risk.evidence.baseline import Verdict
from payflux.risk.evidence.charts import Mark
from payflux.risk.evidence.streams import Kind, Share, Stream
from payflux.risk.observation import OTHER_VALUE
from payflux.risk.tally import EXPECTED_COUNTED, UNIT, tally

MOST_SHARES = 32
"""Values told apart in a group; further ones are `other`."""

FADE_SEC = 7200.0
FADE_TRIALS = 3000.0
"""What was learned fades by 1/e within two hours or as many trials, whichever takes longer."""

BLOCK_SEC = 300.0
NOTABLE = 4.0
"""Nats from which on a stream is looked at."""

Key = TypeVar("Key", str, int)
Trials = dict[str, int]
"""Attempts by channel; by the empty string where channels do not matter."""


class Group:
    """Shares of the same trials, each with a rate for every channel.

    Attributes:
        shares: each share by its value.
        sizes: trials learned from, by channel, older ones fading.
        current: trials of the block at hand.
        pending: trials of the block before, not learned yet.
    """

    def __init__(self, dimension: str) -> None:
        self._dimension = dimension
        self.shares: dict[str, Share] = {}
        self.sizes: dict[str, float] = {}
        self.current: Trials = {}
        self.pending: Trials = {}
        self._rates: dict[str, dict[str, float]] = {}

    def admit(self, kinds: dict[str, Kind]) -> None:
        """Make room for values not met before.

        Args:
            kinds: what each value that was hit is about.
        """
        for value in sorted(kinds.keys() - self.shares.keys()):
            if len(self.shares) < MOST_SHARES or value.startswith(OTHER_VALUE):
                share = self.shares[value] = Share(kinds[value], self._dimension, value.rstrip("\0"))
                share.stream.settle(0.0, len(self.shares))

    def step(
        self, second: int, trials: Trials, hits: dict[str, Trials], whole: int, least: float = 0.0
    ) -> list[Stream]:
        """Take in one second.

        Args:
            second: stream time.
            trials: attempts by channel.
            hits: how many of them were hits, by value and channel; values admitted before.
            whole: the total of all traffic before this second.
            least: hits to be expected at least.

        Returns:
            The streams with some evidence.
        """
        n = sum(trials.values())
        before = self.current
        self.current = {**before, **{channel: before.get(channel, 0) + times for channel, times in trials.items()}}
        live = []
        for value, share in self.shares.items():
            bank = share.stream.bank
            own = hits.get(value)
            k = self._hit(second, share, own) if own else 0
            if not k and (not bank.live or (not least and bank.wait(second))):
                continue
            self._catch_up(value, share, before)
            share.taken = self.current
            mean = max(self.expected(value, trials), min(least, 0.98 * n))
            growth = tally(n, k) + (int(mean * UNIT) << EXPECTED_COUNTED)
            mark: Mark = (second, share.total, whole)
            share.total += growth
            if share.stream.step(second, n, growth, mark) > NOTABLE:
                live.append(share.stream)
        return live

    def _catch_up(self, value: str, share: Share, trials: Trials) -> None:
        """Add trials without hits that its charts let wait."""
        if share.taken is trials or not share.stream.bank.live:
            return
        waiting = {channel: times - share.taken.get(channel, 0) for channel, times in trials.items()}
        if n := sum(waiting.values()):
            share.total += tally(n) + (int(self.expected(value, waiting) * UNIT) << EXPECTED_COUNTED)

    def _hit(self, second: int, share: Share, hits: Trials) -> int:
        share.seen = second
        current = share.current
        for channel, times in hits.items():
            current[channel] = current.get(channel, 0) + times
        return sum(hits.values())

    def expected(self, value: str, trials: Trials) -> float:
        """Hits expected of trials, at most all of them."""
        rates = self._rates.get(value) or self._learn_rates(value)
        total, rest = 0.0, rates[""]
        # Sorted, so that the order of events within a second does not decide how the sum is rounded.
        for channel, times in sorted(trials.items()):
            total += times * (rates.get(channel) or rest)
        return total

    def _learn_rates(self, value: str) -> dict[str, float]:
        """Each channel's rate, drawn towards that of all: the fewer hits, the more."""
        hits = self.shares[value].hits
        rate = min((sum(hits.values()) + 0.5) / (sum(self.sizes.values()) + 50.0), 0.99)
        drawn = min(max(60.0, 5.0 / rate), 3000.0)
        rates = {
            channel: min((hits.get(channel, 0.0) + drawn * rate) / (size + drawn), 0.99)
            for channel, size in self.sizes.items()
        }
        rates[""] = rates.get("", rate)
        self._rates[value] = rates
        return rates

    def close(self, verdict: Verdict) -> None:
        """End a block; what changed for good is learned when everything is."""
        for value, share in self.shares.items():
            self._catch_up(value, share, self.current)
            share.taken = {}
            share.stream.catch_up()
        if verdict == "learn":
            self._disperse()
            self._learn()
        waits = verdict in {"freeze", "thaw", "accept"}
        self.pending = joined(self.pending, self.current) if waits else self.current
        for share in self.shares.values():
            share.pending = joined(share.pending, share.current) if waits else share.current
        if verdict == "accept":
            self._learn()
            self.pending = {}
            for share in self.shares.values():
                share.pending = {}
        self.current = {}
        for share in self.shares.values():
            share.current = {}

    def _disperse(self) -> None:
        n = sum(self.current.values())
        for value, share in self.shares.items():
            mean = self.expected(value, self.current)
            if 2.0 <= mean < n:
                share.stream.dispersion.add(n, sum(share.current.values()), mean)

    def _learn(self) -> None:
        keep = exp(-min(BLOCK_SEC / FADE_SEC, sum(self.pending.values()) / FADE_TRIALS))
        self.sizes = _add(self.sizes, keep, self.pending)
        for share in self.shares.values():
            share.hits = _add(share.hits, keep, share.pending)
        self.settle()

    def settle(self) -> None:
        """Work out rates and margins from what was learned."""
        self._rates.clear()
        kinds = [share.stream.kind for share in self.shares.values()]
        for share in self.shares.values():
            share.stream.settle(sum(share.hits.values()), kinds.count(share.stream.kind))

    def forget(self, before: int) -> None:
        """Forget shares not hit since a second, so that others find room."""
        self.shares = {value: share for value, share in self.shares.items() if share.seen >= before}


def joined(one: dict[Key, int], other: dict[Key, int]) -> dict[Key, int]:
    """Counts of two stretches of time."""
    return {**one, **{key: one.get(key, 0) + times for key, times in other.items()}}


def _add(learned: dict[str, float], keep: float, pending: Trials) -> dict[str, float]:
    faded = {channel: size * keep for channel, size in learned.items()}
    for channel, times in sorted(pending.items()):
        faded[channel] = faded.get(channel, 0.0) + times
    return {channel: size for channel, size in faded.items() if size >= 0.01}
