"""Baseline: what is normal at a processor, learned from its own traffic, and not from its troubles.

What is learned comes in blocks, one block late, so that a trouble that builds up is not taken for normal while nobody
has noticed. While the charts hold evidence of a trouble, blocks wait. If it comes to nothing they are learned after
all: else only good spells would be, and less and less would be expected. After 45 minutes what is not far from normal
is learned at once, and after six hours everything: what lasts so long is the new normal.
"""

from collections.abc import Iterator
from math import exp
from typing import Literal

from payflux.risk.evidence.segments import Segments
from payflux.risk.evidence.streams import Segment, Stream
from payflux.risk.tally import ATTEMPTS, COUNT

BLOCK_SEC, COLD_BLOCK_SEC = 300, 60
FADE_SEC, FADE_ATTEMPTS = 43200.0, 5000.0
"""The differences between segments fade by 1/e within twelve hours or as many attempts, whichever takes longer."""

LEVEL_SEC, LEVEL_ATTEMPTS, LEVEL_HITS = 3600.0, 1500.0, 60.0
"""The overall level follows faster, within an hour, or as many attempts or failures."""

PRIORS = (0.05, 0.1)
PRIOR_ATTEMPTS = 20.0
"""What is believed of the two kinds of failure before anything is known, and how many attempts that is worth."""

MODERATE = 1.6
THAW_BLOCKS, ACCEPT_BLOCKS = 9, 72
ENOUGH = ((2000, 7200), (200, 86400))
"""Attempts and seconds that make a baseline; either pair will do."""

_LEAST, _MOST = 1e-6, 0.995
_STEADY = 10.0
_CHARTABLE = 0.9

Verdict = Literal["learn", "resume", "freeze", "thaw", "accept"]
"""Learn what waits; drop it and go on; let the block wait too; only if it is far from normal; believe what waits alone.
"""


class Level:
    """How the failures of late compare with what the segments' differences say.

    Attributes:
        hits: failures, older ones fading.
        mean: failures the model expected.
    """

    __slots__ = ("hits", "mean")

    def __init__(self) -> None:
        self.hits = self.mean = 0.0

    @property
    def value(self) -> float:
        """Observed over expected, drawn towards 1."""
        return (self.hits + 5.0) / (self.mean + 5.0)

    def learn(self, seconds: int, n: int, k: int, mean: float) -> None:
        """Take in a block of n attempts with k failures."""
        keep = exp(-min(seconds / LEVEL_SEC, n / LEVEL_ATTEMPTS, max(k, mean) / LEVEL_HITS))
        self.hits = self.hits * keep + k
        self.mean = self.mean * keep + mean

    def replace(self, seconds: int, n: int, k: int, mean: float) -> None:
        """Believe a block and nothing else."""
        self.hits = self.mean = 0.0
        self.learn(seconds, n, k, mean)


class Baseline:
    """What one processor's failures are expected to be.

    Attributes:
        begun: the second of the first event.
        attempts: all attempts so far.
        learned: it is known what is normal.
        frozen: blocks for which nothing has been learned.
        confirmed: the doubts on account of which nothing was are more than doubts.
        levels: of failures that count against the processor, and of the others.
    """

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.attempts = 0
        self.learned = False
        self.frozen = 0
        self.confirmed = False
        self.levels = (Level(), Level())

    @property
    def block_sec(self) -> int:
        """How long a block is: at first short, so that something is known soon."""
        return BLOCK_SEC if self.learned else COLD_BLOCK_SEC

    def verdict(self, *, alarmed: bool, confirmed: bool) -> Verdict:
        """What to do with the blocks at hand.

        Args:
            alarmed: the charts held evidence of a trouble during this block.
            confirmed: so much of it that it is reported.
        """
        self.confirmed = self.confirmed or confirmed
        if not alarmed or not self.learned:
            done: Verdict = "resume" if self.confirmed and self.learned else "learn"
            self.frozen, self.confirmed = 0, False
            return done
        self.frozen += 1
        if self.frozen >= ACCEPT_BLOCKS:
            self.frozen, self.confirmed = 0, False
            return "accept"
        return "thaw" if self.frozen >= THAW_BLOCKS else "freeze"

    def close(self, second: int, segments: Segments, verdict: Verdict) -> None:
        """End a block.

        Args:
            second: where the next one begins.
            segments: all segments; their ratios and charts' margins are worked out anew.
            verdict: what to do with the block.
        """
        whole, retried = segments.whole, segments.retried
        calm, pace = _is_moderate(whole, whole.total - whole.opened), 0
        for segment in _every(segments):
            for stream in (segment.counted, segment.other):
                stream.catch_up()
            block = segment.total - segment.opened
            segment.opened = segment.total
            moderate = calm if segment in {whole, retried} else _is_moderate(segment, block)
            learned, segment.pending = _sorted(segment.pending, block, verdict, moderate=moderate)
            # Retries are taken off all traffic: both must be of the same time, so both fade at the pace of all traffic.
            pace = learned & COUNT if segment is whole else pace
            own = pace if segment is retried else learned & COUNT
            self._learn(segment, learned, own, whole=segment is whole, only=verdict == "accept")
        self.attempts = segments.whole.total & COUNT
        self.settle(segments)
        segments.relearned(second)

    def _learn(self, segment: Segment, block: int, pace: int, *, whole: bool, only: bool) -> None:
        """Take in what happened in a segment; what was learned before fades by so many attempts."""
        if not pace:
            return
        n = block >> ATTEMPTS & COUNT
        keep = exp(-min(self.block_sec / FADE_SEC, pace / FADE_ATTEMPTS))
        segment.size = segment.size * keep + n
        for stream, level in zip((segment.counted, segment.other), self.levels, strict=True):
            _, k, mean = stream.raw(block)
            # While nothing is known the model's expectations are guesses: they say nothing about the model's errors.
            mean = mean if self.learned else k / level.value
            stream.hits = stream.hits * keep + k
            stream.mean = stream.mean * keep + mean * level.value
            if whole:
                (level.replace if only else level.learn)(self.block_sec, n, k, mean)

    def settle(self, segments: Segments) -> None:
        """Work out all ratios, scales, margins and prices from what was learned."""
        whole = segments.whole
        for segment in segments.all():
            most = max(_CHARTABLE * (whole.total & COUNT), 100.0)  # sizes of segments fade at their own pace
            segment.charted = segment.value not in {"", "other"} and segment.total & COUNT <= most
            if not segment.charted:
                segment.counted.bank.reset()
                segment.other.bank.reset()
        counted = self._settle(segments, 0)
        other = self._settle(segments, 1)
        segments.odds = (counted[0], other[0])
        segments.firsts = (counted[1], other[1])

    def _settle(self, segments: Segments, kind: int) -> tuple[float, float]:
        """The overall odds, and the ratio of first attempts."""
        whole = segments.whole
        level = self.levels[kind]
        hits = _stream(whole, kind).hits
        chance = _clip((hits + PRIOR_ATTEMPTS * PRIORS[kind]) / (whole.size + PRIOR_ATTEMPTS))
        odds = chance / (1.0 - chance)
        drawn = min(max(60.0, 5.0 / chance), 3000.0)
        sharers = [sum(segment.charted for segment in values.values()) for values in segments.dimensions]
        charted = {"geo": sharers[0], "method": sharers[1], "issuer": sharers[2], "channel": sharers[3]}
        for segment in _every(segments):
            stream = _stream(segment, kind)
            stream.ratio = _odds(stream.hits, segment.size, drawn, chance) / odds
            stream.scale = level.value * (stream.hits + _STEADY) / (stream.mean + _STEADY)
            stream.settle(min(stream.hits, level.hits), charted.get(segment.dimension, 1))
        retried = segments.retried
        first = hits - _stream(retried, kind).hits, whole.size - retried.size
        return odds, _odds(max(first[0], 0.0), max(first[1], 0.0), drawn, chance) / odds

    def is_enough(self, second: int) -> bool:
        """Whether what was seen makes a baseline."""
        return any(self.attempts >= attempts and second - self.begun >= seconds for attempts, seconds in ENOUGH)


def _every(segments: Segments) -> Iterator[Segment]:
    yield segments.whole
    yield segments.retried
    yield from segments.all()


def _stream(segment: Segment, kind: int) -> Stream:
    return segment.other if kind else segment.counted


def _clip(chance: float) -> float:
    return min(max(chance, _LEAST), _MOST)


def _odds(hits: float, size: float, drawn: float, chance: float) -> float:
    own = _clip((hits + drawn * chance) / (size + drawn))
    return own / (1.0 - own)


def _sorted(pending: int, block: int, verdict: Verdict, *, moderate: bool) -> tuple[int, int]:
    """What is to be learned now, and what waits, of what has waited and of a block."""
    if verdict == "learn":
        return pending, block
    if verdict == "resume":
        return 0, block
    if verdict == "accept":
        return pending + block, 0
    if verdict == "thaw" and moderate:
        return block, pending
    return 0, pending + block


def _is_moderate(segment: Segment, block: int) -> bool:
    """Whether failures are not far from what is expected."""
    for stream in (segment.counted, segment.other):
        _, k, mean = stream.numbers(block)
        if k >= MODERATE * mean + 3.0:
            return False
    return True
