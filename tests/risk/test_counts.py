"""Counts: they merge in any order and from any number of counters."""

from random import Random

from hypothesis import given

from payflux.risk.counts import Counts
from payflux.risk.observation import Observation
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
