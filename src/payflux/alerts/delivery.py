"""What one receiver still has to be told, worked out anew from what is and what it was told.

Nothing is queued: the incidents as they stand are compared with what the receiver knows of them. So a receiver that was
down is told what matters now, once, however often it changed in between, and a process that takes over goes on.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from payflux.alerts import Kind, Notice
from payflux.alerts.selection import Selection
from payflux.outgoing.patience import Patience
from payflux.risk.incidents.incident import SEVERITIES, Incident
from payflux.risk.incidents.mutes import Mute

OVERDUE_SEC = 3600.0
"""What could not be told for so long is counted and named; of an incident that is over, nobody is told any more."""

END_SEC = 86_400.0
"""For so long a receiver is tried to be told of the end of what it knows."""

BURST_SEC = 60.0

News = Literal["opened", "worsened", "resolved", "still"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver knows of an incident.

    Attributes:
        severity: the last one it was told.
        narrow: it was told of a segment, not of all traffic.
        resolved: it was told of the end.
        at: Unix time at which it was last told.
        memory: what the receiver wants to have remembered.
        lost: it was not told, as it did not take it in time, or for good; nothing more is tried.
        summed: it was told in a summary, and is told nothing more.
    """

    severity: str
    narrow: bool = False
    resolved: bool = False
    at: float = 0.0
    memory: str = ""
    lost: bool = False
    summed: bool = False

    def is_less_than(self, incident: Incident) -> bool:
        """Whether the incident is worse than what was told of it: more severe, or no more in one segment alone."""
        spread = self.narrow and not incident.dimension
        return spread or SEVERITIES.index(incident.severity) > SEVERITIES.index(self.severity)


class Failure(NamedTuple):
    """What becomes of what a receiver did not take.

    Attributes:
        lost: what is given up, by incident.
        overdue: ids of incidents of which it could not be told for an hour, each named once; they are tried again.
    """

    lost: Mapping[str, Told]
    overdue: Collection[str]


class Delivery:
    """Decides what comes next for one receiver.

    Attributes:
        told: what it knows, by incident.
        waits_until: Unix time before which it is left alone.
        stopped: why it is told nothing at all any more; empty while it is.
    """

    def __init__(
        self,
        kind: Kind,
        selection: Selection,
        told: Mapping[str, Told],
        runbook: Callable[[Incident], str],
        patience: Patience | None = None,
    ) -> None:
        self._kind, self._selection, self._runbook = kind, selection, runbook
        self._patience = patience or Patience()
        self._burst: list[float] = []
        self._since: dict[str, float] = {}
        self._overdue: set[str] = set()
        self.told = dict(told)
        self.waits_until = 0.0
        self.stopped = ""

    def next(self, incidents: Iterable[Incident], mutes: Iterable[Mute], now: float) -> Notice | None:
        """What it is to be told next: the worst first, of equal ones the oldest; what fails for long comes last.

        Args:
            incidents: those that are open, and those that ended lately, as they stand.
            mutes: all of them.
            now: Unix time.

        Returns:
            None when there is nothing, or it is to be left alone for now.
        """
        held = tuple(mutes)
        due = [(incident, kind) for incident in incidents if (kind := self._due(incident, held, now))]
        self._since = {one.id: self._since.get(one.id, now) for one, _ in due}
        self._overdue &= self._since.keys()
        if self.stopped or now < self.waits_until or not due:
            return None
        due.sort(key=lambda one: self._rank(one[0]))
        return self._summary([one for one, kind in due if kind == "opened"], now) or self._notice(*due[0])

    def waiting(self, now: float) -> float:
        """Seconds since which there is something that it could not be told; 0 when nothing is due."""
        return now - min(self._since.values(), default=now)

    def is_done(self, incident: Incident, mutes: Iterable[Mute], now: float) -> bool:
        """Whether nothing more is to be told of an incident as it stands."""
        return bool(self.stopped) or self._due(incident, tuple(mutes), now) is None

    def _rank(self, incident: Incident) -> tuple[bool, int, int, str]:
        late = incident.id in self._overdue
        return late, -SEVERITIES.index(incident.severity), incident.opened, incident.id

    def _due(self, incident: Incident, mutes: tuple[Mute, ...], now: float) -> News | None:
        known = self.told.get(incident.id)
        muted = any(mute.holds(incident, now) for mute in mutes)
        if known is None:
            # What was muted until it ended is told to nobody, although the mute has ended since.
            muted = muted or any(mute.holds(incident, incident.resolved) for mute in mutes if incident.resolved)
            return "opened" if self._selection.wants(incident) and not muted else None
        if known.lost or known.summed or known.resolved:
            return None
        if incident.resolved:
            return "resolved"  # muted or not: what was opened is closed
        if known.is_less_than(incident) and not muted:
            return "worsened"
        # Muted or not: what is not repeated would end there.
        return "still" if self._kind.every and now - known.at >= self._kind.every else None

    def _notice(self, incident: Incident, kind: News) -> Notice:
        known = self.told.get(incident.id)
        if kind == "opened" and incident.resolved:
            incident = msgspec.structs.replace(incident, resolved=0)  # its end is told next
        if kind == "still" and known:
            incident = msgspec.structs.replace(incident, severity=known.severity)
        memory = known.memory if known else ""
        return Notice(kind=kind, incident=incident, runbook=self._runbook(incident), memory=memory)

    def _summary(self, opened: list[Incident], now: float) -> Notice | None:
        """All the rest in one, once it was told enough of them."""
        burst = self._kind.burst
        self._burst = [at for at in self._burst if at > now - BURST_SEC]
        if not burst or len(self._burst) < burst or len(opened) < 2:
            return None
        return Notice(kind="summary", incident=opened[0], others=tuple(opened))

    def took(self, notice: Notice, memory: str, now: float) -> dict[str, Told]:
        """It was told; returns what is to be remembered, by incident."""
        self._patience.succeeded()
        incidents = notice.others or (notice.incident,)
        self._burst += [now] if notice.kind == "opened" else []
        told = {one.id: self._knows(notice, one, memory, now) for one in incidents}
        return self._remember(told)

    def _knows(self, notice: Notice, incident: Incident, memory: str, now: float) -> Told:
        known = self.told.get(incident.id)
        if notice.kind == "still" and known:
            return msgspec.structs.replace(known, at=now, memory=memory)
        return Told(
            severity=incident.severity,
            narrow=bool(incident.dimension),
            resolved=notice.kind == "resolved",
            at=now,
            memory=memory,
            summed=notice.kind == "summary",
        )

    def failed(self, after: float, incidents: Mapping[str, Incident], now: float) -> Failure:
        """It did not take something now.

        Args:
            after: seconds it asked to be left alone for.
            incidents: as they stand, by id.
            now: Unix time.
        """
        self.waits_until = now + self._patience.failed(after)
        overdue = [one for one, since in self._since.items() if now - since >= OVERDUE_SEC]
        lost = [incidents[one] for one in overdue if one in incidents and self._is_over(incidents[one], now)]
        fresh = set(overdue) - self._overdue
        self._overdue |= fresh
        return Failure(self._lose(lost, now), sorted(fresh))

    def _is_over(self, incident: Incident, now: float) -> bool:
        known = incident.id in self.told
        return bool(incident.resolved) and now - incident.resolved >= (END_SEC if known else OVERDUE_SEC)

    def refused(self, notice: Notice, now: float, stopped: str = "") -> dict[str, Told]:
        """It will never take it; returns what is given up, by incident."""
        self.stopped = stopped
        return self._lose(notice.others or (notice.incident,), now)

    def _lose(self, incidents: Iterable[Incident], now: float) -> dict[str, Told]:
        return self._remember({one.id: Told(severity=one.severity, at=now, lost=True) for one in incidents})

    def _remember(self, told: dict[str, Told]) -> dict[str, Told]:
        self.told |= told
        for one in told:
            self._since.pop(one, None)
        return told

    def forget(self, incident: str) -> bool:
        """Forget what it knows of an incident, unless it is something that was lost; whether it is forgotten now."""
        if incident in self.told and not self.told[incident].lost:
            del self.told[incident]
        return incident not in self.told
