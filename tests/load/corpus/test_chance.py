"""Chance that is the same everywhere: golden words, exact shares, and distributions against their formulas."""

from math import exp, lgamma, log
from statistics import fmean, pvariance
from struct import unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.load.corpus.chance import WORD, SlowNoise, normal, poisson, slots, stream, words


def test_a_stream_gives_the_words_it_always_gave() -> None:
    """The first words of a stream are the same on every Python and machine."""
    random = stream(7, "stripe", "counts")
    assert [random.getrandbits(32) for _ in range(3)] == [4_258_534_285, 687_311_162, 3_933_905_038]


def test_streams_of_other_names_have_nothing_in_common() -> None:
    """Names are told apart one by one, not as one text."""
    firsts = {stream(*names).getrandbits(64) for names in ((1, "2"), (12,), ("1", "2 3"), ("1 2", "3"), (1, 2, 3))}
    assert len(firsts) == 5


@given(st.lists(st.integers(0, 50), min_size=1))
def test_words_drawn_at_once_are_those_drawn_one_by_one(counts: list[int]) -> None:
    """How many words are taken at a time changes nothing."""
    at_once, single = stream("x"), stream("x")
    for count in counts:
        drawn = unpack(f"<{count}I", words(at_once, count))
        assert drawn == tuple(single.getrandbits(32) for _ in range(count))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40).filter(any), st.integers(1, 4096))
def test_shares_differ_from_the_weights_by_less_than_a_slot(weights: list[int], size: int) -> None:
    """The table is full, and a weight of 0 has no slot."""
    table = slots(weights, size)
    assert len(table) == size
    for index, weight in enumerate(weights):
        assert abs(table.count(index) - weight * size / sum(weights)) < 1


@pytest.mark.parametrize("mean", [1e-9, 0.05, 0.5, 3.0, 19.97, 200.0, 12_345.6])
def test_poisson_counts_have_their_distribution(mean: float) -> None:
    """The edges between counts are the cumulated probabilities of the formula."""
    found = poisson(mean)
    exact = 0.0
    for count in range(int(mean + 8 * mean**0.5) + 3):
        exact += exp(count * log(mean) - mean - lgamma(count + 1))
        if found.least <= count < found.least + len(found.edges):
            assert found.edges[count - found.least] / WORD == pytest.approx(exact, abs=2e-9)
        else:
            assert min(exact, 1 - exact) < 1e-8


def test_nothing_is_expected_of_nothing() -> None:
    """A mean of 0 gives 0 whatever the word."""
    assert {poisson(0.0).count(word) for word in (0, 1, WORD // 2, WORD - 1)} == {0}


def test_normal_numbers_are_normal_enough() -> None:
    """Mean 0, variance 1, and five of a hundred are beyond 1.96."""
    random = stream("normal")
    drawn = [normal(random) for _ in range(20_000)]
    assert fmean(drawn) == pytest.approx(0, abs=0.03)
    assert pvariance(drawn) == pytest.approx(1, abs=0.04)
    assert sum(abs(one) > 1.96 for one in drawn) / len(drawn) == pytest.approx(0.05, abs=0.006)


def test_slow_noise_wanders_as_far_and_as_slowly_as_it_should() -> None:
    """It has its deviation, and after the minutes it remembers its correlation has fallen to 1/e."""
    noise = SlowNoise(stream("noise"), 0.1, 20)
    walk = [noise.step() for _ in range(60_000)]
    variance = pvariance(walk)
    assert variance**0.5 == pytest.approx(0.1, rel=0.05)
    assert fmean(a * b for a, b in zip(walk, walk[20:], strict=False)) / variance == pytest.approx(exp(-1), abs=0.06)
