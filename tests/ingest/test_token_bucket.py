"""Rates: what a bucket grants, to one process and to several."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.ingest.token_bucket import BUCKETS, TokenBucket
from payflux.telemetry.slab import Slab

PROPERTY = settings(deadline=None, max_examples=80)
GRAB = """
import sys
from payflux.ingest.token_bucket import TokenBucket
from payflux.telemetry.slab import Slab
bucket = TokenBucket(1024, 8192, Slab(int(sys.argv[1])), alone=False, now=lambda: 1000.0)
print("ready", flush=True)
sys.stdin.readline()
granted = 0
while not bucket.take(0, 1):
    granted += 1
print(granted)
"""


@pytest.fixture
def slab() -> Iterator[Slab]:
    """Room for the buckets of two keys."""
    slab = Slab.create({BUCKETS: 16})
    yield slab
    os.close(slab.fd)


class Clock:
    """A clock that is set by hand."""

    def __init__(self, start: float = 0.0) -> None:
        self.time = start

    def __call__(self) -> float:
        """The time."""
        return self.time


@PROPERTY
@given(
    st.sampled_from([1, 2, 16, 128, 1024]),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 2048), st.integers(1, 120)), max_size=60),
)
def test_the_bucket_is_a_bucket(rate: int, burst: int, steps: list[tuple[int, int]]) -> None:
    """It grants exactly what a bucket of tokens does that may go into debt from its brim, and never waits in vain.

    Times are multiples of 1/1024 s and rates powers of two, so that both are computed without rounding.
    """
    slab = Slab.create({BUCKETS: 8})
    clock = Clock()
    bucket = TokenBucket(rate, burst, slab, alone=True, now=clock)
    level = float(burst)
    for passed, tokens in steps:
        clock.time += passed / 1024
        level = min(float(burst), level + rate * passed / 1024)
        needed = min(tokens, burst)
        assert (bucket.wait(0) == 0) == (level >= 1)
        wait = bucket.take(0, tokens)
        if level >= needed:
            assert wait == 0
            level -= tokens
        else:
            assert wait == (needed - level) / rate
    os.close(slab.fd)


@PROPERTY
@given(
    st.integers(1, 10_000_000),
    st.integers(1, 10_000_000),
    st.floats(0, 10_000_000),
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 1000)), min_size=1, max_size=60),
)
def test_never_more_than_burst_and_rate_are_granted(
    rate: int, burst: int, start: float, steps: list[tuple[float, int]]
) -> None:
    """From any moment on, no more than `burst + rate * t` is granted, but for what one batch took beyond the burst."""
    slab = Slab.create({BUCKETS: 8})
    clock = Clock(start)
    bucket = TokenBucket(rate, burst, slab, alone=True, now=clock)
    granted: list[tuple[float, int]] = []
    for passed, tokens in steps:
        clock.time += passed
        if not bucket.take(0, tokens):
            granted.append((clock.time, tokens))
    for number, (since, _) in enumerate(granted):
        total = 0
        for until, tokens in granted[number:]:
            debt = max(0, tokens - burst)
            total += tokens
            assert total - debt <= (burst + rate * (until - since)) * (1 + 1e-6) + rate * 1e-8
    os.close(slab.fd)


@PROPERTY
@given(st.integers(1, 10_000_000), st.integers(1, 10_000_000), st.integers(1, 1000), st.floats(0, 10_000_000))
def test_a_full_bucket_lets_any_batch_pass(rate: int, burst: int, tokens: int, start: float) -> None:
    """At a full bucket every batch passes, however large; what it took beyond the burst has to be waited for."""
    slab = Slab.create({BUCKETS: 8})
    clock = Clock(start)
    bucket = TokenBucket(rate, burst, slab, alone=True, now=clock)
    for batch in (tokens, burst, burst + tokens):
        assert bucket.take(0, batch) == 0
        wait = bucket.take(0, 1)
        assert (wait > 0) == (batch >= burst) or math.isclose(wait, 0, abs_tol=1e-6)
        clock.time += (burst + 2 * batch) / rate + 1
    os.close(slab.fd)


def test_debt_is_paid_back(slab: Slab) -> None:
    """A batch of ten bursts passes, and nothing more for the time the rate needs for it."""
    clock = Clock(50.0)
    bucket = TokenBucket(16, 32, slab, alone=True, now=clock)
    assert bucket.take(0, 320) == 0
    assert bucket.take(0, 1) == bucket.wait(0) == (320 - 32 + 1) / 16
    clock.time += (320 - 32) / 16
    assert bucket.take(0, 1) == 1 / 16
    clock.time += 1 / 16
    assert bucket.take(0, 1) == 0


def test_the_promised_wait_is_enough_and_not_too_much(slab: Slab) -> None:
    """After the seconds a refusal names the same tokens are granted, and not a hundredth earlier."""
    clock = Clock(12345.678)
    bucket = TokenBucket(7, 11, slab, alone=True, now=clock)
    assert bucket.take(0, 11) == 0
    for tokens in (1, 5, 11, 30):
        wait = bucket.take(0, tokens)
        clock.time += wait * 0.99
        assert bucket.take(0, tokens) > 0
        clock.time += wait * 0.01 + 1e-6
        assert bucket.take(0, tokens) == 0


def test_each_key_has_a_bucket_of_its_own(slab: Slab) -> None:
    """One key's traffic costs another nothing."""
    bucket = TokenBucket(1, 5, slab, alone=True, now=Clock(1.0))
    assert [bucket.take(0, 1) for _ in range(5)] == [0] * 5
    assert bucket.take(0, 1) > 0
    assert [bucket.take(1, 1) for _ in range(5)] == [0] * 5
    assert bucket.take(1, 1) > 0


def test_two_processes_share_a_bucket_exactly(slab: Slab) -> None:
    """Processes that take as fast as they can get one burst together, not one each, and not a token less."""
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", GRAB, str(slab.fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(slab.fd,),
            text=True,
        )
        for _ in range(2)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    granted = [int(taker.communicate(timeout=30)[0]) for taker in takers]
    assert sum(granted) == 8192


@PROPERTY
@given(
    st.sampled_from([1, 2, 16, 128]),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 2048), st.integers(1, 30)), min_size=1, max_size=12),
)
def test_asking_for_several_grants_what_asking_one_by_one_does(
    rate: int, burst: int, steps: list[tuple[int, int]]
) -> None:
    """Several requests are granted together exactly when each of them would be; else nothing is taken."""
    one_slab, many_slab, clock = Slab.create({BUCKETS: 8}), Slab.create({BUCKETS: 8}), Clock()
    one = TokenBucket(rate, burst, one_slab, alone=True, now=clock)
    many = TokenBucket(rate, burst, many_slab, alone=True, now=clock)
    for passed, requests in steps:
        clock.time += passed / 1024
        singly = [one.take(0, 1) == 0 for _ in range(requests)]
        together = many.take_each(0, requests)
        assert together == all(singly)
        assert together or [many.take(0, 1) == 0 for _ in range(requests)] == singly
    os.close(one_slab.fd)
    os.close(many_slab.fd)
