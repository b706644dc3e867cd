"""Scenes without servers: the scorer of a node, in stream time, as fast as it goes."""

from collections.abc import Mapping
from itertools import takewhile

import msgspec

from payflux.load.corpus.population import DEMO, Processor
from payflux.load.corpus.scenarios import Incident
from payflux.load.traffic import Traffic
from payflux.risk.incidents.record import Record, record_of
from payflux.risk.judge import Limits
from payflux.risk.reading import Facts, observed
from payflux.risk.scoring import Scorer
from scripts.scenes.stages import LEARNING_SEC, VOLUME_SEC, Scene

START = 1_767_571_200.0  # 2026-01-05T00:00:00Z, a Monday
AFTER_SEC = 1200.0
"""Traffic after a trouble, in which its incident has to end."""

QUIET_SEC = 3600.0


class Rehearsal:
    """A scorer, and what it told of incidents.

    Attributes:
        at: stream time up to which everything was scored.
        records: what became of incidents, as the incident file has it.
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self.records: list[Record] = []
        self._scorer = Scorer(Limits())

    def play(
        self, seed: int, until: float, incidents: tuple[Incident, ...] = (), processors: Mapping[str, Processor] = DEMO
    ) -> None:
        """Let traffic come, from where it stands until a time, Unix seconds.

        Args:
            seed: of the traffic.
            until: when it ends.
            incidents: with starts from now on.
            processors: by name.
        """
        traffic = Traffic(seed, self.at, incidents, processors)
        now = int(self.at)
        for at, event in takewhile(lambda arrival: arrival[0] < until, traffic.arrivals()):
            if at >= now + 1:
                now = int(at)
                self._close(now - 1)
            facts = msgspec.convert(event, Facts)
            if (seen := observed(facts)) is not None:
                known = facts.latency_ms, facts.currency, facts.amount_minor
                self._scorer.observe(round(1000 * at), facts.processor, seen, *known)
        self.at = until
        self._close(int(until) - 1)

    def _close(self, second: int) -> None:
        self._scorer.tick(second)
        told = [change for change in self._scorer.changes(second) if change.kind != "updated"]
        self.records += [record_of(change, Limits().hold_sec) for change in told]

    def again(self) -> "Rehearsal":
        """Another one that knows the same, as one that takes over does."""
        other = Rehearsal(self.at)
        other.restore({name: self._scorer.snapshot(name) for name in self._scorer.followed()})
        return other

    def restore(self, snapshots: Mapping[str, object]) -> None:
        """Go on from what is known of each processor."""
        for name, data in snapshots.items():
            self._scorer.restore(name, msgspec.msgpack.decode(msgspec.msgpack.encode(data)))
        self._scorer.standstill.begin_after(int(self.at) - 1)


class Rehearsals:
    """Scenes after a history that is played once.

    Args:
        seed: of all traffic.
    """

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._learned: dict[frozenset[str], Rehearsal] = {}

    def learned(self, absent: frozenset[str] = frozenset()) -> Rehearsal:
        """A scorer that has learned what is normal.

        Args:
            absent: processors of which it also has to know how much comes from them.
        """
        if absent not in self._learned:
            begun = Rehearsal(START - (VOLUME_SEC if absent else LEARNING_SEC))
            if absent:
                begun.play(self._seed, START - LEARNING_SEC, processors={name: DEMO[name] for name in sorted(absent)})
            begun.play(self._seed, START)
            self._learned[absent] = begun
        return self._learned[absent].again()

    def played(self, scene: Scene, seed: int | None = None) -> tuple[Rehearsal, float]:
        """A scene; the scorer after it, and the Unix time at which it began.

        Args:
            scene: what happens.
            seed: of the traffic in which it does.
        """
        stage = self.learned(scene.absent)
        stage.records.clear()
        began = stage.at
        until = began + (scene.end + AFTER_SEC if scene.incidents else QUIET_SEC)
        stage.play(self._seed if seed is None else seed, until, scene.incidents)
        return stage, began
