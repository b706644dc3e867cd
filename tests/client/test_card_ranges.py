"""Ranges of card numbers, independently written down: prefix, length, network."""

import random

import pytest

from payflux.client.card_numbers import contains_pan
from payflux.client.card_ranges import is_issued, may_be_issued, passes_luhn, passing_luhn

ISSUED = [
    *[("4", length) for length in (13, 16, 19)],
    *[(f"5{digit}", 16) for digit in range(1, 6)],
    *[(first, 16) for first in ("2221", "2229", "223", "229", "23", "26", "270", "271", "2720")],
    *[(first, 15) for first in ("34", "37", "2131", "1800", "1003", "1220")],
    *[(first, 14) for first in ("300", "305", "3095", "36", "38", "39")],
    *[(first, 16) for first in ("3528", "3589", "3566", "6011", "644", "649", "65", "622126", "622925", "60", "6521")],
    *[(first, length) for first in ("62", "81", "8171") for length in (16, 17, 18, 19)],
    *[("5018", length) for length in range(12, 20)],
    *[(first, 12) for first in ("5020", "5038", "5612", "5893", "6304", "6390", "6703", "6759", "6763")],
    *[
        (first, 16)
        for first in ("2200", "2204", "2205", "5019", "508500", "82", "506699", "509000", "636368", "651652")
    ],
    *[("506099", length) for length in (16, 18, 19)],
    *[(first, 16) for first in ("9792", "9860", "8600", "5614", "9704", "606282", "637", "384100")],
    ("9704", 19),
    ("2200", 19),
]


def is_card_number(digits: bytes) -> bool:
    """Whether a network issues numbers of that beginning and length, and the check digit is right."""
    return is_issued(digits) is not None and passes_luhn(digits)


def numbered(first: str, length: int) -> str:
    """A card number of a range, its check digit found by trying."""
    body = (first + "0739518264073951826")[: length - 1]
    return next(body + digit for digit in "0123456789" if is_card_number((body + digit).encode()))


def by_size(digits: str, sizes: tuple[int, ...]) -> list[str]:
    """Digits in groups, the last of which takes what is left."""
    groups = []
    for size in sizes:
        groups.append(digits[:size])
        digits = digits[size:]
    return [group for group in [*groups, digits] if group]


def spellings(digits: str) -> dict[str, str]:
    """A number as people, machines and cards write it."""
    fours = by_size(digits, (4,) * (len(digits) // 4))
    plain = {
        "plain": digits,
        "in a sentence": f"card {digits}, expires 12/26",
        "in brackets": f"[{digits}]",
        "after a word": f"VISA{digits}",
        "before a word": f"{digits}VISA",
        "with zeros": f"000{digits}",
        # Timestamps in nanoseconds begin with 17.
        "with its length": f"{len(digits) if len(digits) != 17 else ''}{digits}",
        "in a chip": f"5A{(len(digits) + 1) // 2:02X}{digits}{'F' * (len(digits) % 2)}",
        "circled": "".join("⓪①②③④⑤⑥⑦⑧⑨"[int(digit)] for digit in digits),
        "full width": digits.translate({48 + digit: 0xFF10 + digit for digit in range(10)}),
        "as a float": f"{digits}.0",
    }
    joined = [" ", "-", ".", "/", "_", ",", ":", "|", "+", "=", "&", "  ", " - ", ", ", "%20", "\u2009", "\u2013"]
    grouped = {f"groups joined by {separator!r}": separator.join(fours) for separator in joined}
    grouped["groups in brackets"] = "".join(f"({group})" for group in fours)
    grouped["digit by digit"] = " ".join(digits)
    return plain | (grouped if len(digits) > 12 else {})


@pytest.mark.parametrize(("first", "length"), ISSUED)
def test_no_card_is_missed(first: str, length: int) -> None:
    """A number of every range is found in every spelling, and with a wrong check digit in none."""
    digits = numbered(first, length)
    missed = [name for name, text in spellings(digits).items() if not contains_pan(text)]
    assert not missed, digits
    wrong = digits[:-1] + str((int(digits[-1]) + 1) % 10)
    assert not is_card_number(wrong.encode())


def test_there_are_many_ranges_and_spellings() -> None:
    """What is said of them in the documentation."""
    assert len(ISSUED) >= 60
    assert len(spellings(numbered("4", 16))) >= 12


@pytest.mark.parametrize("digits", ["", "4", "1234567890123452", "41111111111111111", "7011111111111116", "0" * 16])
def test_what_no_network_issues_is_none(digits: str) -> None:
    """Luhn alone makes no card number, nor does a range alone."""
    assert not is_card_number(digits.encode())


def test_nothing_is_issued_that_may_not_be() -> None:
    """No network has ranges finer than four digits here; every beginning, of every length."""
    numbers = [b"%04d" % first + b"0" * (length - 4) for first in range(10_000) for length in range(12, 20)]
    assert not [digits for digits in numbers if is_issued(digits) and not may_be_issued(digits)]
    assert not may_be_issued(b"20261127120000123")


@pytest.mark.parametrize("count", [0, 1, 8, 9, 10, 300])
def test_many_are_judged_as_each_is(count: int) -> None:
    """The check digits of many numbers at once, of all lengths, are as right as one by one."""
    rng = random.Random(count)
    numbers = [str(rng.randrange(10 ** rng.randint(1, 19))).encode() for _ in range(count)] + [b"9" * 19] * (count > 8)
    assert passing_luhn(numbers) == [index for index, digits in enumerate(numbers) if passes_luhn(digits)]
