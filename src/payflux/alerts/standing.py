"""The incidents as they stand, put together from those that are open and from the changes of all."""

from collections.abc import Iterable

from payflux.risk.incidents.incident import Incident


class Standing:
    """Every incident somebody may still have to be told of.

    Attributes:
        incidents: by id.
        vanished: ids of those that are open here and were not among the open ones when these were last read; once every
            change was read that came before, nobody knows of their end.
    """

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.vanished: set[str] = set()
        self._changes: dict[str, list[bytes]] = {}

    def see_open(self, found: Iterable[Incident]) -> None:
        """These are all that are open. To be followed by the changes that came since."""
        seen = {one.id: one for one in found}
        for incident in seen.values():
            self._take(incident)
        self.vanished = {one.id for one in self.incidents.values() if not one.resolved and one.id not in seen}

    def see_change(self, change: bytes, incident: Incident) -> bool:
        """Something became of an incident.

        Args:
            change: its id in the stream; empty when it is not to be acked.
            incident: as it stands since.

        Returns:
            Whether the change may be acked at once: an open incident is found again among the open ones.
        """
        self._take(incident)
        self.vanished.discard(incident.id)
        if not incident.resolved:
            return True
        if change:
            self._changes.setdefault(incident.id, []).append(change)
        return False

    def _take(self, incident: Incident) -> None:
        known = self.incidents.get(incident.id)
        if known is None or (not known.resolved and (incident.resolved or incident.updated >= known.updated)):
            self.incidents[incident.id] = incident

    def ended(self) -> list[Incident]:
        """Those that are over."""
        return [one for one in self.incidents.values() if one.resolved]

    def drop(self, incident: str) -> list[bytes]:
        """Nothing more is to be told of an incident; the changes that are done with."""
        self.incidents.pop(incident, None)
        self.vanished.discard(incident)
        return self._changes.pop(incident, [])
