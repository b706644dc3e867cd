from datetime import UTC, datetime
from typing import Any

from scripts.scenes.outcome import Alerted, death, markdown, rows, seen
from scripts.scenes.stages import LEAD_SEC, scene_of

BEGAN = 1_767_960_000.0
SCENE = scene_of("partial_geo")


def record(change: str, after: float, **members: Any) -> dict[str, Any]:
    """A line of an incident file, so many seconds after the trouble began."""
    at = datetime.fromtimestamp(BEGAN + LEAD_SEC + after, UTC).isoformat()
    known: dict[str, Any] = {
        "change": change,
        "id": "i1",
        "processor": "stripe",
        "driver": "segment_degradation",
        "dimension": "geo",
    }
    known |= {"value": "GB", "opened": at, "resolved": at if change == "resolved" else None}
    return known | members


def of(*records: dict[str, Any], alerted: dict[str, Alerted] | None = None) -> list[tuple[str, ...]]:
    """The verdicts on the scene, one for each line."""
    return [row.problems for row in rows(SCENE, BEGAN, seen(records, alerted))]


OPENED, ENDED = record("opened", 5), record("resolved", 400)


def test_one_incident_that_says_what_it_is() -> None:
    """And ends: that is as it should be; with the times from the beginning and the end of the trouble."""
    (row,) = rows(SCENE, BEGAN, seen([OPENED, ENDED]))
    assert row.cells[2:] == ("5 s", "segment_degradation", "geo=GB", "-", "220 s", "as it should be")
    assert markdown([row]).count("\n") == 3


def test_what_is_wrong_is_said() -> None:
    """No incident, one too many, another driver or segment, no end."""
    assert of() == [("missed partial_geo",)]
    assert of(OPENED, ENDED, record("opened", 9, id="i2")) == [(), ("one too many",)]
    assert of(record("opened", 5, value="US"), ENDED) == [("expected geo=GB",)]
    assert of(record("opened", 5, driver="volume_drop"), ENDED) == [("expected segment_degradation",)]
    assert of(OPENED) == [("not resolved",)]
    assert of(record("opened", -20), ENDED) == [("missed partial_geo",), ("one too many",)]


def test_who_is_told_late_or_never() -> None:
    """An alert comes within half a minute, and ends."""
    at = BEGAN + LEAD_SEC + 5
    assert of(OPENED, ENDED, alerted={"i1": Alerted(at + 12, at + 500)}) == [()]
    assert of(OPENED, ENDED, alerted={"i1": Alerted(at + 31, at + 500)}) == [("no alert in time",)]
    assert of(OPENED, ENDED, alerted={}) == [("no alert in time", "the alert did not end")]


def test_the_better_of_two_is_the_one() -> None:
    """Of two incidents the one that says what happened is the trouble's, whichever came first."""
    other = record("opened", 3, id="i0", dimension="method", value="wallet")
    assert of(other, OPENED, ENDED) == [(), ("one too many",)]


def test_a_dead_node_has_a_line_of_its_own() -> None:
    """Whoever is told of it within two minutes is told in time, and never or later is not."""
    scene = scene_of("outage", "node_down")
    row = death(scene, BEGAN, BEGAN + LEAD_SEC + 95)
    assert row.cells[2:] == ("-", "a node is down", "-", "95 s", "-", "as it should be")
    assert death(scene, BEGAN, BEGAN + LEAD_SEC + 121).problems == ("no alert in time",)
    assert death(scene, BEGAN, None).problems == ("no alert in time",)
