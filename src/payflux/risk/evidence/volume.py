"""Volume: how many events are due, and charts of evidence that far fewer or far more of them come.

The charts add up `n ln r - e (r - 1)` for n events where e were due: the logarithm of the likelihood ratio of a Poisson
count that is r times as high as expected. What is due is the lower (for the drop; the higher for the surge) of three:
the level of the last quarter of an hour, the same quarter of an hour on earlier days, the same hour of earlier weeks.
On a day that is emptier than earlier ones as much less is due of its quarters. So neither an evening, nor a weekend,
nor a holiday, nor the end of a sale is a drop.
"""

from math import ceil, exp, log
from typing import NamedTuple

from payflux.risk.evidence.charts import ALARMED, CAP
from payflux.risk.evidence.streams import DROP, SURGE, Effect

DROPS = (0.4, 0.2, 0.08, 0.02)
SURGES = (1.5, 3.0, 10.0)
DROP_MARGIN, SURGE_MARGIN = 0.75, 1.5
"""Less of a drop and less of a surge than this is what traffic does."""

BLOCK_SEC = 300
BIN_SEC, BINS = 900, 96
HOUR_SEC, HOURS = 3600, 168
LEVEL_SEC = 900.0
DAY_SHARE, WEEK_SHARE, LOWER_SHARE = 0.3, 0.5, 0.6
"""How much of a profile is the latest day's or week's; more where that had less, as one sale makes no custom."""

SHARE_SEC = 3600.0
"""What part of its profile a day has comes to light within an hour."""

STEEPEST = 1.15
"""By how much more than its level a block may raise it."""

THAW_BLOCKS, ACCEPT_BLOCKS = 9, 72
"""After so many blocks with a drop what is left of the traffic is learned, if it is much, and whatever is left."""

MUCH = 0.4
"""The part of what is due that is much."""

WINDOW_SEC = 30
MOST_DISPERSION = 10.0
LEAST_DUE = 0.1
"""Events due a second below which silence says nothing: 30 in five minutes."""

MEANINGS = (4.0, 8.0, 11.5, 15.0, 20.0)
"""Nats at which what is said of a silence changes; see `payflux.risk.severity.SURE`."""

UNKNOWN = -1.0
_TERMS = tuple((log(ratio), ratio - 1.0) for ratio in DROPS + SURGES)
_PRICES = tuple(log(DROP.weight / len(DROPS)) for _ in DROPS) + tuple(log(SURGE.weight / len(SURGES)) for _ in SURGES)

VolumeMark = tuple[int, int, float]
"""The second a chart left 0, and the events that had come and were due until then."""


class VolumeFinding(NamedTuple):
    """A chart that is not at 0: which one, its evidence in nats, when it left 0, and what happened since."""

    drop: bool
    evidence: float
    mark: VolumeMark
    effect: Effect


class Profile:
    """Events a second in each part of a cycle, learned over several cycles.

    Attributes:
        rates: events a second of each part; `UNKNOWN` where it was never watched.
        current: events of the part at hand.
        since: the second from which on it was watched.
        learned: how many parts were learned in all.
    """

    __slots__ = ("_length", "_share", "current", "learned", "rates", "since")

    def __init__(self, parts: int, length: int, share: float) -> None:
        self._length, self._share = length, share
        self.rates = [UNKNOWN] * parts
        self.current = self.learned = 0
        self.since = -1

    @property
    def is_custom(self) -> bool:
        """Whether it is of more cycles than one."""
        return self.learned >= 2 * len(self.rates)

    def around(self, second: int) -> list[float]:
        """The rates of the part a second lies in and of its neighbours, as far as they are known.

        What happens every day at the same time does not end in the same minute.
        """
        part, parts = second // self._length, len(self.rates)
        rates = [self.rates[near % parts] for near in (part - 1, part, part + 1)]
        return [rate for rate in rates if rate != UNKNOWN] if rates[1] != UNKNOWN else []

    def close(self, second: int, events: int, *, usual: bool) -> None:
        """Take in a block of events, of which the part at hand is made; learn it when the part is over.

        Args:
            second: the end of the block.
            events: how many there were.
            usual: whether this is traffic to learn from; one unusual block spoils its part.
        """
        if not usual:
            self.since = second
            self.current = 0
        self.current += events if usual else 0
        if second % self._length:
            return
        if 0 <= self.since <= second - self._length:
            self._learn((second - 1) // self._length % len(self.rates), self.current / self._length)
        self.current, self.since = 0, second

    def _learn(self, part: int, rate: float) -> None:
        known, share = self.rates[part], self._share
        if known > rate:
            share = max(share, LOWER_SHARE)
        self.rates[part] = rate if known == UNKNOWN else known + share * (rate - known)
        self.learned += 1


class Volume:
    """The traffic of one processor, events of every kind.

    A stretch without events changes nothing until it ends: what it means is worked out from its beginning. So it does
    not matter how often somebody looks.

    Attributes:
        levels: nats of each chart, drops first.
        marks: where each chart that is not at 0 left it.
        anchor: the second up to which everything is taken in.
        begun: the second from which on it is watched; a block that began before says nothing of the level.
        events: events so far.
        due: events due so far.
        low: events due a second: the lowest of the three.
        high: the highest of them.
        level: events a second, of late.
        share: what part of the day's profile comes, of late; 1.0 at most.
        frozen: blocks with a drop, one after the other.
        pending: events of the block before.
        current: events of the block at hand.
        day: the day's profile.
        week: the week's profile.
        calm: 1 / dispersion.
    """

    def __init__(self, second: int) -> None:
        self.levels = [0.0] * len(_TERMS)
        self.marks: list[VolumeMark] = [(0, 0, 0.0)] * len(_TERMS)
        self.anchor = second
        self.begun = second + 1
        self.events = self.current = 0
        self.pending = -1
        self.due = 0.0
        self.low = self.high = 0.0
        self.level = UNKNOWN
        self.share = 1.0
        self.frozen = 0
        self.day = Profile(BINS, BIN_SEC, DAY_SHARE)
        self.week = Profile(HOURS, HOUR_SEC, WEEK_SHARE)
        self.window = (0, 0, -1)  # its number, its events, the events of the one before
        self.jumps = (20.0, 20.0)  # the statistics of the dispersion and their number
        self.calm = 1.0

    def step(self, second: int, n: int) -> None:
        """Take in everything up to a second, in which there were n events."""
        self._window(second, n)
        self.current += n
        self.levels = [
            self._level(at, second, n, self.levels[at]) if self.low > 0.0 else 0.0 for at in range(len(_TERMS))
        ]
        self.due += self.low * (second - self.anchor)
        self.events += n
        self.anchor = second

    def _level(self, at: int, second: int, n: int, level: float) -> float:
        gain, rise = _TERMS[at]
        due = self.low * DROP_MARGIN if at < len(DROPS) else self.high * SURGE_MARGIN
        if level == 0.0:
            self.marks[at] = (self.anchor, self.events, self.due)
        return min(max(level + (n * gain - due * (second - self.anchor) * rise) * self.calm, 0.0), CAP)

    def _window(self, second: int, n: int) -> None:
        number, events, before = self.window
        if second // WINDOW_SEC == number:
            self.window = (number, events + n, before)
            return
        if before >= 0 and events + before >= 10:
            keep = 1.0 - 1.0 / 600.0
            jump = min((events - before) ** 2 / (events + before), 25.0)
            self.jumps = (self.jumps[0] * keep + jump, self.jumps[1] * keep + 1.0)
        self.window = (second // WINDOW_SEC, n, events if second // WINDOW_SEC == number + 1 else -1)

    def alarmable(self) -> bool:
        """Whether so much traffic is due, and known to be, that its absence says something."""
        return self.low >= LEAST_DUE

    def close(self, second: int, *, usual: bool) -> None:
        """End a block of 300 s.

        Args:
            second: where the next one begins, a multiple of 300.
            usual: whether this is traffic to learn from.
        """
        self.step(second - 1, 0)
        self.frozen = 0 if usual else self.frozen + 1
        usual = usual or self.frozen >= ACCEPT_BLOCKS
        self.day.close(second, self.current, usual=usual)
        self.week.close(second, self.current, usual=usual)
        usual = usual or (self.frozen >= THAW_BLOCKS and self.current >= MUCH * self.low * BLOCK_SEC)
        if usual and self.pending >= 0:
            self.level = self._follow(self.pending / BLOCK_SEC, second)
            self._compare(self.pending / BLOCK_SEC, second - BLOCK_SEC)
        whole = self.begun <= second - BLOCK_SEC
        self.pending, self.current = (self.current if usual and whole else -1), 0
        self.calm = 1.0 / min(max(self.jumps[0] / self.jumps[1], 1.0), MOST_DISPERSION)
        self._expect(second)

    def _follow(self, rate: float, second: int) -> float:
        """The level after a block; it does not follow a surge far, whose end is no drop, unless it is the custom."""
        if self.level == UNKNOWN:
            return rate
        day = self.day.around(second)
        most = max(STEEPEST * self.level, 0.5 * max(day) if day and self.day.is_custom else 0.0)
        return self.level + (1.0 - exp(-BLOCK_SEC / LEVEL_SEC)) * (min(rate, most) - self.level)

    def _compare(self, rate: float, second: int) -> None:
        """How the rate of a block that ended at a second compares with the day's profile."""
        usual = self.day.rates[(second - 1) // BIN_SEC % BINS]
        if usual > 0.0:
            self.share += (1.0 - exp(-BLOCK_SEC / SHARE_SEC)) * (min(rate / usual, 1.0) - self.share)

    def _expect(self, second: int) -> None:
        day = self.day.around(second)
        known = [self.level, *day, *self.week.around(second)]
        if not day or self.level == UNKNOWN:
            self.low = self.high = 0.0
            return
        self.low, self.high = min(*known, self.share * min(day)), max(known)

    def custom(self, second: int) -> float:
        """Events a second that came on earlier days, and weeks where these are known, at this time; 0 when unknown."""
        day, week = self.day.rates[second // BIN_SEC % BINS], self.week.rates[second // HOUR_SEC % HOURS]
        return max(day if week == UNKNOWN else min(day, week), 0.0)

    def skip(self, second: int) -> None:
        """Resume after a long silence at the beginning of a block: the profiles know it, nothing else does."""
        self.reset()
        for profile in (self.day, self.week):
            profile.current, profile.since = 0, second
        self.level, self.share, self.low, self.high = UNKNOWN, 1.0, 0.0, 0.0
        self.pending, self.current, self.anchor = -1, 0, second - 1
        self.window = (0, 0, -1)

    def reset(self) -> None:
        """Start all charts again from 0."""
        self.levels = [0.0] * len(_TERMS)

    def evidence(self, second: int) -> float:
        """The highest evidence of a drop in nats at a second, without changing anything."""
        return max(self._at(at, second) for at in range(len(DROPS)))

    def _at(self, at: int, second: int) -> float:
        level = self.levels[at]
        if second > self.anchor:
            due = self.low * DROP_MARGIN if at < len(DROPS) else self.high * SURGE_MARGIN
            level = min(max(level - due * (second - self.anchor) * _TERMS[at][1] * self.calm, 0.0), CAP)
        return level + _PRICES[at]

    def findings(self, second: int) -> list[VolumeFinding]:
        """Every chart that has some evidence, as it stands at a second."""
        if not self.alarmable():
            return []
        rested = self.low * (second - self.anchor)
        found = []
        for at in range(len(_TERMS)):
            evidence = self._at(at, second)
            if evidence < ALARMED / 2:
                continue
            mark = self.marks[at] if self.levels[at] > 0.0 else (self.anchor, self.events, self.due)
            due, came = self.due + rested - mark[2], self.events - mark[1]
            effect = Effect(int(due), max(int(due) - came, 0), due, max(int(due), 1), float(came), evidence)
            found.append(VolumeFinding(at < len(DROPS), evidence, mark, effect))
        return found

    def telling(self, now: int) -> int:
        """The next second at which silence, if it goes on, means something new: nobody need look before."""
        known = self.evidence(now)
        wanted = next((nats for nats in MEANINGS if nats > known), None)
        if wanted is None:
            return now + 10 * HOUR_SEC
        seconds = [
            (wanted - _PRICES[at] - self.levels[at]) / (self.low * DROP_MARGIN * -_TERMS[at][1] * self.calm)
            for at in range(len(DROPS))
        ]
        return max(self.anchor + ceil(min(seconds)), now + 1)
