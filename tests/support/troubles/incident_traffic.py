"""Traffic whose payments have a value, followed by a watch and a tracker."""

import uuid
from random import Random

from payflux.risk.counts import Counts
from payflux.risk.incidents.incident import Change
from payflux.risk.incidents.tracker import Tracker
from payflux.risk.observation import Observation, observation
from payflux.risk.watch import Watch
from risk_traffic import Fault, Traffic, counted

CURRENCIES = ("EUR", "GBP", "USD")


class Followed:
    """One processor: its traffic goes to a watch and what that says to a tracker, and all of it is kept.

    Args:
        watch: that has learned.
        seed: of retries and amounts.

    Attributes:
        tracker: follows the incidents.
        attempts: every attempt by second, with its currency and amount in minor units.
        ids: what was seen in the event of each id.
        changes: what became of incidents.
    """

    def __init__(self, watch: Watch, seed: int) -> None:
        self.watch, self.tracker = watch, Tracker("stripe")
        self._random, self._names = Random(seed), Random(seed)
        self.attempts: dict[int, list[tuple[Observation, str, int]]] = {}
        self.ids: dict[str, tuple[int, Observation]] = {}
        self.changes: list[Change] = []

    def run(self, traffic: Traffic, count: int, fault: Fault | None = None, rate: float | None = None) -> None:
        """Let so many seconds pass."""
        for second in range(self.watch.moved + 1, self.watch.moved + 1 + count):
            self.tick(second, traffic.second(fault, rate))

    def tick(self, second: int, attempts: list[Observation]) -> None:
        """One second; every tenth failure or so is that of a retry."""
        rows = [
            (self._retried(one), self._random.choice(CURRENCIES), self._random.randint(1, 9000)) for one in attempts
        ]
        self.attempts[second] = rows
        counts = counted([one for one, _, _ in rows], 300) if rows else Counts()
        for one, currency, minor in rows:
            counts.add_value(one, currency, minor)
            if one.failed or one.retried:
                event_id = str(uuid.UUID(int=self._names.getrandbits(128)))
                self.ids[event_id] = second, one
                counts.add_sample(one, event_id)
        self.changes += self.tracker.tick(second, counts, self.watch.tick(second, counts))

    def _retried(self, one: Observation) -> Observation:
        if not one.failed or self._random.random() < 0.9:
            return one
        return observation("failure", one.category, one.values, True, one.small, one.counts, one.soft)

    def told(self, kind: str) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.kind == kind]
