"""Card numbers (PANs) and card track data: found in text, so that they are refused and never stored.

A card number is 13 to 19 digits that pass the Luhn check (ISO/IEC 7812-1 annex B) and begin as an issuer's cards do.
It counts when it stands alone: digits that touch an ASCII letter or another digit belong to a hash, a UUID or a longer
number. It may be written in groups, joined by one or two of space, dash, dot, slash and underscore, whatever their
Unicode spelling, as may the digits.

What is let through on purpose: UUIDs; groups joined by unlike separators, unless they have the shape printed on cards
(`600 000-4 000 000` is a range of amounts, `45.123456789-05` the end of a timestamp); and every number that begins
with 1, as Unix timestamps do until the year 2033. What is refused without being a card: about 1 random decimal
reference of 16 digits in 25 (4 in 10 begin as a card does, 1 of these in 10 passes Luhn). Send such references hashed.
"""

import re
import unicodedata
from collections.abc import Iterator

_SEPARATORS = " -./_"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_PLAIN_RUN = re.compile(r"[0-9](?:[ \-./_]{0,2}[0-9]){12}")
_UUID = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
# Here and below the look-behind follows the first character: a search that begins with a character is twice as fast.
_CHAIN = re.compile(r"[0-9](?<![0-9A-Za-z].)[0-9]*(?:[ \-./_]{1,2}[0-9]+)*(?![0-9A-Za-z])")
_SEPARATOR = re.compile(r"([ \-./_]{1,2})")

# Ranges and lengths from the networks' published BIN tables, the widest of each.
_ISSUED = re.compile(
    r"""4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})                                    # Visa
    | (?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}   # Mastercard
    | 3[47][0-9]{13}                                                          # American Express
    | (?:30[0-5][0-9]|3095|3[689][0-9]{2})[0-9]{10,15}                        # Diners Club
    | 35(?:2[89]|[3-8][0-9])[0-9]{12,15}                                      # JCB
    | 6[0-9]{12,18}                                       # Discover, UnionPay, Maestro, RuPay, Elo, Hipercard, Troy
    | 5[0678][0-9]{11,17}                                                     # Maestro, Dankort, RuPay, Elo, Verve
    | 220[0-4][0-9]{12,15}                                                    # Mir
    | 8[12][0-9]{14}                                                          # RuPay
    | 9704[0-9]{12}(?:[0-9]{3})?                                              # Napas
    | (?:9792|9860|8600)[0-9]{12}                                             # Troy, Humo, Uzcard
    """,
    re.VERBOSE,
)
_DOUBLED = {"0": 0, "1": 2, "2": 4, "3": 6, "4": 8, "5": 1, "6": 3, "7": 5, "8": 7, "9": 9}

# ISO/IEC 7813. With its start sentinel a track is unmistakable, whatever its digits; YYMM follows track 2's separator.
_TRACK_WITH_SENTINEL = re.compile(r"%[Bb](?:[0-9] ?){12,18}[0-9]\^|;[0-9]{13,19}[=Dd][0-9]{2}(?:0[1-9]|1[0-2])")
_TRACK_1 = re.compile(r"[Bb](?<![0-9A-Za-z].)((?:[0-9] ?){12,18}[0-9])\^")
_TRACK_2 = re.compile(r"[0-9](?<![0-9A-Za-z].)[0-9]{12,18}(?=[Dd][0-9]{2}(?:0[1-9]|1[0-2])[0-9]*[Ff]?(?![0-9A-Za-z]))")

# For the screen: digits become "0", separators go, and what the screen cannot judge becomes a byte that is not ASCII.
_OPAQUE = (0x5C, *range(0x20), *range(0x7F, 0x100))
_SCREEN = bytes(0xFF if byte in _OPAQUE else 0x30 if 0x30 <= byte <= 0x39 else 0x78 for byte in range(256))
_DROPPED = _SEPARATORS.encode()
_THIRTEEN = b"0" * 13

_LOOKALIKES = {"\u2212": "-", "\u00b7": ".", "\u2022": ".", "\u2219": ".", "\u22c5": ".", "\u2044": "/", "\u2215": "/"}


def may_contain_pan(data: bytes) -> bool:
    """Screen compact JSON cheaply, before `contains_pan` is asked about each value in it.

    Args:
        data: JSON in UTF-8, without spaces between its tokens.

    Returns:
        False only when every byte is printable ASCII, none is a backslash, and no string or number in it can hold a
        card number or track data. True means that only the exact checks can tell.
    """
    screened = data.translate(_SCREEN, _DROPPED)
    return not screened.isascii() or screened.find(_THIRTEEN) >= 0


def contains_pan(text: str) -> bool:
    """Whether a card number or card track data stands in a text.

    Args:
        text: any text; the time taken grows with its length alone.

    Returns:
        True when it must be refused; see the module's documentation for what counts.
    """
    if not text.isascii():
        text = _NOT_ASCII.sub(_plain, unicodedata.normalize("NFKC", text))
    if len(text) < 13 or not _PLAIN_RUN.search(text):
        return False
    if _TRACK_WITH_SENTINEL.search(text):
        return True
    return _has_card_number(text) and _has_card_number(_UUID.sub("x", text))


def _plain(match: re.Match[str]) -> str:
    """The ASCII spelling of a digit, a dash or a blank (format characters and marks count as blanks)."""
    character = match[0]
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category == "Pd":
        return "-"
    if category == "Cf" or category[0] in "ZM":
        return " "
    return _LOOKALIKES.get(character, character)


def _has_card_number(text: str) -> bool:
    return any(map(_is_card_number, _candidates(text)))


def _candidates(text: str) -> Iterator[str]:
    """The digits of everything written as a card number may be."""
    for chain in _CHAIN.findall(text):
        if len(chain) >= 13:
            yield from _windows(chain)
    yield from _TRACK_2.findall(text)
    if "^" in text:
        yield from (digits.replace(" ", "") for digits in _TRACK_1.findall(text))


def _windows(chain: str) -> Iterator[str]:
    """The digits of every sequence of whole groups in `chain` that has 13 to 19 of them."""
    parts = _SEPARATOR.split(chain)
    groups, separators = parts[::2], parts[1::2]
    for first in range(len(groups)):
        digits = ""
        for last in range(first, len(groups)):
            digits += groups[last]
            if len(digits) > 19:
                break
            if len(digits) >= 13 and _is_written_as_one(groups[first:last], separators[first:last]):
                yield digits


def _is_written_as_one(leading: list[str], separators: list[str]) -> bool:
    """Whether groups belong together: joined alike, or all but the last of the sizes printed on cards."""
    if len(set(separators)) <= 1:
        return True
    sizes = [len(group) for group in leading]
    return sizes == [4, 6] or all(size == 4 for size in sizes)


def _is_card_number(digits: str) -> bool:
    return _ISSUED.fullmatch(digits) is not None and _passes_luhn(digits)


def _passes_luhn(digits: str) -> bool:
    plain = sum(map(int, digits[-1::-2]))
    doubled = sum(_DOUBLED[digit] for digit in digits[-2::-2])
    return (plain + doubled) % 10 == 0
