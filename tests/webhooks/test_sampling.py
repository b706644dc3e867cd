"""Samples: new each time, the same for the same seed, and changes of others."""

import json
import random

import pytest

from payflux.webhooks.registry import ADAPTERS
from payflux.webhooks.sampling import samples_of


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_sample_is_json_without_a_mark_left(name: str) -> None:
    """Ids, times and amounts are filled in; the same for the same seed, others for another."""
    for kind in samples_of(name).samples:
        one, same, other = (samples_of(name).body(kind, random.Random(seed), 0) for seed in (1, 1, 2))
        assert one == same != other
        assert b"$" not in one
        json.loads(one)


@pytest.mark.parametrize("name", ADAPTERS)
def test_traffic_is_made_of_samples_there_are(name: str) -> None:
    """Drawn about as often as it says."""
    samples = samples_of(name)
    assert {kind for weights in samples.traffic.values() for kind in weights} <= set(samples.samples)
    chance = random.Random(1)
    drawn = [samples.drawn("outage", chance) for _ in range(1000)]
    for kind, weight in samples.traffic["outage"].items():
        assert abs(drawn.count(kind) / 1000 - weight / 100) < 0.06


def test_a_change_leaves_the_other_one_as_it_is() -> None:
    """By dotted path, through lists."""
    samples = samples_of("adyen")
    refused = samples.template("AUTHORISATION.refused")["notificationItems"][0]["NotificationRequestItem"]
    assert refused["success"] == "false"
    assert samples.template("AUTHORISATION")["notificationItems"][0]["NotificationRequestItem"]["success"] == "true"
    with pytest.raises(KeyError):
        samples.template("NOTHING")


def test_who_has_no_samples_has_none() -> None:
    """An adapter of one's own."""
    assert samples_of("acme").samples == {}
