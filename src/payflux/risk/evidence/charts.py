"""Charts: cumulative sums of evidence that failures are more frequent than expected.

A chart of odds ratio R adds up the logarithm of the likelihood ratio of "the odds of failing are R times as high as
expected" against "no higher than expected", and never falls below 0: a CUSUM (Page, Continuous inspection schemes,
Biometrika 41, 1954), with an expectation of its own for each observation (Steiner, Cook, Farewell, Treasure, Monitoring
surgical performance using risk-adjusted cumulative sum charts, Biostatistics 1, 2000). Of all rules with as few false
alarms it has the shortest worst delay (Lorden, 1971, to first order; Moustakides, 1986, exactly). For n attempts, k
failures and the probability p expected of each, it adds `k ln R - n ln(1 + (R - 1) p)`, in nats.

A bank holds one chart for each of four odds ratios, since nobody knows beforehand how bad it will be. Its charts share
one threshold with all other banks of a processor by their price, the logarithm of a weight: the weights of all charts
add up to 1, so the weighted sum of their `exp(level)` grows false no faster than one chart alone does (Bonferroni).
"""

from math import log, log1p

Term = tuple[float, float]
Ladder = tuple[Term, Term, Term, Term]
"""For each chart of a bank, ln R and R - 1."""


def _term(ratio: float) -> Term:
    return log(ratio), ratio - 1.0


STEEP = (_term(1.5), _term(3.0), _term(10.0), _term(60.0))
"""For failures: from half as many again to a total outage."""

GENTLE = (_term(2.0), _term(3.0), _term(6.0), _term(20.0))
"""For retries and card testing, whose shares are never near 0."""

CHARTS = 4
NOTHING = (0.0, 0.0, 0.0, 0.0)
CAP = 30.0
"""No chart rises further, so that the end of a long incident is seen soon."""

RECOVERED = 6.0
"""Nats of evidence for "as expected" that end an alarm."""

LEAST_RATIO = 1.5
ALARMED = 8.0
REST_SEC = (60, 600)
REST_GAPS = 20.0
"""A chart without attempts halves whenever twenty usual gaps between them pass, a minute at least and ten at most: what
nobody attempts any more harms nobody.
"""

AWAKE = 6.0
"""Nats below which nobody looks at a chart: less than `ALARMED`, and than any price and what is reported come to."""

CALM = (0.0, 0.0)

HIGHEST = 0.99

Mark = tuple[int, ...]
"""Where the running totals stood when a chart left 0; its first member is the second."""


def _capped(level: float) -> float:
    return min(max(level, 0.0), CAP)


class Bank:
    """The charts of one stream of attempts.

    Attributes:
        levels: nats, 0 to `CAP`, one for each odds ratio.
        marks: where each chart that is not at 0 left it.
        alarm: failures seen and expected since some chart was alarmed.
        recovery: nats of evidence that it is over.
        live: some level is not 0.
        awake: some level is so high that every second is taken in at once; see `wait`.
        began: the second some chart left 0.
        beats: how many seconds with attempts there were since.
        touched: the second of the last attempt.
        margin: the factor of the odds within which nothing is held against the stream: indifference, and the error of
            the expectation.
        calm: 1 / dispersion, at most 1; what evidence is worth in traffic that is noisier than coins.
        price: ln of each chart's weight, below 0.
    """

    __slots__ = (
        *("alarm", "awake", "beats", "began", "calm", "ladder", "levels", "live", "margin", "marks", "price"),
        *("recovery", "touched"),
    )

    def __init__(self, ladder: Ladder) -> None:
        self.ladder = ladder
        self.levels = NOTHING
        self.marks: list[Mark] = [()] * CHARTS
        self.recovery = 0.0
        self.alarm = CALM
        self.live = self.awake = False
        self.began = self.beats = self.touched = 0
        self.margin = 1.6
        self.calm = 1.0
        self.price = -20.0

    def wait(self, second: int) -> bool:
        """Leave the attempts of a second, none of which failed, for later, if nobody need know what they say now.

        Charts that are low only fall further by them. It is enough to take them in, all at once, before the next
        failure: most seconds of most streams are such.

        Args:
            second: stream time in seconds, never less than before.

        Returns:
            Whether it may wait; else it is to be taken in by `step`, what waits by `lower`.
        """
        if self.awake or second - self.touched >= REST_SEC[0]:
            return False
        self.touched = second
        self.beats += 1
        return True

    def lower(self, n: int, expected: float) -> None:
        """Take in what waited: n attempts, at least 1, none of which failed."""
        self._lower(n, expected)

    def step(self, second: int, n: int, k: int, expected: float, mark: Mark) -> float:
        """Take in one second.

        Args:
            second: stream time in seconds, never less than before.
            n: attempts, at least 1.
            k: failures among them.
            expected: failures expected among them, above 0.
            mark: the totals before this second.

        Returns:
            The highest evidence in nats; where that is of no interest, more than it is.
        """
        if not self.live:
            self.began, self.beats = second, 1
        else:
            if second - self.touched >= REST_SEC[0]:
                self._rest(second)
            self.beats += 1
        self.touched = second
        return self._raise(n, k, expected, mark) if k else self._lower(n, expected)

    def _chance(self, n: int, expected: float) -> float:
        odds = expected / n
        odds = self.margin * odds / (1.0 - odds) if odds < HIGHEST else self.margin * HIGHEST / (1.0 - HIGHEST)
        return odds / (1.0 + odds)

    def _raise(self, n: int, k: int, expected: float, mark: Mark) -> float:
        """Take in attempts with failures among them. Written out for each chart: most of the time goes here."""
        chance, calm, marks = self._chance(n, expected), self.calm, self.marks
        a, b, c, d = self.levels
        (gain_a, rise_a), (gain_b, rise_b), (gain_c, rise_c), (gain_d, rise_d) = self.ladder
        if a == 0.0:
            marks[0] = mark
        if b == 0.0:
            marks[1] = mark
        if c == 0.0:
            marks[2] = mark
        if d == 0.0:
            marks[3] = mark
        a += (k * gain_a - n * log1p(rise_a * chance)) * calm
        b += (k * gain_b - n * log1p(rise_b * chance)) * calm
        c += (k * gain_c - n * log1p(rise_c * chance)) * calm
        d += (k * gain_d - n * log1p(rise_d * chance)) * calm
        if a < AWAKE and b < AWAKE and c < AWAKE and d < AWAKE:
            return self._doze(a, b, c, d)
        return self._rise(n, k, chance, (a, b, c, d))

    def _lower(self, n: int, expected: float) -> float:
        """Take in attempts without failures: charts at 0 stay there."""
        chance = self._chance(n, expected)
        fall = n * self.calm
        a, b, c, d = self.levels
        (_, rise_a), (_, rise_b), (_, rise_c), (_, rise_d) = self.ladder
        if a > 0.0:
            a -= fall * log1p(rise_a * chance)
        if b > 0.0:
            b -= fall * log1p(rise_b * chance)
        if c > 0.0:
            c -= fall * log1p(rise_c * chance)
        if d > 0.0:
            d -= fall * log1p(rise_d * chance)
        if a < AWAKE and b < AWAKE and c < AWAKE and d < AWAKE:
            return self._doze(a, b, c, d)
        return self._rise(n, 0, chance, (a, b, c, d))

    def _doze(self, a: float, b: float, c: float, d: float) -> float:
        """Levels of which none is so high that anybody looks at it."""
        if a <= 0.0 and b <= 0.0 and c <= 0.0 and d <= 0.0:
            self.levels = NOTHING
            self.live = self.awake = False
            return self.price
        # Four calls of `max` would take as long as the rest.
        self.levels = a if a > 0 else 0.0, b if b > 0 else 0.0, c if c > 0 else 0.0, d if d > 0 else 0.0
        self.live, self.awake = True, False
        if self.alarm is not CALM:
            self.alarm, self.recovery = CALM, 0.0
        return AWAKE + self.price

    def _rise(self, n: int, k: int, chance: float, levels: tuple[float, float, float, float]) -> float:
        top = max(levels)
        a, b, c, d = levels
        self.levels = _capped(a), _capped(b), _capped(c), _capped(d)
        self.live = self.awake = True
        if top >= ALARMED:
            return self._recover(n, k, chance, min(top, CAP)) + self.price
        if self.alarm is not CALM:
            self.alarm, self.recovery = CALM, 0.0
        return top + self.price

    def _recover(self, n: int, k: int, chance: float, top: float) -> float:
        """The highest level of an alarmed bank: 0 once there is enough evidence that all is as expected again.

        That is weighed against what was seen since the alarm: an outage that is over ends its slowest chart too.
        """
        hits, mean = self.alarm
        hits, mean = hits + k, mean + n * chance
        self.alarm = (hits, mean)
        ratio = max(hits / mean, LEAST_RATIO)
        gain, rise = log(ratio), ratio - 1.0
        recovery = self.recovery + (n * log1p(rise * chance) - k * gain) * self.calm
        self.recovery = max(recovery, 0.0)
        if recovery <= RECOVERED:
            return top
        self.reset()
        return 0.0

    def _rest(self, second: int) -> None:
        fade = self.fade(second)
        a, b, c, d = self.levels
        self.levels = a * fade, b * fade, c * fade, d * fade

    def fade(self, second: int) -> float:
        """What is left of the levels at a later second without attempts, 0.0 to 1.0."""
        silent = second - self.touched
        if silent < REST_SEC[0]:
            return 1.0
        gaps = self.beats - 1
        if gaps < 1:
            return float(0.5 ** (silent // REST_SEC[1]))
        rest = min(max(REST_GAPS * (self.touched - self.began) / gaps, REST_SEC[0]), REST_SEC[1])
        return float(0.5 ** min(silent // rest, 60.0))

    def evidence(self, second: int) -> float:
        """The highest evidence in nats at a second, without changing anything."""
        return max(self.levels) * self.fade(second) + self.price

    def reset(self) -> None:
        """Start again from 0."""
        self.levels = NOTHING
        self.recovery = 0.0
        self.alarm = CALM
        self.live = self.awake = False
        self.began = self.beats = 0

    def learn(self, slack: float, hits: float, dispersion: float, price: float) -> None:
        """Take over what a baseline says.

        Args:
            slack: odds that are higher than expected by less than this factor raise no chart.
            hits: failures the expectation was learned from.
            dispersion: how much noisier counts are than coins, at least 1.
            price: ln of each chart's weight.
        """
        self.margin = slack + 1.0 / (hits + 4.0) ** 0.5
        self.calm = 1.0 / dispersion
        self.price = price


def likelihood(n: int, k: int, expected: float) -> float:
    """Nats by which the observed share explains k of n better than the expected one does; 0 if it is not higher."""
    expected = min(max(expected, 1e-9), n - 1e-9)
    if k <= expected or n <= 0:
        return 0.0
    rest = (n - k) * log((n - k) / (n - expected)) if n > k else 0.0
    return k * log(k / expected) + rest
