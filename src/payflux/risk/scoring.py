"""The scorer: a watch on every processor, in bounded memory, and in stream time alone."""

from collections import OrderedDict
from typing import Any

from payflux.risk.assessment import RiskAssessment
from payflux.risk.counts import Counts
from payflux.risk.incidents.incident import Change, Incident
from payflux.risk.incidents.standstill import Arrivals, Standstill
from payflux.risk.incidents.tracker import Tracker
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation, latency_class
from payflux.risk.snapshot import restore, snapshot
from payflux.risk.watch import Watch

MOST_PROCESSORS = 1000
MOST_SECONDS = 600
"""Seconds that may wait to be ticked; what comes later is counted into the last of them."""


class _Followed:
    """One processor: its watch, once its first second was ticked, its incidents, and the seconds that wait."""

    __slots__ = ("counts", "second", "tracker", "waiting", "watch")

    def __init__(self, processor: str) -> None:
        self.watch: Watch | None = None
        self.tracker = Tracker(processor)
        self.waiting: dict[int, Counts] = {}
        self.second = -1
        self.counts = Counts()


class Scorer:
    """Scores every processor.

    Events are counted as they come. A second is closed by `tick`, once everything of it was observed: when an entry of
    a later second is read, or nothing is unread and the stream's clock is two seconds ahead. What is said follows from
    the events and their entry ids alone. Events that come after their second was ticked count in the next one.

    Args:
        limits: thresholds and hold.
        most_processors: how many processors are followed; one more, and the one idle longest is forgotten.
    """

    def __init__(self, limits: Limits | None = None, most_processors: int = MOST_PROCESSORS) -> None:
        self.limits = limits or Limits()
        self._most = most_processors
        self._followed: OrderedDict[str, _Followed] = OrderedDict()  # the one idle longest first
        self._ticked = -1
        self._changes: list[Change] = []
        self.standstill = Standstill()

    def observe(  # noqa: PLR0917 - keywords would cost as much as the counting
        self,
        at_ms: int,
        processor: str,
        seen: Observation,
        latency_ms: int = -1,
        currency: str = "",
        amount_minor: int = 0,
    ) -> None:
        """Count one event; O(1).

        Args:
            at_ms: its stream time, the milliseconds of its entry id.
            processor: its payment processor.
            seen: what it says.
            latency_ms: how long the processor took; below 0 when that is not known. That of a timeout is ignored.
            currency: in which it was paid; with `amount_minor`.
            amount_minor: how much, in minor units; 0 when that is not known.
        """
        followed = self._followed.get(processor) or self._follow(processor)
        second = at_ms // 1000
        counts = followed.counts if second == followed.second else self._open(processor, followed, second)
        counts.add(seen)
        if latency_ms >= 0 and seen.answered:
            counts.add_latency(latency_class(latency_ms))
        if amount_minor and seen.failed:
            counts.add_value(seen, currency, amount_minor)

    def add(self, second: int, processor: str, counts: Counts) -> None:
        """Add what another counter counted of a second that was not ticked yet."""
        followed = self._followed.get(processor) or self._follow(processor)
        self._open(processor, followed, second).merge(counts)

    def due(self, second: int) -> list[str]:
        """The processors for which a tick of a second has something to do; the one idle longest first."""
        return [
            processor
            for processor, followed in self._followed.items()
            if followed.waiting or (followed.watch and followed.watch.due <= second)
        ]

    def tick_one(self, processor: str, second: int) -> list[RiskAssessment]:
        """Close everything up to a second for one processor, so that work can be spread; see `tick`."""
        followed = self._followed[processor]
        said = []
        for waiting in sorted(at for at in followed.waiting if at <= second):
            counts = followed.waiting.pop(waiting)
            if followed.watch is None:
                followed.watch = Watch(processor, self.limits, waiting - 1)
            said += self._told(followed, waiting, counts, followed.watch.tick(waiting, counts))
        if followed.second <= second:
            followed.second = -1
        if followed.watch and followed.watch.moved < second:
            said += self._told(followed, second, None, followed.watch.tick(second, None))
        return said

    def _told(
        self, followed: _Followed, second: int, counts: Counts | None, said: list[RiskAssessment]
    ) -> list[RiskAssessment]:
        """Tell the processor's tracker what happened."""
        self._changes += followed.tracker.tick(second, counts, said)
        return said

    def changes(self, second: int) -> list[Change]:
        """What became of incidents since this was asked last.

        Args:
            second: stream time; all processors were ticked up to it.

        Returns:
            The changes, by second and incident.
        """
        changes, self._changes = self._changes, []
        if not changes and not self.standstill.busy:
            return []
        changes.sort(key=lambda one: (one.second, one.incident.id))
        watches = {name: one.watch for name, one in self._followed.items() if one.watch}
        arrivals = {name: Arrivals(one.touched, one.volume.low) for name, one in watches.items()}
        return self.standstill.fold(second, changes, arrivals)

    def incidents(self) -> list[Incident]:
        """The open incidents of all processors, the oldest first; those that make up a standstill left out."""
        found = [self.standstill.current] if self.standstill.current else []
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
        followed = self._follow(processor)
        followed.watch = restore(processor, self.limits, data)
        if "incidents" in data:
            followed.tracker.restore(data["incidents"])

    def _follow(self, processor: str) -> _Followed:
        if len(self._followed) >= self._most:
            self._followed.popitem(last=False)
        followed = self._followed[processor] = _Followed(processor)
        return followed

    def _open(self, processor: str, followed: _Followed, second: int) -> Counts:
        self._followed.move_to_end(processor)
        second = max(second, self._ticked + 1)
        waiting = followed.waiting
        if second not in waiting:
            if len(waiting) >= MOST_SECONDS:
                return waiting[max(waiting)]
            waiting[second] = Counts()
            followed.second, followed.counts = second, waiting[second]
        return waiting[second]
