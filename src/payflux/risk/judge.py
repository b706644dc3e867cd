"""The judge: from what the charts say to a score, a band and drivers that stay where they are."""

import msgspec

from payflux.risk.assessment import BANDS, RiskAssessment
from payflux.risk.drivers import Driver, Finding, Key
from payflux.risk.severity import Hold

HIGH = BANDS.index("high")
MOST_DRIVERS = 16
LOCAL = 0.7
"""The part of a category's excess that comes from a segment when the trouble is the segment's."""

CLEARLY = 3.0
UNDECIDED_SEC = 30
"""For so long the lead may still go to a segment that explains more."""

STEP = 0.0499
"""A change of the score that is said at once."""

REFRESH_SEC = 10
"""How often the numbers of a lasting trouble are given anew."""


class Limits(msgspec.Struct, frozen=True):
    """How scores become bands.

    Attributes:
        thresholds: where `elevated`, `high` and `critical` begin, ascending, in (0, 1].
        hold_sec: how long a score must have been lower before its band falls; also the length of the window in which
            the unmistakable is looked for while nothing is known.
    """

    thresholds: tuple[float, float, float] = (0.3, 0.6, 0.8)
    hold_sec: int = 300


class Active:
    """A driver that is being reported.

    Attributes:
        hold: its band.
        order: the second it was first reported and its rank then.
        finding: what was found of it last.
    """

    __slots__ = ("finding", "hold", "order")

    def __init__(self, hold: Hold, order: tuple[int, float], finding: Finding) -> None:
        self.hold, self.order, self.finding = hold, order, finding


class Judge:
    """Judges one processor.

    Attributes:
        hold: the band of the processor.
        active: the drivers being reported.
        lead: the driver that explained most when the first became high; it stays first until none is high any more.
        led: the second it was chosen.
        last: what was said last.
    """

    def __init__(self, processor: str, limits: Limits) -> None:
        self._limits = limits
        self.hold = Hold()
        self.active: dict[Key, Active] = {}
        self.lead: Key | None = None
        self.led = 0
        self.last = RiskAssessment(0, processor)

    @property
    def busy(self) -> bool:
        """Whether anything is being reported or held, so that time alone can change it."""
        return bool(self.active) or self.hold.band > 0 or self.last.score > 0.0

    def clear(self) -> None:
        """Take back everything that was said."""
        self.hold = Hold()
        self.active.clear()
        self.lead = None

    def judge(
        self, second: int, findings: list[Finding], explained: set[Key], *, learned: bool, note: str = ""
    ) -> RiskAssessment | None:
        """Take in what was found at a second.

        Args:
            second: stream time, never less than before.
            findings: what every stream says that has something to say.
            explained: the drivers that only show what others do, and are not reported any more.
            learned: whether it is known what is normal.
            note: what happened to the baseline.

        Returns:
            The assessment, if it is not the same as the last one.
        """
        score = max((found.severity for found in findings if found.key[3]), default=0.0)
        band = self.hold.update(second, score, self._limits.thresholds, self._limits.hold_sec)
        for key in explained:
            self.active.pop(key, None)
        drivers = self._drivers(second, findings)
        score = int(score * 100 + 1e-9) / 100 if score >= 0.3 else int(score * 20 + 1e-9) / 20
        now = RiskAssessment(second, self.last.processor, score, BANDS[band], drivers, learned, note)
        if not _is_news(now, self.last):
            return None
        self.last = now
        return now

    def _drivers(self, second: int, findings: list[Finding]) -> tuple[Driver, ...]:
        thresholds, hold_sec = self._limits.thresholds, self._limits.hold_sec
        found = {one.key: one for one in sorted(findings, key=lambda one: (one.severity, one.evidence, one.key))}
        for key, one in found.items():
            if key not in self.active and one.severity >= thresholds[0]:
                self.active[key] = Active(Hold(), (second, -one.rank), one)
        for key, active in list(self.active.items()):
            active.finding = found.get(key) or active.finding._replace(severity=0.0, evidence=0.0)
            active.hold.update(second, active.finding.severity, thresholds, hold_sec)
            if not active.hold.band:
                del self.active[key]
        self._choose_lead(second, found)
        ordered = sorted(self.active.items(), key=self._order)
        return tuple(_driver(active) for _, active in ordered[:MOST_DRIVERS])

    def _choose_lead(self, second: int, found: dict[Key, Finding]) -> None:
        if not any(active.hold.band >= HIGH for active in self.active.values()):
            self.lead = None
            return
        if self.lead not in self.active:
            self.lead = max(self.active, key=lambda key: (self.active[key].finding.rank, key))
            self.led = second
        if second - self.led <= UNDECIDED_SEC and (place := _place_of(self.active[self.lead].finding, found)):
            self.active.setdefault(place.key, Active(Hold(1), (second, -place.rank), place))
            self.lead = place.key

    def _order(self, item: tuple[Key, Active]) -> tuple[bool, bool, tuple[int, float], Key]:
        key, active = item
        return key != self.lead, active.hold.band < HIGH, active.order, key

    def due(self) -> int:
        """The next second at which a band falls, if nothing else happens; -1 when none will."""
        waits = [hold.due(self._limits.hold_sec) for hold in (self.hold, *(one.hold for one in self.active.values()))]
        return min((second for second in waits if second >= 0), default=-1)


def _place_of(lead: Finding, found: dict[Key, Finding]) -> Finding | None:
    """The segment that failures come from, if they come from a small part of the traffic: it says more than a category.

    Of several segments, such as an issuer's country and the geography most of its cards are used in, it is the one that
    explains clearly more.
    """
    if lead.key[1] != "category" and lead.key[0] != "segment_degradation":
        return None
    excess = lead.effect.k - lead.effect.expected
    least = lead.rank + CLEARLY if lead.key[0] == "segment_degradation" else 0.0
    places = [
        one
        for key, one in found.items()
        if key[0] == "segment_degradation" and key[3] == lead.key[3] and one.rank > least and _holds(one, excess)
    ]
    return max(places, key=lambda one: (one.rank, one.key), default=None)


def _holds(one: Finding, excess: float) -> bool:
    """Whether a segment has most of an excess, and at least twice the part of it that it has of the traffic."""
    effect = one.effect
    return effect.k - effect.expected >= max(LOCAL, 2.0 * effect.n / max(effect.attempts, 1)) * excess


def _driver(active: Active) -> Driver:
    found = active.finding
    name, dimension, value, raises = found.key
    n, k, expected = found.effect[:3]
    odds = (k + 0.5) / (n - k + 0.5) * (n - expected + 0.5) / (expected + 0.5)
    severity, band = int(found.severity * 100 + 1e-9) / 100, BANDS[active.hold.band]
    numbers = (k, n, round(expected, 3), found.mark[0], round(odds, 2), round(found.evidence, 2))
    return Driver(name, dimension, value, severity, band, raises, *numbers)


def _is_news(now: RiskAssessment, last: RiskAssessment) -> bool:
    """Whether something changed that is to be said at once; lesser changes wait for the refreshment."""
    if now.note or now.learned != last.learned or now.band != last.band or abs(now.score - last.score) >= STEP:
        return True
    if [_gist(driver) for driver in now.drivers] != [_gist(driver) for driver in last.drivers]:
        return True
    return now.second - last.second >= REFRESH_SEC and (now.score, now.drivers) != (last.score, last.drivers)


def _gist(driver: Driver) -> tuple[str, str, str, str]:
    return driver.name, driver.dimension, driver.value, driver.band
