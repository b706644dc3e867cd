"""What becomes of incidents, until it is kept: told in steps, each once, whoever tells it.

A step goes up to a second of stream time. With it is kept what its scorer knew beside the snapshots, so that a
successor, which scores anew what came after those, knows which of the changes it finds were told.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from payflux.consume.succession.refusals import Refusals
from payflux.errors import StreamUnavailable
from payflux.log import log
from payflux.risk.incidents.incident import Change
from payflux.risk.incidents.record import RUNBOOK, closed, encoded
from payflux.risk.scoring import Scorer
from payflux.stream.deliveries import IncidentNews, IncidentsKept, Told
from payflux.stream.protocol import ReadStream

MOST_STEPS = 512
"""Steps that wait while they cannot be kept, and steps that are told again in case of doubt; older ones are dropped."""

RETRY_SECONDS = 5.0
"""Between two attempts when Redis refuses them."""

Announce = Callable[[Told], None]


def nobody(told: Told) -> None:
    """Announce nothing."""
    del told


LOST = "what was known of it is lost"
SILENCE = "volume_drop"


class Incidents:
    """Tells the stream what becomes of incidents.

    Args:
        stream: the consumer's side of the stream.
        scorer: finds them.
        announce: is given what was kept, each change once in this process.
        runbook: the address incidents link to.
        refusals: what ingestion refuses, for what is said of a silence; None: nobody knows.
        now: a monotonic clock.
    """

    def __init__(  # noqa: PLR0917 - all it works with
        self,
        stream: ReadStream,
        scorer: Scorer,
        announce: Announce = nobody,
        runbook: str = RUNBOOK,
        refusals: Refusals | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._scorer, self._announce, self._now = stream, scorer, announce, now
        self._runbook, self._refusals = runbook, refusals
        self._untold: deque[Told] = deque(maxlen=MOST_STEPS)
        self._told: deque[Told] = deque(maxlen=MOST_STEPS)
        self._doubted: list[Told] = []  # told before, and to be told again
        self._orphans: list[bytes] = []
        self._known: Any = None
        self._retry_at = float("-inf")

    def clear(self) -> None:
        """Forget everything: another consumer may have gone on meanwhile."""
        self._untold.clear()
        self._told.clear()
        self._doubted.clear()
        self._orphans.clear()
        self._known = None

    def doubt(self) -> None:
        """Redis may have forgotten what it was told last: tell it once more, which changes nothing if it has not."""
        self._doubted += self._told
        self._told.clear()

    async def recover(self) -> IncidentsKept:
        """Go on from what is kept: before anything is scored once more.

        Returns:
            What is kept; after that, `miss` what nobody knows any more.

        Raises:
            StreamUnavailable: try again.
        """
        self.clear()
        try:
            kept = await self._stream.incidents()
        except StreamUnavailable as error:
            if error.code in {"redis_down", "redis_timeout"}:
                raise
            log("error", "incidents_unreadable", code=error.code, detail=str(error))
            return IncidentsKept(-1, b"", {})
        if kept.second >= 0:
            self._restore(kept)
        return kept

    def _restore(self, kept: IncidentsKept) -> None:
        try:
            self._scorer.standstill.restore(msgspec.json.decode(kept.state))
        except (ValueError, LookupError, TypeError, msgspec.MsgspecError) as error:
            log("warning", "incidents_unreadable", error=type(error).__name__)
            self._scorer.standstill.begin_after(kept.second)

    def miss(self, kept: IncidentsKept) -> None:
        """After all was scored once more that came up to what is kept: end incidents that nobody follows any more."""
        traced = self._scorer.traced()
        self._orphans += [record for name, record in sorted(kept.open.items()) if name not in traced]

    def step(self, second: int, *, anyway: bool = False) -> None:
        """Take in what became of incidents.

        Args:
            second: stream time; all processors were ticked up to it.
            anyway: what is known now is about to be kept in a snapshot.
        """
        changes = [self._news(change) for change in self._scorer.changes(second)]
        changes += [IncidentNews("resolved", *closed(record, second, LOST)) for record in self._orphans]
        self._orphans.clear()
        if self._refusals is not None:
            self._refusals.look(second)
        known = self._scorer.standstill.known
        if changes or known != self._known or anyway:
            self._known = known
            state = msgspec.json.encode(self._scorer.standstill.snapshot())
            self._untold.append(Told(second, state, tuple(changes)))

    def _news(self, change: Change) -> IncidentNews:
        incident = change.incident
        if self._refusals is not None and incident.driver.name == SILENCE:
            refused = self._refusals.since(incident.since, nothing=not incident.processor)
            notes = [note for note in (incident.note, refused) if note]
            incident = replace(incident, note=": ".join(notes))
        record = encoded(replace(change, incident=incident), self._scorer.limits.hold_sec, self._runbook)
        return IncidentNews(change.kind, incident.processor, incident.id, record)

    async def keep(self) -> None:
        """Keep what was not kept yet; what stands in its way is told, and keeps no event from coming out.

        Raises:
            StreamUnavailable: perhaps it was not kept, and will be tried again. LeaseLost: it was not.
        """
        if not (self._untold or self._doubted) or self._now() < self._retry_at:
            return
        again, steps = self._doubted, tuple(self._untold)
        try:
            await self._stream.keep_incidents((*again, *steps))
        except StreamUnavailable as error:
            if error.code in {"redis_down", "redis_timeout"}:
                raise
            log("error", "incidents_not_kept", code=error.code, detail=str(error))
            self._retry_at = self._now() + RETRY_SECONDS
            return
        self._untold.clear()
        self._doubted = []
        self._told.extend((*again, *steps))
        for step in steps:
            self._announce(step)
