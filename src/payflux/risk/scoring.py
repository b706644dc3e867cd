"""The scorer: a watch on every processor, in bounded memory, and in stream time alone."""

import re
from collections import OrderedDict, deque
from typing import Any

from msgspec.structs import replace

from payflux.risk.assessment import RiskAssessment
from payflux.risk.counts import Counts
from payflux.risk.history import History
from payflux.risk.incidents.incident import Change, Incident
from payflux.risk.incidents.silences import Arrivals, arrivals_of, custom_of
from payflux.risk.incidents.standstill import Standstill
from payflux.risk.incidents.tracker import Tracker
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation
from payflux.risk.resting import REST_SEC, Resting
from payflux.risk.snapshot import restore, snapshot
from payflux.risk.watch import Watch
from payflux.settings import Setting, Values, flag, integer


def _thresholds(text: str) -> tuple[float, float, float]:
    numbers = [word.strip() for word in text.split(",")]
    if len(numbers) == 3 and all(re.fullmatch(r"[0-9]*\.?[0-9]+", number) for number in numbers):
        elevated, high, critical = map(float, numbers)
        if 0 < elevated < high < critical <= 1:
            return elevated, high, critical
    raise ValueError("three ascending numbers above 0 and up to 1, such as 0.3,0.6,0.8")


RISK_SCORE_ENABLED = Setting(
    "PAYFLUX_RISK_SCORE_ENABLED", flag, "true", "Whether exported events carry their processor's risk."
)
RISK_SCORE_WINDOW_SEC = Setting(
    "PAYFLUX_RISK_SCORE_WINDOW_SEC",
    integer(20, 86400),
    "300",
    "How many seconds a score must have been lower before its band falls; also the window in which a processor that "
    "nothing is known of yet may be found to be down.",
)
RISK_SCORE_THRESHOLDS = Setting(
    "PAYFLUX_RISK_SCORE_THRESHOLDS",
    _thresholds,
    "0.3,0.6,0.8",
    "The scores from which a processor's risk is `elevated`, `high` and `critical`; below the first it is `low`.",
)
RISK_EVIDENCE = Setting(
    "PAYFLUX_RISK_EVIDENCE", flag, "false", "Whether exported events carry the numbers behind their risk."
)
SETTINGS = (RISK_SCORE_ENABLED, RISK_SCORE_WINDOW_SEC, RISK_SCORE_THRESHOLDS, RISK_EVIDENCE)


def limits_of(values: Values) -> Limits:
    """How scores become bands, as it is set."""
    return Limits(values[RISK_SCORE_THRESHOLDS], values[RISK_SCORE_WINDOW_SEC])


MOST_PROCESSORS = 1000
MOST_CHANGES = 10_000
"""Changes of incidents that wait to be asked for; the oldest are dropped."""

MOST_SECONDS = 600
"""Seconds that may wait to be ticked; what comes later is counted into the last of them."""


class _Followed:
    """One processor: its watch, once its first second was ticked, its incidents, and the seconds that wait."""

    __slots__ = ("counts", "holds", "known", "second", "tracker", "waiting", "watch")

    def __init__(self, processor: str) -> None:
        self.watch: Watch | None = None
        self.tracker = Tracker(processor)
        self.waiting: dict[int, Counts] = {}
        self.second = -1
        self.counts = Counts()
        self.holds = RiskAssessment(0, processor)
        self.known = -1  # the second up to which all events are in the snapshot it was restored from

    @property
    def touched(self) -> int:
        """The last second with events that was ticked; that of one whose first was not is yet to come."""
        return self.watch.touched if self.watch else 1 << 62

    def is_idle(self, since: int) -> bool:
        """Whether nothing came after a second, nothing waits, and no incident is open."""
        return self.touched <= since and not (self.waiting or self.tracker.open)


class Scorer:
    """Scores every processor.

    Events are counted as they come. A second is closed by `tick`, once everything of it was observed: when an entry of
    a later second is read, or nothing is unread and the stream's clock is two seconds ahead. What is said follows from
    the events and their entry ids alone. Events that come after their second was ticked count in the next one.

    Processors have nothing to do with each other: a second may be closed for one of them when its next event comes
    (`score`), and for the others when there is time (`due`, `tick_one`).

    Args:
        limits: thresholds and hold.
        most_processors: how many processors are followed; one more, and the one idle longest is forgotten.
    """

    def __init__(self, limits: Limits | None = None, most_processors: int = MOST_PROCESSORS) -> None:
        self.limits = limits or Limits()
        self._said: list[RiskAssessment] = []
        self._forgotten: list[str] = []
        self._history = History()  # for events that come late
        self._most = most_processors
        self._followed: OrderedDict[str, _Followed] = OrderedDict()  # the one idle longest first
        self._resting = Resting(most_processors)
        self._ticked = -1
        self._changes: deque[Change] = deque(maxlen=MOST_CHANGES)
        self._abandoned: list[Incident] = []  # open ones of processors that were forgotten
        self.standstill = Standstill()

    def observe(  # noqa: PLR0917 - keywords would cost as much as the counting
        self,
        at_ms: int,
        processor: str,
        seen: Observation,
        latency_ms: int = -1,
        currency: str = "",
        amount_minor: int = 0,
        event_id: str = "",
    ) -> None:
        """Count one event; O(1).

        Args:
            at_ms: its stream time, the milliseconds of its entry id.
            processor: its payment processor.
            seen: what it says.
            latency_ms: how long the processor took; below 0 when that is not known. That of a timeout is ignored.
            currency: in which it was paid; with `amount_minor`.
            amount_minor: how much, in minor units; 0 when that is not known.
            event_id: its id, so that an incident can name some of its events.
        """
        followed = self._followed.get(processor) or self._follow(processor)
        second = at_ms // 1000
        counts = followed.counts if second == followed.second else self._open(processor, followed, second)
        counts.take(seen, latency_ms, currency, amount_minor, event_id)

    def score(  # noqa: PLR0917 - as above
        self,
        second: int,
        processor: str,
        seen: Observation | None,
        latency_ms: int = -1,
        currency: str = "",
        amount_minor: int = 0,
        event_id: str = "",
    ) -> RiskAssessment:
        """Count one event, and tell what holds for it: what was said of its processor after the seconds before its own.

        Args:
            second: its stream time, in seconds.
            processor: its payment processor.
            seen: what it says; None for one that is not counted.
            latency_ms: as in `observe`, and so are the rest.
            currency: in which it was paid.
            amount_minor: how much.
            event_id: its id.

        Returns:
            The assessment; the same object as before where nothing changed. An event of a second that is within the
            snapshot its processor was restored from is not counted again.
        """
        followed = self._followed.get(processor)
        if followed is None:
            if seen is None:
                return self._history.at(processor, second)  # it may be at rest
            followed = self._follow(processor)
        if second == followed.second:
            counts = followed.counts
        else:
            if (second > followed.second and followed.waiting) or (followed.watch and followed.watch.due < second):
                self._said += self.tick_one(processor, second - 1)
            counts = self._open(processor, followed, second)
        if seen is not None and second > followed.known:
            counts.take(seen, latency_ms, currency, amount_minor, event_id)
        holds = followed.holds
        return holds if holds.second < second else self._history.at(processor, second)

    def take_said(self) -> list[RiskAssessment]:
        """The assessments that changed while events were scored, since the last call."""
        said, self._said = self._said, []
        return said

    def take_forgotten(self) -> list[str]:
        """The processors that were forgotten since the last call."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    def rest(self, second: int) -> list[str]:
        """Put to rest what has been idle for a week, and forget what rested until it had been for thirty days.

        Args:
            second: stream time.

        Returns:
            The processors that are not followed any more, the one idle longest first; each comes back as it was.
        """
        self._forgotten += self._resting.expire(second)
        for processor in (idle := [one for one, of in self._followed.items() if of.is_idle(second - REST_SEC)]):
            self._lay_down(processor)
        return idle

    def _lay_down(self, processor: str) -> None:
        known = self.snapshot(processor)
        self._forgotten += self._resting.lay_down(processor, self._followed.pop(processor).touched, known)

    def recall(self, said: RiskAssessment) -> None:
        """What another scorer said, for events that come late."""
        self._history.add(said)

    def add(self, second: int, processor: str, counts: Counts) -> None:
        """Add what another counter counted of a second that was not ticked yet."""
        followed = self._followed.get(processor) or self._follow(processor)
        self._open(processor, followed, second).merge(counts)

    def due(self, second: int) -> list[str]:
        """The processors for which a tick of a second has something to do; the one idle longest first."""
        return [
            processor
            for processor, followed in self._followed.items()
            if (followed.waiting and min(followed.waiting) <= second)
            or (followed.watch and followed.watch.due <= second)
        ]

    def tick_one(self, processor: str, second: int) -> list[RiskAssessment]:
        """Close everything up to a second for one processor, so that work can be spread; see `tick`."""
        followed = self._followed[processor]
        said = []
        for waiting in sorted(at for at in followed.waiting if at <= second):
            counts = followed.waiting.pop(waiting)
            if followed.watch is None:
                followed.watch = Watch(processor, self.limits, waiting - 1)
            watch, last = followed.watch, followed.watch.touched
            said += self._told(followed, waiting, counts, watch.tick(waiting, counts))
            if watch.touched > last:
                self.standstill.silences.came(processor, last, watch.touched, custom_of(watch.volume))
        if followed.second <= second:
            followed.second = -1
        if followed.watch and followed.watch.moved < second:
            said += self._told(followed, second, None, followed.watch.tick(second, None))
        for one in said:
            followed.holds = one
            self._history.add(one)
        return said

    def _told(
        self, followed: _Followed, second: int, counts: Counts | None, said: list[RiskAssessment]
    ) -> list[RiskAssessment]:
        """Tell the processor's tracker what happened."""
        self._changes.extend(followed.tracker.tick(second, counts, said))
        return said

    def changes(self, second: int) -> list[Change]:
        """What became of incidents since this was asked last.

        Args:
            second: stream time; all processors were ticked up to it. What comes late counts in the next one.

        Returns:
            The changes, by second and incident; none when this was asked up to there before.
        """
        if second <= self.standstill.folded:
            return []
        self._ticked = max(self._ticked, second)
        changes = [*self._changes, *(_abandoned(one, second) for one in self._abandoned)]
        self._changes.clear()
        self._abandoned.clear()
        changes.sort(key=lambda one: (one.second, one.incident.id))
        return self.standstill.fold(second, changes, self._arrivals())

    def _arrivals(self) -> dict[str, Arrivals]:
        return {
            name: arrivals_of(one.watch.touched, one.watch.baseline.begun, one.watch.volume, one.tracker.open)
            for name, one in self._followed.items()
            if one.watch
        }

    def traced(self) -> set[str]:
        """The ids of the open incidents, and of those that something is about to be told of."""
        return {one.id for one in self.incidents()} | {change.incident.id for change in self._changes}

    def incidents(self) -> list[Incident]:
        """The open incidents of all processors, the oldest first; those that make up a standstill left out."""
        found = self.standstill.open
        found += [
            one
            for followed in self._followed.values()
            for one in followed.tracker.open
            if one.id not in self.standstill.silent
        ]
        return sorted(found, key=lambda one: (one.opened, one.id))

    def tick(self, second: int) -> list[RiskAssessment]:
        """Close a second of stream time, and all before it, for every processor.

        Args:
            second: stream time in seconds.

        Returns:
            The assessments that changed, by second and processor. Each holds for events of later seconds.
        """
        said = [one for processor in self.due(second) for one in self.tick_one(processor, second)]
        self._ticked = max(self._ticked, second)
        return sorted(said, key=lambda one: (one.second, one.processor))

    def current(self) -> list[RiskAssessment]:
        """What was last said of each processor, the one idle longest first."""
        return [followed.watch.judge.last for followed in self._followed.values() if followed.watch]

    def latest(self, processor: str) -> RiskAssessment:
        """What was said last of a processor."""
        followed = self._followed.get(processor)
        return followed.holds if followed else RiskAssessment(0, processor)

    def followed(self) -> list[str]:
        """The processors that are followed, the one idle longest first."""
        return list(self._followed)

    def is_changed_since(self, processor: str, second: int) -> bool:
        """Whether events of a processor were counted that came after a second."""
        followed = self._followed[processor]
        return bool(followed.waiting) or (followed.watch is not None and followed.watch.touched > second)

    def miss(self) -> None:
        """Events are missing that came after the snapshots the processors were restored from."""
        for followed in self._followed.values():
            if followed.watch is not None:
                followed.watch.miss()

    def watch(self, processor: str) -> Watch | None:
        """The watch on a processor; None when there is none yet."""
        followed = self._followed.get(processor)
        return followed.watch if followed else None

    def snapshot(self, processor: str) -> dict[str, Any] | None:
        """All that is known of a processor up to the last tick, as plain data; None when nothing is."""
        watch = self.watch(processor)
        return snapshot(watch) | {"incidents": self._followed[processor].tracker.snapshot()} if watch else None

    def restore(self, processor: str, data: dict[str, Any]) -> None:
        """Go on from a snapshot; what came after its last tick is to be observed again.

        Raises:
            ValueError: the snapshot is of another version.
        """
        watch = restore(processor, self.limits, data)
        self._resting.wake(processor)
        followed = self._followed[processor] = _Followed(processor)
        followed.watch, followed.holds, followed.known = watch, watch.judge.last, watch.moved
        if "incidents" in data:
            followed.tracker.restore(data["incidents"])
        if len(self._followed) > self._most:
            self._lay_down(min(self._followed, key=lambda one: self._followed[one].touched))

    def clear(self) -> None:
        """Forget everything."""
        self._said, self._forgotten, self._history = [], [], History()
        self._followed.clear()
        self._resting = Resting(self._most)
        self._ticked = -1
        self._changes.clear()
        self._abandoned.clear()
        self.standstill = Standstill()

    def _follow(self, processor: str) -> _Followed:
        if processor not in self._followed and len(self._followed) >= self._most:
            gone, former = self._followed.popitem(last=False)
            self._abandoned += former.tracker.open
            self._forgotten.append(gone)
            self._history.forget(gone)
        self._followed[processor] = _Followed(processor)
        if known := self._resting.wake(processor):
            self.restore(processor, known)
        return self._followed[processor]

    def _open(self, processor: str, followed: _Followed, second: int) -> Counts:
        self._followed.move_to_end(processor)
        watch = followed.watch
        second = max(second, self._ticked + 1, watch.moved + 1 if watch else 0)
        waiting = followed.waiting
        if second not in waiting:
            if len(waiting) >= MOST_SECONDS:
                return waiting[max(waiting)]
            waiting[second] = Counts()
            if second > followed.second:
                followed.second, followed.counts = second, waiting[second]
        return waiting[second]


def _abandoned(incident: Incident, second: int) -> Change:
    note = "its processor is not followed any more"
    return Change("resolved", second, replace(incident, resolved=second, updated=second, note=note))
