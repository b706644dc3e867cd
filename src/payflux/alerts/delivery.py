"""What one receiver still has to be told, worked out anew from what is and what it was told.

Nothing is queued: the incidents as they stand are compared with what the receiver knows of them. So a receiver that was
down is told what matters now, once, however often it changed in between, and a process that takes over goes on.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from payflux.alerts import Kind, Notice
from payflux.alerts.mutes import Mute
from payflux.alerts.selection import Selection
from payflux.outgoing.patience import Patience
from payflux.risk.incidents.incident import SEVERITIES, Incident

GIVEN_UP_SEC = 3600.0
"""What could not be told for so long is given up, and counted."""

BURST_SEC = 60.0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver knows of an incident.

    Attributes:
        severity: the last one it was told.
        resolved: it was told of the end.
        at: Unix time at which it was last told.
        memory: what the receiver wants to have remembered.
        lost: it was not told, as it did not take it for an hour, or for good; nothing more is tried.
        summed: it was told in a summary, and is told nothing more.
    """

    severity: str
    resolved: bool = False
    at: float = 0.0
    memory: str = ""
    lost: bool = False
    summed: bool = False


class Delivery:
    """Decides what comes next for one receiver.

    Attributes:
        told: what it knows, by incident.
        waits_until: Unix time before which it is left alone.
        since: since when what comes next could not be told; 0 when nothing is due.
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
        self.told = dict(told)
        self.waits_until = 0.0
        self.since = 0.0
        self.stopped = ""

    def next(self, incidents: Iterable[Incident], mutes: Iterable[Mute], now: float) -> Notice | None:
        """What it is to be told next: the worst first, of equal ones the oldest.

        Args:
            incidents: those that are open, and those that ended lately, as they stand.
            mutes: all of them.
            now: Unix time.

        Returns:
            None when there is nothing, or it is to be left alone for now.
        """
        if self.stopped or now < self.waits_until:
            return None
        held = tuple(mutes)
        due = [(incident, kind) for incident in incidents if (kind := self._due(incident, held, now))]
        if not due:
            self.since = 0.0
            return None
        self.since = self.since or now
        due.sort(key=lambda one: (-SEVERITIES.index(one[0].severity), one[0].opened, one[0].id))
        return self._summary([one for one, kind in due if kind == "opened"], now) or self._notice(*due[0])

    def _due(
        self, incident: Incident, mutes: tuple[Mute, ...], now: float
    ) -> Literal["opened", "worsened", "resolved", "still"] | None:
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
        if muted:
            return None
        if SEVERITIES.index(incident.severity) > SEVERITIES.index(known.severity):
            return "worsened"
        return "still" if self._kind.every and now - known.at >= self._kind.every else None

    def _notice(self, incident: Incident, kind: Literal["opened", "worsened", "resolved", "still"]) -> Notice:
        known = self.told.get(incident.id)
        if kind == "opened" and incident.resolved:
            incident = msgspec.structs.replace(incident, resolved=0)  # its end is told next
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
        self.since = 0.0
        incidents = notice.others or (notice.incident,)
        self._burst += [now] if notice.kind == "opened" else []
        return self._remember(
            {
                incident.id: Told(
                    severity=incident.severity,
                    resolved=notice.kind == "resolved",
                    at=now,
                    memory=memory,
                    summed=notice.kind == "summary",
                )
                for incident in incidents
            }
        )

    def failed(self, notice: Notice, after: float, now: float) -> dict[str, Told]:
        """It did not take it now; returns what is given up, by incident."""
        self.waits_until = now + self._patience.failed(after)
        return self.refused(notice, now) if now - self.since >= GIVEN_UP_SEC else {}

    def refused(self, notice: Notice, now: float, stopped: str = "") -> dict[str, Told]:
        """It will never take it; returns what is given up, by incident."""
        self.stopped = stopped
        self.since = 0.0
        incidents = notice.others or (notice.incident,)
        return self._remember({one.id: Told(severity=one.severity, at=now, lost=True) for one in incidents})

    def _remember(self, told: dict[str, Told]) -> dict[str, Told]:
        self.told |= told
        return told

    def forget(self, known: Iterable[str]) -> list[str]:
        """Forget all incidents but some; returns the ids of those forgotten."""
        gone = list(self.told.keys() - set(known))
        for one in gone:
            del self.told[one]
        return gone
