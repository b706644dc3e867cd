"""Keys and rates: what counts as a key, and what a bucket grants."""

import hmac
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.errors import SettingsError
from payflux.ingest.gatekeeper import (
    API_KEY,
    API_KEYS,
    BUCKETS,
    Gatekeeper,
    TokenBucket,
    check_a_key,
    check_keys,
    keys_of,
)
from payflux.settings import load
from payflux.telemetry.slab import Slab

PROPERTY = settings(deadline=None, max_examples=80)
KEYS = ("first-key-0123456789", "second-key-0123456789")
GRAB = """
import sys
from payflux.ingest.gatekeeper import TokenBucket
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


@pytest.fixture
def gatekeeper(slab: Slab) -> Gatekeeper:
    """Knows two keys."""
    return Gatekeeper(KEYS, TokenBucket(100, 500, slab, alone=True))


class Clock:
    """A clock that is set by hand."""

    def __init__(self, start: float = 0.0) -> None:
        self.time = start

    def __call__(self) -> float:
        """The time."""
        return self.time


# keys


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_configured_key_is_known_by_its_number(gatekeeper: Gatekeeper, scheme: bytes, number: int) -> None:
    """Every key works, and the scheme is read in any letter case, as RFC 9110 section 11.1 says."""
    assert gatekeeper.identify(scheme + b" " + KEYS[number].encode(), {}) == number


GOOD = KEYS[0].encode()
WRONG = {
    "nothing": None,
    "an empty header": b"",
    "a blank": b" ",
    "the scheme alone": b"Bearer",
    "the scheme and a blank": b"Bearer ",
    "a wrong key": b"Bearer x",
    "a wrong key, lower case": b"bearer x",
    "two blanks": b"Bearer  " + GOOD,
    "a tab": b"Bearer\t" + GOOD,
    "a blank behind": b"Bearer " + GOOD + b" ",
    "no blank": b"Bearer" + GOOD,
    "no scheme": GOOD,
    "another scheme": b"Basic " + GOOD,
    "Token": b"Token " + GOOD,
    "a colon": b"Bearer: " + GOOD,
    "8 KB": b"Bearer " + b"k" * 8192,
    "8 KB that begin right": b"Bearer " + GOOD * 400,
    "a NUL behind": b"Bearer " + GOOD + b"\x00",
    "a NUL before": b"Bearer \x00" + GOOD,
    "not ASCII": "Bearer é".encode(),
    "not UTF-8": b"Bearer \xff\xfe",
    "Latin-1": b"Bearer " + GOOD[:-1] + b"\xe9",
    "a prefix": b"Bearer " + GOOD[:-1],
    "a suffix": b"Bearer " + GOOD[1:],
    "capitals": b"Bearer " + GOOD.upper(),
    "two headers": b"Bearer " + GOOD + b", Bearer " + GOOD,
    "two headers of two keys": b"Bearer " + GOOD + b", Bearer " + KEYS[1].encode(),
    "both keys": b"Bearer " + GOOD + b"," + KEYS[1].encode(),
    "quotes": b'Bearer "' + GOOD + b'"',
    "a line end": b"Bearer " + GOOD + b"\r\n",
}


@pytest.mark.parametrize("header", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_key_is_refused(gatekeeper: Gatekeeper, header: bytes | None) -> None:
    """Nothing but the scheme, one blank and the whole key is a key, on a connection that proved one before too."""
    connection: dict[str, Any] = {}
    assert gatekeeper.identify(header, connection) is None
    assert connection == {}
    assert gatekeeper.identify(b"Bearer " + GOOD, connection) == 0
    assert gatekeeper.identify(header, connection) is None
    assert gatekeeper.identify(b"Bearer " + GOOD, connection) == 0


@PROPERTY
@given(st.binary(max_size=200))
def test_no_bytes_break_the_comparison(text: bytes) -> None:
    """Whatever a header holds, the answer is a number or None."""
    slab = Slab.create({BUCKETS: 16})
    keeper = Gatekeeper(KEYS, TokenBucket(1, 1, slab, alone=True))
    for header in (text, b"Bearer " + text):
        assert (keeper.identify(header, {}) is not None) == (header[7:] in {key.encode() for key in KEYS})
    os.close(slab.fd)


def test_a_connection_that_changes_its_key_is_known_by_the_new_one(gatekeeper: Gatekeeper) -> None:
    """What a connection proved is remembered for the same header alone."""
    connection: dict[str, Any] = {}
    headers = [b"Bearer " + key.encode() for key in KEYS]
    asked = [gatekeeper.identify(headers[number], connection) for number in (0, 0, 1, 1, 0, 1)]
    assert asked == [0, 0, 1, 1, 0, 1]


def test_every_key_is_compared_every_time(gatekeeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no early end at the first match, and digests of one length are compared, in constant time."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return bool(real(one, other))

    monkeypatch.setattr("payflux.ingest.gatekeeper.hmac.compare_digest", noting)
    for header in (b"Bearer " + GOOD, b"Bearer " + KEYS[1].encode(), b"Bearer x", b"Bearer " + b"x" * 8000):
        compared.clear()
        gatekeeper.identify(header, {})
        assert len(compared) == len(KEYS)
        assert {len(text) for pair in compared for text in pair} == {32}


# configured keys


def test_several_keys_take_precedence_over_the_one() -> None:
    """PAYFLUX_API_KEYS wins; each of its keys counts once, blanks around them do not count."""
    environ = {"PAYFLUX_API_KEYS": " a1 , b2,a1,, ", "PAYFLUX_API_KEY": "c3"}
    assert keys_of(load((API_KEYS, API_KEY), environ, [check_keys])) == ("a1", "b2")
    environ["PAYFLUX_API_KEYS"] = "  "
    assert keys_of(load((API_KEYS, API_KEY), environ, [check_keys])) == ("c3",)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "PAYFLUX_API_KEYS (or PAYFLUX_API_KEY)"),
        ({"PAYFLUX_API_KEYS": ",", "PAYFLUX_API_KEY": "fine"}, "PAYFLUX_API_KEYS="),
        ({"PAYFLUX_API_KEY": "one-secret-a,one-secret-b"}, "PAYFLUX_API_KEY="),
        ({"PAYFLUX_API_KEY": "secret with-blanks"}, "PAYFLUX_API_KEY:"),
        ({"PAYFLUX_API_KEYS": "fine,secret-é"}, "PAYFLUX_API_KEYS:"),
        ({"PAYFLUX_API_KEYS": "fine,secret-\x7f"}, "PAYFLUX_API_KEYS:"),
    ],
)
def test_keys_that_cannot_be_used_stop_the_start(environ: dict[str, str], named: str) -> None:
    """The problem names the variable and shows no key."""
    with pytest.raises(SettingsError) as caught:
        load((API_KEYS, API_KEY), environ, [check_a_key, check_keys])
    (problem,) = caught.value.problems
    assert problem.startswith(named)
    assert "expected" in problem
    assert "secret" not in problem


# rates


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
