"""Counts: they merge in any order and from any number of counters, and invented values fill no memory."""

import tracemalloc
from random import Random

import pytest
from hypothesis import given

from payflux.risk.counts import Counts
from payflux.risk.evidence.segments import MOST_VALUES
from payflux.risk.observation import Observation, is_attended, observation
from payflux.risk.snapshot import snapshot
from risk_traffic import LEARNED, Memory, counted, few, minutes, resumed, seconds, seeds


def shared_out(random: Random, attempts: list[Observation]) -> Counts:
    """Attempts counted in any order by several counters, and added up."""
    counters = [Counts() for _ in range(random.randint(1, 4))]
    for one in random.sample(attempts, len(attempts)):
        random.choice(counters).add(one)
    random.shuffle(counters)
    total = Counts()
    for counter in counters:
        total.merge(counter)
    return total


@few
@given(seed=seeds)
def test_neither_order_nor_splitting_within_a_second_matters(memory: Memory, seed: int) -> None:
    """Any number of counters in any order come to the same evidence, bit by bit."""
    one, other, random = resumed(memory), resumed(memory), Random(seed)
    for second, attempts in zip(seconds(LEARNED, 60), minutes(seed), strict=True):
        assert one.tick(second, counted(attempts)) == other.tick(second, shared_out(random, attempts))
    assert snapshot(one) == snapshot(other)


@pytest.mark.thorough
def test_invented_values_fill_no_memory(memory: Memory) -> None:
    """A producer that sends a new value in every dimension with every event gets `other`, and less than a megabyte."""
    tracemalloc.start()
    watch, number = resumed(memory), 0
    for second in seconds(LEARNED, 10):
        counts = Counts()
        for number in range(number, number + 2000):  # noqa: B020 - goes on counting
            word = f"v{number}"
            counts.add(observation("failure", word, (word, word, word, word)))
        watch.tick(second, counts)
    observation.cache_clear()
    is_attended.cache_clear()
    del counts
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert all(len(values) <= MOST_VALUES + 1 for values in watch.segments.dimensions)
    assert len(watch.sides.categories.shares) <= MOST_VALUES + 2
    assert size < 2**20
