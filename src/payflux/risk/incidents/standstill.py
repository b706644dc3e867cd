"""A standstill: nothing arrives from anybody. That is one incident, and not one for each processor."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from payflux.risk.incidents.incident import Change, Incident, id_of

CERTAIN = 5.0
"""Events due from the others without one of them arriving: by chance, that happens once in 150 times."""

NOTE = "nothing arrives from any processor"


class Arrivals(NamedTuple):
    """What is known of one processor's traffic: the second of the last event, and the events due a second."""

    last: int
    rate: float


class Standstill:
    """Takes the silences of all processors for one incident while nothing arrives from any.

    Attributes:
        folded: stream time up to which everything was folded; what is told of earlier seconds is known already.
        current: the incident of the standstill; None when things arrive.
        ended: when the last standstill ended, in seconds of stream time.
        silent: the incidents of single processors that nobody is told of, by id.
        told: the open incidents of a silence that people were told of, by id.
    """

    def __init__(self) -> None:
        self.folded = -1
        self.current: Incident | None = None
        self.ended = 0
        self.silent: dict[str, Incident] = {}
        self.told: dict[str, Incident] = {}

    @property
    def known(self) -> tuple[Incident | None, int, dict[str, Incident], dict[str, Incident]]:
        """All that a snapshot holds, but for how far it goes: the same as before where nothing has changed."""
        return self.current, self.ended, self.silent.copy(), self.told.copy()

    @property
    def busy(self) -> bool:
        """Whether `fold` has something to do although nothing changed."""
        return self.current is not None or bool(self.silent)

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
        self.folded = max(self.folded, second)
        told = self._end(second, arrivals)
        for change in news:
            told += self._fold(change, arrivals) if _is_silence(change.incident) else [change]
        return told + self._single_out(second, arrivals)

    def _fold(self, change: Change, arrivals: Mapping[str, Arrivals]) -> list[Change]:
        incident = change.incident
        if change.kind == "opened" and (self.current or _is_still(incident, change.second, arrivals)):
            self.silent[incident.id] = incident
            return [] if self.current else self._begin(change)
        if incident.id in self.silent:
            self.silent[incident.id] = incident
            if change.kind == "resolved":
                del self.silent[incident.id]
            return []
        self.told[incident.id] = incident
        if change.kind == "resolved":
            del self.told[incident.id]
        return [change]

    def _begin(self, change: Change) -> list[Change]:
        first, second = change.incident, change.second
        self.current = replace(first, id=id_of("", second, first.driver), processor="", note=NOTE)
        joined = [replace(one, resolved=second, updated=second, note=NOTE) for one in self.told.values()]
        self.silent |= self.told
        self.told = {}
        return [Change("resolved", second, one) for one in joined] + [Change("opened", second, self.current)]

    def _end(self, second: int, arrivals: Mapping[str, Arrivals]) -> list[Change]:
        last = max((one.last for one in arrivals.values()), default=0)
        if self.current is None or last < self.current.opened:
            return []
        ended = replace(self.current, resolved=second, updated=second)
        self.current, self.ended = None, second
        return [Change("resolved", second, ended)]

    def _single_out(self, second: int, arrivals: Mapping[str, Arrivals]) -> list[Change]:
        """A processor that stays silent when others are back has an incident of its own."""
        if self.current is not None:
            return []
        due = {
            name: one.rate * (second - self.ended) if one.last < self.ended else 0.0 for name, one in arrivals.items()
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
            }
        )
        return kept

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


def _is_silence(incident: Incident) -> bool:
    return incident.driver.name == "volume_drop"


def _is_still(incident: Incident, second: int, arrivals: Mapping[str, Arrivals]) -> bool:
    """Whether nothing has arrived from the others either, for so long that something would have."""
    others = [one for name, one in arrivals.items() if name != incident.processor and one.rate]
    last = max((one.last for one in arrivals.values()), default=second)
    return sum(one.rate for one in others) * (second - last) >= CERTAIN
