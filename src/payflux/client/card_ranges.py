"""Which sequences of digits are card numbers: ranges and lengths of the networks, and the check digit.

Sources: the networks' published BIN tables, the widest of each, and ISO/IEC 7812-1 (annex B, the Luhn check).
"""

import re
from collections.abc import Sequence

SHORTEST, LONGEST = 12, 19

_ISSUED = re.compile(
    rb"""4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})                                    # Visa
    | (?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}   # Mastercard
    | 3[47][0-9]{13}                                                          # American Express
    | (?:30[0-5][0-9]|3095|3[689][0-9]{2})[0-9]{10,15}                        # Diners Club, Hipercard
    | 35(?:2[89]|[3-8][0-9])[0-9]{12,15}                                      # JCB, RuPay
    | 2131[0-9]{11}                                                           # JCB; its 1800 is among UATP's below
    | 6[0-9]{12,18}                               # Discover, UnionPay, Maestro, RuPay, Elo, Verve, Hipercard, Troy
    | 5[0678][0-9]{11,17}                                                     # Maestro, Dankort, RuPay, Elo, Verve
    | (?:50(?:18|20|38)|5[678][0-9]{2}|6304|6390|67[0-9]{2})[0-9]{8}          # Maestro's shortest
    | 220[0-5][0-9]{12,15}                                                    # Mir, Borica
    | 8[12][0-9]{14} | 81[0-9]{15,17}                                         # RuPay, UnionPay
    | 9704[0-9]{12}(?:[0-9]{3})?                                              # Napas
    | (?:9792|9860|8600)[0-9]{12}                                             # Troy, Humo, Uzcard
    | 1[0-9]{14}                                                              # UATP
    """,
    re.VERBOSE,
)
is_issued = _ISSUED.fullmatch
"""A match when a network issues numbers of that beginning and length."""

_BEGINNINGS = frozenset(
    b"%d" % beginning
    for beginning in (*range(10, 20), *range(21, 28), 30, *range(34, 59), *range(60, 70), 81, 82, 86, 97, 98)
)
_UATP, _UATP_DIGITS = 0x31, 15

_SINGLE = bytes(byte & 15 for byte in range(256))
_DOUBLED = bytes(digit // 10 + digit % 10 for digit in (2 * (byte & 15) for byte in range(256)))
_WIDTH = LONGEST + LONGEST % 2
_FEW = 9
"""Fewer numbers than this are judged one by one, which costs less."""
_TENS = re.compile(b"[%b]" % re.escape(bytes(range(0, 256, 10))))


def may_be_issued(digits: bytes) -> bool:
    """Whether a network may issue numbers that begin so: a tenth of the work of `is_issued`, which may still deny it.

    Args:
        digits: at least two.
    """
    return digits[:2] in _BEGINNINGS and (digits[0] != _UATP or len(digits) == _UATP_DIGITS)


def passes_luhn(digits: bytes) -> bool:
    """Whether the last of some digits is the right check digit for the others."""
    kept = digits[-1::-2]
    return (sum(kept) - 48 * len(kept) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def passing_luhn(numbers: Sequence[bytes]) -> list[int]:
    """Do what `passes_luhn` does for many at once: a tenth of the work for each.

    One big integer holds a byte of each number. That of each column of digits is added to it; 19 digits make 171 at
    most, so no byte runs over.

    Args:
        numbers: the digits of each, at most `LONGEST`.

    Returns:
        The indexes of those whose check digit is right.
    """
    if len(numbers) < _FEW:
        return [index for index, digits in enumerate(numbers) if passes_luhn(digits)]
    columns = b"".join([digits.rjust(_WIDTH, b"0") for digits in numbers])
    tables = (_DOUBLED, _SINGLE)
    total = sum(int.from_bytes(columns[at::_WIDTH].translate(tables[at % 2])) for at in range(_WIDTH))
    return [match.start() for match in _TENS.finditer(total.to_bytes(len(numbers)))]
