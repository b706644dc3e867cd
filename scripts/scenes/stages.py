"""What is staged: each scenario of `payflux simulate` alone, and pairs that overlap."""

from collections.abc import Sequence
from typing import NamedTuple

from payflux.load.corpus.scenarios import SCENARIOS, Incident
from payflux.load.corpus.schedule import staged

LEAD_SEC = 90.0
"""Normal traffic before the trouble, after what was learned."""

LEARNING_SEC, VOLUME_SEC = 3 * 3600, 26 * 3600
"""History of all processors, in which is learned what is normal; and of one whose absence is to say something."""

NODE_DOWN = "node_down"
"""No scenario: the node that scores is killed as the trouble begins, and another one has to take over."""

PAIRS = (
    ("partial_geo", "partial_method"),
    ("partial_issuer", "partial_method"),
    ("auth_cluster", "timeout_creep"),
    ("card_testing", "partial_geo"),
    ("outage", "silence"),
    ("outage", NODE_DOWN),
)
"""Two troubles at a time, each in a part of the traffic of its own; or one, and a node that dies."""


class Scene(NamedTuple):
    """What happens in live traffic.

    Attributes:
        name: of the scenario, of both with a plus between them, or `quiet`.
        incidents: with their starts in seconds after the start of the traffic.
        killed: when the node that scores is, seconds after the start of the traffic; None: never.
    """

    name: str
    incidents: tuple[Incident, ...]
    killed: float | None = None

    @property
    def troubles(self) -> tuple[Incident, ...]:
        """Those of which an incident is to tell."""
        return tuple(one for one in self.incidents if not one.scenario.benign)

    @property
    def end(self) -> float:
        """When the last of it is over, seconds after the start of the traffic."""
        return max((one.end for one in self.incidents), default=0.0)

    @property
    def absent(self) -> frozenset[str]:
        """Processors whose silence is to say something: it takes a day to learn how much comes from them."""
        return frozenset(one.processor for one in self.incidents if one.scenario.driver == "volume_drop")


def scene_of(*names: str) -> Scene:
    """Some scenarios at their usual processors, each begun while the one before is half over.

    Args:
        names: theirs; after one of them also `NODE_DOWN`, which happens as the first begins.

    Raises:
        KeyError: there is no such scenario.
    """
    found: list[Incident] = []
    for name in (name for name in names if name != NODE_DOWN):
        (usual,) = staged([name], lead=LEAD_SEC)
        start = found[-1].start + found[-1].duration / 2 if found else usual.start
        found.append(Incident(name, usual.processor, start, usual.duration, value=usual.value))
    if not found:
        raise KeyError(NODE_DOWN)  # nothing beside it that could be noticed
    return Scene("+".join(names), tuple(found), found[0].start if NODE_DOWN in names else None)


def named(wanted: Sequence[str]) -> list[Scene]:
    """Scenes by their names; all of them where none is named.

    Args:
        wanted: names of scenarios, two or more with `+` between them, or `quiet` for an hour in which nothing happens.

    Raises:
        KeyError: a name is none.
    """
    names = wanted or [*SCENARIOS, *("+".join(pair) for pair in PAIRS)]
    return [Scene("quiet", ()) if name == "quiet" else scene_of(*name.split("+")) for name in names]
