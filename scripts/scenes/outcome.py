"""What became of a scene: the incidents of it beside what really happened."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from payflux.load.corpus.scenarios import Incident as Trouble
from payflux.risk.incidents.record import Record
from scripts.scenes.stages import Scene

LATE_SEC = 120.0
"""An incident that opens so long after its cause is over is still of it."""

ALERT_SEC = 30.0
"""An alert has to reach somebody so soon after its incident opened."""

DEATH_ALERT_SEC = 120.0
"""The same of a node that died: the rule waits for a minute, Prometheus and Alertmanager for some seconds each."""

HEAD = ("scene", "injected", "opened after", "driver", "segment", "alert after", "resolved after", "verdict")


class Alerted(NamedTuple):
    """When somebody was told of an incident, Unix seconds; None: never.

    Attributes:
        opened: that it is open, the first time.
        resolved: that it is over, the last time.
    """

    opened: float | None = None
    resolved: float | None = None


class Seen(NamedTuple):
    """An incident from its beginning to its end.

    Attributes:
        first: as it opened.
        last: as it stood before its end.
        opened: Unix time.
        resolved: the same; None: it is open still.
        alerted: when somebody was told.
    """

    first: Record
    last: Record
    opened: float
    resolved: float | None
    alerted: Alerted | None = None


class Row(NamedTuple):
    """A line of the table."""

    scene: str
    injected: str
    opened: str
    driver: str
    segment: str
    alert: str
    resolved: str
    problems: tuple[str, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """As text."""
        return (*self[:-1], "; ".join(self.problems) or "as it should be")


def seen(records: Iterable[Record], alerted: Mapping[str, Alerted] | None = None) -> list[Seen]:
    """The incidents that some records tell of, in the order they opened.

    Args:
        records: as the incident file has them.
        alerted: when somebody was told, by incident; None where nobody is.
    """
    told: dict[str, list[Record]] = {}
    for record in records:
        told.setdefault(record["id"], []).append(record)
    return [_seen(own, alerted) for own in told.values()]


def _seen(own: Sequence[Record], alerted: Mapping[str, Alerted] | None) -> Seen:
    ended = own[-1]["resolved"]
    last = [record for record in own if not record["resolved"]][-1]
    who = None if alerted is None else alerted.get(own[0]["id"], Alerted())
    return Seen(own[0], last, _unix(own[0]["opened"]), _unix(ended) if ended else None, who)


def rows(scene: Scene, began: float, found: Sequence[Seen]) -> list[Row]:
    """What became of a scene: a line for each trouble, and one for each incident that is of none.

    Args:
        scene: what happened.
        began: when its traffic did, Unix seconds.
        found: the incidents.
    """
    left, made = list(found), list[Row]()
    for trouble in scene.troubles:
        of_it = [one for one in left if _is_of(one, trouble, began)]
        fits = sorted(of_it, key=lambda one: len(_wrong(one, trouble)))
        left = [one for one in left if one not in fits[:1]]
        made.append(_row(scene, trouble, began, fits[0]) if fits else _missed(scene, trouble, began))
    made += [_extra(scene, one) for one in left]
    return made or [Row(scene.name, "-", "-", "-", "-", "-", "-", ())]


def death(scene: Scene, began: float, alerted: float | None) -> Row:
    """What became of a node that was killed in a scene.

    Args:
        scene: what happened, with the time of that.
        began: when its traffic did, Unix seconds.
        alerted: when somebody was told that the node is down; None: never.
    """
    at = began + (scene.killed or 0.0)
    alert = "never" if alerted is None else f"{alerted - at:.0f} s"
    late = () if alerted is not None and alerted - at <= DEATH_ALERT_SEC else ("no alert in time",)
    return Row(scene.name, _at(at), "-", "a node is down", "-", alert, "-", late)


def _is_of(one: Seen, trouble: Trouble, began: float) -> bool:
    at = one.opened - began
    # An incident knows the second it opened in, which may have begun before the trouble did.
    return one.first["processor"] == trouble.processor and trouble.start - 1.0 < at <= trouble.end + LATE_SEC


def _wrong(one: Seen, trouble: Trouble) -> list[str]:
    """What is not said of a trouble as it is."""
    what, last = trouble.scenario, one.last
    place = (what.dimension, trouble.concerned) if what.dimension else None
    if place and (last["dimension"], last["value"]) != place:
        return [f"expected {'='.join(place)}"]
    return [] if last["driver"] in {what.driver, *what.also} else [f"expected {what.driver}"]


def _row(scene: Scene, trouble: Trouble, began: float, one: Seen) -> Row:
    problems = _wrong(one, trouble)
    if one.resolved is None:
        problems.append("not resolved")
    alert, resolved = "-", "-" if one.resolved is None else f"{one.resolved - began - trouble.end:.0f} s"
    if one.alerted is not None:
        opened, ended = one.alerted
        alert = "never" if opened is None else f"{opened - one.opened:.0f} s"
        problems += ["no alert in time"] if opened is None or opened - one.opened > ALERT_SEC else []
        problems += ["the alert did not end"] if ended is None else []
    names = dict.fromkeys((one.first["driver"], one.last["driver"]))
    places = dict.fromkeys(_place(record) for record in (one.first, one.last))
    after = f"{one.opened - began - trouble.start:.0f} s"
    words = (_at(began + trouble.start), after, ", then ".join(names), ", then ".join(places), alert, resolved)
    return Row(scene.name, *words, tuple(problems))


def _missed(scene: Scene, trouble: Trouble, began: float) -> Row:
    return Row(scene.name, _at(began + trouble.start), "never", "-", "-", "-", "-", (f"missed {trouble.name}",))


def _extra(scene: Scene, one: Seen) -> Row:
    where = f"{one.first['processor'] or 'all'} {_place(one.last)}"
    told = (_at(one.opened), one.last["driver"], where)
    return Row(scene.name, "-", *told, "-", "-", ("one too many",))


def _place(record: Record) -> str:
    return f"{record['dimension']}={record['value']}" if record["dimension"] else "all traffic"


def _at(second: float) -> str:
    return datetime.fromtimestamp(second).astimezone().strftime("%H:%M:%S")


def _unix(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def markdown(made: Iterable[Row]) -> str:
    """The table as the documentation has it."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells for row in made)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
