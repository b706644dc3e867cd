"""What is kept of the risk of processors by the stream in memory."""

from collections.abc import Sequence

from payflux.stream.deliveries import Change, IncidentNews, IncidentsKept, RiskKept, RiskNews, Scored, Told


class RiskStore:
    """As a server keeps it; nothing is ever dropped from the log.

    Attributes:
        changes: what became of incidents, newer numbers left out.
    """

    def __init__(self) -> None:
        self._log: list[Change] = []
        self._current: dict[str, Change] = {}
        self._snapshots: dict[str, bytes] = {}
        self._scored = Scored()
        self._told = Told()
        self._open: dict[str, bytes] = {}
        self.changes: list[IncidentNews] = []

    def keep(self, news: RiskNews) -> None:
        """Keep assessments and snapshots; see ReadStream."""
        self.keep_changes(news.changes)
        for processor, (said, snapshot) in news.snapshots.items():
            self._snapshots[processor] = snapshot
            self._current.setdefault(processor, said)
        self._scored = news.scored or self._scored
        for processor in news.forgotten:
            self._current.pop(processor, None)

    def keep_changes(self, changes: Sequence[Change]) -> None:
        """Keep assessments; one that is not later than its processor's last one is dropped."""
        for change in changes:
            last = self._current.get(change.processor)
            if last is None or last.second < change.second:
                self._current[change.processor] = change
                self._log.append(change)

    def kept(self) -> RiskKept:
        """All but the snapshots."""
        current = {processor: change.data for processor, change in self._current.items()}
        return RiskKept([change.data for change in self._log], current, self._scored)

    def snapshot(self, processor: str) -> bytes | None:
        """The snapshot of a processor."""
        return self._snapshots.get(processor)

    def tell(self, told: Sequence[Told]) -> None:
        """Keep what became of incidents; see ReadStream."""
        for step in told:
            if step.second > self._told.second:
                self._told = step
                for one in step.changes:
                    self._tell(one)

    def _tell(self, one: IncidentNews) -> None:
        if one.kind != "updated":
            self.changes.append(one)
        if one.kind == "resolved":
            self._open.pop(one.id, None)
        else:
            self._open[one.id] = one.record

    def told(self) -> IncidentsKept:
        """What is kept of incidents."""
        return IncidentsKept(self._told.second, self._told.state, dict(self._open))

    def spoil(self, processor: str, snapshot: bytes) -> None:
        """Put something else in a snapshot's place, as anybody might."""
        self._snapshots[processor] = snapshot
