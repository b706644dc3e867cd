"""Silences: a processor that usually sends and stopped, while it is not known yet how much is due at this time of day.

Once a day's profile is learned the watch itself says what is due. Before, only the unmistakable is said: a processor
that has been followed for an hour, that would have sent `DUE` events at the rate of late, and that has been silent
several times as long as ever before in the last hour or two. Whoever sends in batches has long silences anyway.

Of whoever sends so little that the watch says nothing, webhooks of a small account perhaps, silence is measured by the
events that came on earlier days and weeks at the same times: `FEW_DUE` of them are missing, for `FEW_SEC` at least, and
several times as many as ever were between two events in the last week or two. Weekends are known after a week, so
nothing is said before.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from payflux.risk.drivers import Driver
from payflux.risk.evidence.charts import CAP
from payflux.risk.evidence.volume import BIN_SEC, HOUR_SEC, HOURS, LEAST_DUE, UNKNOWN, Volume
from payflux.risk.incidents.incident import Change, Incident, id_of

DUE = 60
"""Events that would have come at the rate of late: even at a sixth of it, none comes by chance once in 20,000 times."""

LEAST_SEC, TIMES_LONGER = 10, 3
"""A silence is at least so long, and so many times as long as any before it."""

KNOWN_SEC = 3600
"""For so long a processor must have been followed; silences are remembered as long, up to twice as long."""

FEW_DUE, FEW_SEC = 20.0, 4500
"""The same of whoever sends little: events that are missing, and the least time.

It is longer than the watch goes on learning in a silence, so it does not matter how often somebody looks.
"""

NOTED_SEC = 60
"""Whoever sends little misses no number of events that matters in less."""

WEEK_SEC = 7 * 86_400
RENEWED_SEC = 30
"""After so long the numbers of a silence that goes on are told anew."""

NEW_NORMAL_SEC = 6 * 3600
SEVERITY, BAND = 0.7, "high"
"""Sure and bad, but what is normal is not known."""


_NEVER = (1 << 62, 0.0)
Custom = Callable[[int], float]


def _unknown(_: int) -> float:
    return 0.0


class Arrivals(NamedTuple):
    """What is known of one processor's traffic.

    Attributes:
        last: the second of the last event.
        rate: the events due a second at this time of day; 0 while that is not known.
        level: the events a second of late; below 0 while that is not known.
        begun: the second from which on it was followed.
        custom: the events a second that came at a second's time of earlier days and weeks; 0 where that is not known.
        dropped: whether the watch has an incident open that says that fewer come.
    """

    last: int
    rate: float
    level: float = 0.0
    begun: int = 0
    custom: Custom = _unknown
    dropped: bool = False

    @property
    def usual(self) -> float:
        """The events a second one may count on: of what is only of late, half."""
        if self.rate > 0.0:
            return self.rate
        return 0.5 * self.level if self.level >= LEAST_DUE and self.last - self.begun >= KNOWN_SEC else 0.0


class _Gaps(msgspec.Struct):
    """The longest times without events: of this hour and of the one before.

    Attributes:
        last: the second of the last event; below 0 when that is not known.
        longest: of this hour.
        before: of the hour before.
        turned: when this hour began.
    """

    last: int
    longest: int = 0
    before: int = 0
    turned: int = 0

    def take(self, last: int) -> None:
        """Take in the second of the latest event."""
        if self.last >= 0 and last > self.last:
            self.longest = max(self.longest, last - self.last)
        self.last = last
        if last - self.turned >= KNOWN_SEC:
            self.longest, self.before, self.turned = 0, self.longest, last


class _Missed(msgspec.Struct):
    """How many events were missing between two that came, by what is the custom at such times.

    Attributes:
        begun: the second from which on this is known.
        since: the second from which on the silence at hand is counted; below 0 when that is not known.
        turned: when this week began.
        most: events missing in one silence, the most of this week.
        before: the most of the week before.
        told: the last event before the silence that was told of; below 0: none was.
        begins: the second from which on the silence at hand is none by chance; below 0 until that is worked out.
    """

    begun: int
    since: int
    turned: int
    most: float = 0.0
    before: float = 0.0
    told: int = -1
    begins: int = -1

    def take(self, last: int, second: int, custom: Custom) -> None:
        """Take in that something came at a second, after a silence from the last event on."""
        if self.since >= 0:
            due = _due(custom, self.since, second) if second - self.since >= NOTED_SEC else 0.0
            if last != self.told and not (self.is_known(last) and second - last >= FEW_SEC and due >= self.enough):
                self.most = max(self.most, due)  # what people were told of, or would have been, is no custom
            self.since = second
        self.begins = -1
        if second - self.turned >= WEEK_SEC:
            self.most, self.before, self.turned = 0.0, self.most, second

    def begins_at(self, second: int, one: Arrivals) -> tuple[int, float]:
        """The second from which on a silence is none by chance, and the events that are due a second."""
        if self.since < 0:
            self.since, self.begins = second, -1  # in the time before, nobody might have taken in what came
        if second < one.last + FEW_SEC or not self.is_known(one.last):
            return _NEVER
        if self.begins < 0:  # the watch learns nothing more until something comes
            self.begins = max(_crossing(one.custom, self.since, self.enough), one.last + FEW_SEC)
        if self.begins > second:
            return _NEVER
        return self.begins, max(self.enough, _due(one.custom, self.since, self.begins)) / (self.begins - one.last)

    def is_known(self, last: int) -> bool:
        """Whether a whole week before a silence is known."""
        return last - self.begun >= WEEK_SEC

    @property
    def enough(self) -> float:
        """So many are missing in a silence that is none by chance."""
        return max(FEW_DUE, TIMES_LONGER * self.most, TIMES_LONGER * self.before)


class _Silence(msgspec.Struct, frozen=True):
    """A silence that goes on: its incident, the events due a second, and the second at which it is the new normal."""

    incident: Incident
    rate: float
    until: int = 0


class Silences:
    """Finds them, in stream time alone.

    Attributes:
        open: those that go on, by processor.
    """

    def __init__(self) -> None:
        self._gaps: dict[str, _Gaps] = {}
        self._missed: dict[str, _Missed] = {}
        self.open: dict[str, _Silence] = {}

    def look(self, second: int, arrivals: Mapping[str, Arrivals], after: int) -> list[Change]:
        """What became of silences.

        Args:
            second: stream time; all of it was ticked.
            arrivals: of every processor.
            after: the second up to which it was looked before.
        """
        changes = []
        for name, one in arrivals.items():
            missed = self._missed.setdefault(name, _Missed(second, second, second))
            if one.dropped:
                missed.told = one.last
            if one.rate < LEAST_DUE and name not in self.open and one.last != missed.told:
                begins, rate = min(self._begins(name, one), missed.begins_at(second, one))
                if begins <= second:
                    missed.told = one.last
                    changes.append(self._begin(name, one, rate, max(begins, after + 1)))
        for name in list(self.open):
            changes += self._go_on(name, arrivals.get(name), second)
        if len(self._missed) > len(arrivals):
            self._gaps = {name: gaps for name, gaps in self._gaps.items() if name in arrivals}
            self._missed = {name: missed for name, missed in self._missed.items() if name in arrivals}
        return changes

    def came(self, name: str, last: int, second: int, custom: Custom) -> None:
        """Take in that a processor sent something.

        Args:
            name: whose it is.
            last: the second of its last event before.
            second: stream time, not before that.
            custom: as in `Arrivals`.
        """
        if (missed := self._missed.get(name)) is not None:
            missed.take(last, second, custom)
        else:
            self._missed[name] = _Missed(second, second, second)

    def told(self, change: Change, arrivals: Mapping[str, Arrivals]) -> None:
        """Take in that an incident of the watch is over: of the same silence none opens here."""
        one, missed = arrivals.get(change.incident.processor), self._missed.get(change.incident.processor)
        over = change.kind == "resolved" and _is_drop(change.incident)
        if one and missed and over and one.last <= change.second:
            missed.told = one.last

    def _begins(self, name: str, one: Arrivals) -> tuple[int, float]:
        """The second from which on a silence would be unmistakable, and the events that are due a second."""
        gaps = self._gaps.setdefault(name, _Gaps(-1, turned=one.last))
        gaps.take(one.last)
        if one.rate > 0.0 or one.usual <= 0.0:
            return _NEVER
        longest = max(gaps.longest, gaps.before)
        return one.last + max(LEAST_SEC, ceil(DUE / one.level), TIMES_LONGER * longest), one.level

    def _begin(self, name: str, one: Arrivals, rate: float, second: int) -> Change:
        driver = missing(rate, one.last, second)
        incident = Incident(
            id=id_of(name, second, driver),
            processor=name,
            severity=BAND,
            opened=second,
            since=one.last,
            counted_from=one.last,
            updated=second,
            peak=SEVERITY,
            peak_at=second,
            drivers=(driver,),
            payments=driver.observed,
        )
        self.open[name] = _Silence(incident, rate, max(one.last, second - FEW_SEC) + NEW_NORMAL_SEC)
        return Change("opened", second, incident)

    def _go_on(self, name: str, one: Arrivals | None, second: int) -> list[Change]:
        known = self.open[name]
        before, note = known.incident, ""
        if one is None:
            note = "its processor is not followed any more"
        elif second >= (known.until or before.since + NEW_NORMAL_SEC):
            note = "it is the new normal"
        if note or (one and one.last > before.since):
            del self.open[name]
            return [Change("resolved", second, replace(before, resolved=second, updated=second, note=note))]
        if second - before.updated < RENEWED_SEC:
            return []
        driver = missing(known.rate, before.since, second)
        now = replace(before, updated=second, drivers=(driver,), payments=driver.observed)
        self.open[name] = _Silence(now, known.rate, known.until)
        return [Change("updated", second, now)]

    def rate_of(self, name: str) -> float:
        """The events a second that are due of a processor that is silent; 0 when it is not."""
        return self.open[name].rate if name in self.open else 0.0

    def snapshot(self) -> dict[str, Any]:
        """All that is known, as plain data."""
        kept: dict[str, Any] = msgspec.to_builtins({"gaps": self._gaps, "missed": self._missed, "open": self.open})
        return kept

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from a snapshot, before or after any encoding."""
        self._gaps = msgspec.convert(data["gaps"], dict[str, _Gaps])
        for gaps in self._gaps.values():
            gaps.take(-1)  # it is older than the events that came since
        self._missed = msgspec.convert(data.get("missed", {}), dict[str, _Missed])  # a version before this had none
        for missed in self._missed.values():
            missed.since = missed.begins = -1
        self.open = msgspec.convert(data["open"], dict[str, _Silence])


def custom_of(volume: Volume) -> Custom:
    """What is the custom of a processor: the events a second at a second, 0 where its week is not known yet.

    A day's profile alone knows neither weekends nor other days on which nobody works.
    """

    def custom(second: int) -> float:
        return volume.custom(second) if volume.week.rates[second // HOUR_SEC % HOURS] != UNKNOWN else 0.0

    return custom


def arrivals_of(last: int, begun: int, volume: Volume, incidents: Sequence[Incident]) -> Arrivals:
    """What is known of the traffic of a processor, of which a watch has these open incidents; see `Arrivals`."""
    return Arrivals(last, volume.low, volume.level, begun, custom_of(volume), any(map(_is_drop, incidents)))


def _is_drop(incident: Incident) -> bool:
    return any(driver.name == "volume_drop" for driver in incident.drivers)


def _due(custom: Custom, since: int, second: int) -> float:
    """The events due between two seconds, of a week at most."""
    due, second = 0.0, min(second, since + WEEK_SEC)
    while since < second:
        end = min((since // BIN_SEC + 1) * BIN_SEC, second)
        due += custom(since) * (end - since)
        since = end
    return due


def _crossing(custom: Custom, since: int, enough: float) -> int:
    """The second up to which so many events are due; for ever when that takes more than a week."""
    for _ in range(WEEK_SEC // BIN_SEC):
        end, rate = (since // BIN_SEC + 1) * BIN_SEC, custom(since)
        if rate * (end - since) >= enough:
            return since + ceil(enough / rate)
        enough -= rate * (end - since)
        since = end
    return _NEVER[0]


def missing(rate: float, since: int, second: int) -> Driver:
    """The driver of a silence.

    Args:
        rate: the events due a second.
        since: the second of the last event.
        second: stream time, later than that.
    """
    due = max(int(rate * (second - since)), 1)
    evidence = min(due / 4.0, CAP)
    return Driver("volume_drop", "", "", SEVERITY, BAND, False, due, due, float(due), since, 1.0, evidence)
