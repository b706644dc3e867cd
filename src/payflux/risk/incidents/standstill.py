"""A standstill: nothing arrives from anybody. That is one incident, and not one for each processor."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from payflux.risk.incidents.incident import Change, Incident, id_of
from payflux.risk.incidents.silences import RENEWED_SEC, Arrivals, Silences, missing

CERTAIN = 5.0
"""Events due from the others without one of them arriving: by chance, that happens once in 150 times."""

NOTE = "nothing arrives from any processor"


class Standstill:
    """Takes the silences of all processors for one incident while nothing arrives from any.

    Attributes:
        folded: stream time up to which everything was folded; what is told of earlier seconds is known already.
        current: the incident of the standstill; None when things arrive.
        ended: when the last standstill ended, in seconds of stream time.
        silent: the incidents of single processors that nobody is told of, by id.
        told: the open incidents of a silence that people were told of, by id.
        silences: those that are found here, as their watch does not know yet how much is due.
        rate: events due a second of all processors, while nothing arrives.
    """

    def __init__(self) -> None:
        self.folded = -1
        self.current: Incident | None = None
        self.ended = 0
        self.silent: dict[str, Incident] = {}
        self.told: dict[str, Incident] = {}
        self.silences = Silences()
        self.rate = 0.0

    @property
    def known(self) -> tuple[Incident | None, int, dict[str, Incident], dict[str, Incident]]:
        """What of a snapshot must not be lost, but for how far it goes; the same as long as nothing has changed."""
        return self.current, self.ended, self.silent.copy(), self.told.copy()

    @property
    def open(self) -> list[Incident]:
        """The open incidents that no tracker has; those that make up a standstill left out."""
        found = [self.current] if self.current else []
        return found + [one.incident for one in self.silences.open.values() if one.incident.id not in self.silent]

    def fold(self, second: int, changes: list[Change], arrivals: Mapping[str, Arrivals]) -> list[Change]:
        """Replace what is said of single processors where it is the same for all.

        Args:
            second: stream time; all of it was ticked.
            changes: what became of the processors' incidents.
            arrivals: of every processor.

        Returns:
            What people are told, the oldest first.
        """
        news = [change for change in changes if change.second > self.folded]
        for change in news:
            self.silences.told(change, arrivals)
        news += self.silences.look(second, arrivals, self.folded)
        self.folded = max(self.folded, second)
        told = self._end(second, arrivals)
        for change in news:
            told += self._fold(change, arrivals) if _is_silence(change.incident) else [change]
        return told + self._single_out(second, arrivals)

    def _fold(self, change: Change, arrivals: Mapping[str, Arrivals]) -> list[Change]:
        incident = change.incident
        if change.kind == "opened" and (self.current or _is_still(incident, change.second, arrivals)):
            self.silent[incident.id] = incident
            return [] if self.current else self._begin(change, arrivals)
        if incident.id in self.silent:
            self.silent[incident.id] = incident
            if change.kind == "resolved":
                del self.silent[incident.id]
            return []
        self.told[incident.id] = incident
        if change.kind == "resolved":
            del self.told[incident.id]
        return [change]

    def _begin(self, change: Change, arrivals: Mapping[str, Arrivals]) -> list[Change]:
        first, second = change.incident, change.second
        self.rate = sum(one.usual for one in arrivals.values())
        began = max((one.last for one in arrivals.values()), default=first.since)
        now = replace(
            first, id=id_of("", second, first.driver), processor="", since=began, counted_from=began, note=NOTE
        )
        self.current = self._renewed(now, second)
        joined = [replace(one, resolved=second, updated=second, note=NOTE) for one in self.told.values()]
        self.silent |= self.told
        self.told = {}
        return [Change("resolved", second, one) for one in joined] + [Change("opened", second, self.current)]

    def _end(self, second: int, arrivals: Mapping[str, Arrivals]) -> list[Change]:
        last = max((one.last for one in arrivals.values()), default=0)
        if self.current is None:
            return []
        if last < self.current.opened:
            if second - self.current.updated < RENEWED_SEC:
                return []
            self.current = self._renewed(self.current, second)
            return [Change("updated", second, self.current)]
        ended = replace(self.current, resolved=second, updated=second)
        self.current, self.ended = None, second
        return [Change("resolved", second, ended)]

    def _renewed(self, incident: Incident, second: int) -> Incident:
        """With the events of all processors that are due by now."""
        due = missing(self.rate, incident.since, second)
        driver = replace(incident.driver, observed=due.observed, attempts=due.attempts, expected=due.expected)
        drivers = (replace(driver, since=incident.since), *incident.drivers[1:])
        return replace(incident, updated=second, drivers=drivers, payments=due.observed)

    def _single_out(self, second: int, arrivals: Mapping[str, Arrivals]) -> list[Change]:
        """A processor that stays silent when others are back has an incident of its own."""
        if self.current is not None:
            return []
        due = {
            name: max(one.rate, self.silences.rate_of(name)) * (second - self.ended)
            for name, one in arrivals.items()
            if one.last < self.ended
        }
        found = [one for one in self.silent.values() if due.get(one.processor, 0.0) >= CERTAIN]
        for one in found:
            self.told[one.id] = self.silent.pop(one.id)
        return [Change("opened", second, one) for one in found]

    def snapshot(self) -> dict[str, Any]:
        """All that is known, as plain data."""
        kept: dict[str, Any] = msgspec.to_builtins(
            {
                "folded": self.folded,
                "current": self.current,
                "ended": self.ended,
                "silent": self.silent,
                "told": self.told,
                "rate": self.rate,
            }
        )
        return kept | {"silences": self.silences.snapshot()}

    def begin_after(self, second: int) -> None:
        """Go on after a second up to which everything was told, when nothing else is known of it."""
        self.folded = second

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from a snapshot, before or after any encoding."""
        self.folded = data["folded"]
        self.current = msgspec.convert(data["current"], Incident | None)
        self.ended = data["ended"]
        self.silent = msgspec.convert(data["silent"], dict[str, Incident])
        self.told = msgspec.convert(data["told"], dict[str, Incident])
        if "silences" in data:  # a version before this one had none
            self.rate = data["rate"]
            self.silences.restore(data["silences"])


def _is_silence(incident: Incident) -> bool:
    return incident.driver.name == "volume_drop"


def _is_still(incident: Incident, second: int, arrivals: Mapping[str, Arrivals]) -> bool:
    """Whether nothing has arrived from the others either, for so long that something would have."""
    others = [one for name, one in arrivals.items() if name != incident.processor]
    last = max((one.last for one in arrivals.values()), default=second)
    return sum(one.usual for one in others) * (second - last) >= CERTAIN
