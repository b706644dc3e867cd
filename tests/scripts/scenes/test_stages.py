import pytest

from payflux.load.corpus.scenarios import SCENARIOS
from scripts.scenes.stages import LEAD_SEC, PAIRS, named, scene_of


def test_every_scenario_is_staged_and_some_pairs() -> None:
    """Where and as long as `payflux simulate` has it, after some normal traffic."""
    scenes = {scene.name: scene for scene in named([])}
    assert list(scenes) == [*SCENARIOS, *("+".join(pair) for pair in PAIRS)]
    for name, usual in SCENARIOS.items():
        (one,) = scenes[name].incidents
        assert (one.name, one.processor, one.start, one.duration) == (name, usual.processor, LEAD_SEC, usual.duration)
        assert scenes[name].troubles == (() if usual.benign else (one,))


def test_a_pair_overlaps() -> None:
    """The second begins while the first is half over."""
    first, second = scene_of("partial_geo", "partial_method").incidents
    assert first.start < second.start < first.end < second.end


def test_a_node_dies_as_a_trouble_begins() -> None:
    """And is no trouble itself; alone it is no scene."""
    scene = scene_of("outage", "node_down")
    assert (scene.incidents, scene.killed) == (scene_of("outage").incidents, LEAD_SEC)
    assert scene_of("outage").killed is None
    with pytest.raises(KeyError):
        scene_of("node_down")


def test_whose_silence_counts() -> None:
    """That of a processor from which less comes than usual: only there a day of history is needed."""
    assert scene_of("outage", "silence").absent == {"worldpay"}
    assert scene_of("outage").absent == frozenset()


def test_an_hour_in_which_nothing_happens() -> None:
    """It has no incident; what is no scenario is refused."""
    (scene,) = named(["quiet"])
    assert (scene.incidents, scene.end) == ((), 0.0)
    with pytest.raises(KeyError):
        named(["outrage"])
