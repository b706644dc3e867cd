import pytest

from payflux.load.corpus.population import DEMO
from payflux.load.corpus.scenarios import Incident
from scripts.scenes.outcome import Row, rows, seen
from scripts.scenes.rehearsal import START, Rehearsal, Rehearsals
from scripts.scenes.stages import named


def test_what_is_rehearsed_is_what_a_node_would_say() -> None:
    """Nothing is known, nearly all fails: one incident, that ends; one that takes over knows the same."""
    stage = Rehearsal(START)
    outage = Incident("outage", "stripe", 60, 60)
    one = {"stripe": DEMO["stripe"]}
    stage.play(1, START + 100, (outage,), one)
    assert [record["change"] for record in stage.records] == ["opened"]
    other = stage.again()
    for each in (stage, other):
        each.records.clear()
        each.play(2, START + 900, (), one)
    assert stage.records == other.records
    assert [record["change"] for record in stage.records] == ["resolved"]


@pytest.fixture(scope="module")
def rehearsals() -> Rehearsals:
    """With one history for all."""
    return Rehearsals()


def outcome(rehearsals: Rehearsals, name: str, seed: int) -> list[Row]:
    """What became of a scene."""
    (scene,) = named([name])
    stage, began = rehearsals.played(scene, seed)
    return rows(scene, began, seen(stage.records))


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [scene.name for scene in named([])])
def test_every_trouble_is_one_incident(name: str, rehearsals: Rehearsals) -> None:
    """With the right driver and segment, and ended; of what is no trouble there is none."""
    (scene,) = named([name])
    found = outcome(rehearsals, name, 1)
    assert [row.problems for row in found] == [()] * max(len(scene.troubles), 1), found


@pytest.mark.thorough
@pytest.mark.timeout(1200)
def test_twenty_quiet_hours_have_no_incident(rehearsals: Rehearsals) -> None:
    """Of twenty seeds, each after what was learned."""
    found = [record for seed in range(1, 21) for record in rehearsals.played(named(["quiet"])[0], seed)[0].records]
    assert found == []
