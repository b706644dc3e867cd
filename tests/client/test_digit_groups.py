"""What is read as one number, and what is not."""

import random
import struct
import time

import pytest

from payflux.client.card_numbers import contains_pan
from payflux.client.digit_groups import numbers, tightened

VISA = "4111111111111111"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (VISA, True),
        ("1 4111 1111 1111 1111 2", True),
        ("4111 1111 1111 1111 12 26", True),
        ("41 11 11 11 11 11 11 11", True),
        ("411 111 111 111 111 1", True),
        ("41--11--11--11--11--11--11--11", True),
        ("4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1", True),
        ("4111\t1111", False),
        ("4111    1111    1111    1111", True),
        ("cafe4111111111111111", False),  # a hash
        ("4111111111111111cafe", False),
        ("x9y4111111111111111", False),
        ("x9y-4111111111111111", True),
        ("5555555555554444,4111111111111111", True),
        ("0.4111111111111111", False),
        ("-0,4111111111111111", False),
        ("4.111111111111111e+15", False),
        ("4111111.111111111", False),
        ("4111111111111111.5", False),
        ("4111111111111111.0", True),
        ("4111111111111111.55555555", True),  # too long for a float
        ("pan,4111111111111111.5", True),  # no whole part: it follows something
        ("visa.4222222222222.12", True),
        ("2131-012345 67898", True),
        ("4111%2D1111%2d1111%201111", True),
    ],
)
def test_what_is_one_number(text: str, found: bool) -> None:
    """Groups of digits, words and hashes, numbers with a decimal point."""
    assert contains_pan(text) is found


def test_no_float_is_a_card_number() -> None:
    """Neither random ones of any size, nor shares, nor amounts; whole ones are judged as the number they are."""
    rng = random.Random(3)
    for _ in range(3_000):
        (anything,) = struct.unpack("<d", rng.randbytes(8))
        for number in (anything, rng.random(), rng.uniform(0, 1e6), rng.expovariate(1e-3), round(rng.random(), 15)):
            assert number.is_integer() or not contains_pan(repr(number)), number


@pytest.mark.parametrize("spelling", ["{}", "{:.2f} EUR", "lat={} lon=4.9"])
def test_a_number_with_a_point_within_a_text_is_none(spelling: str) -> None:
    """The text around it changes nothing."""
    rng = random.Random(5)
    assert not any(contains_pan(spelling.format(rng.uniform(0, 100))) for _ in range(1_000))


def test_an_iban_is_none() -> None:
    """Account numbers have a check of their own; with a wrong one they are judged as any text."""
    ibans = ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "FR14 2004 1010 0505 0001 3M02 606"]
    assert not any(map(contains_pan, ibans))
    assert contains_pan(f"{ibans[0]} {VISA}")


HOSTILE = [
    "4-" * 50,
    "41-" * 33,
    "411-" * 25,
    "4111-" * 20,
    "4-11-" * 20,
    "4111 " * 20,
    "41111-" * 16,
    "4" * 100,
    "4444 - " * 14,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_work_is_bounded_by_the_length(text: str) -> None:
    """A hundred characters give few candidates, and ten times as many give about ten times as many."""
    few, many = (sum(1 for _ in numbers(tightened(b'"' + text.encode() * times + b'"'))) for times in (1, 10))
    assert few <= 45
    assert many <= 10 * few + 100
    began = time.thread_time()
    contains_pan(text * 1000)
    assert time.thread_time() - began < 2
