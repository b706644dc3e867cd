"""Card numbers (PANs) and card track data: found in text, so that they are refused and never stored.

A card number is 12 to 19 digits that pass the Luhn check (ISO/IEC 7812-1 annex B) and begin as an issuer's cards do
(`card_ranges`). It counts when it stands alone, in one piece or in groups joined by up to three separators
(`digit_groups`): digits that touch another digit or a letter belong to a hash, a UUID or a longer number, unless the
letters are a word (`VISA4111...`). It may be padded with zeros, follow its own length (LLVAR) or an EMV tag, and be
written with any digits and separators of Unicode.

What is let through on purpose: UUIDs; IBANs; numbers with a decimal point; groups joined by unlike separators, unless
they have the shape printed on cards (`600 000-4 000 000` is a range of amounts, `45.123456789-05` the end of a
timestamp); and numbers that begin with 1, as Unix timestamps do until
the year 2033, but those of 15 digits. What is
refused without being a card: about 1 random decimal reference of 16 digits in 25 (4 in 10 begin as a card does, 1 of
these in 10 passes Luhn). Send such references hashed, or with letters before them.
"""

import re
import unicodedata
from collections.abc import Iterator

from payflux.event.card_ranges import is_card_number
from payflux.event.digit_groups import MOST, SEPARATORS, candidates

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_UUID = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?(?![0-9A-Za-z])")
_DECIMAL_HASH = re.compile("-?[0-9]{17,20}")

# ISO/IEC 7813. With its start sentinel a track is unmistakable, whatever its digits; YYMM follows track 2's separator.
_TRACK_WITH_SENTINEL = re.compile(r"%[Bb](?:[0-9] ?){12,18}[0-9]\^|;[0-9]{13,19}[=Dd][0-9]{2}(?:0[1-9]|1[0-2])")
_TRACK_1 = re.compile(r"[Bb](?<![0-9A-Za-z].)((?:[0-9] ?){12,18}[0-9])\^")
# EMV's tags (Book 3, annex B) with a length in bytes: the number in packed digits, and track 2 with it.
_EMV = re.compile(
    r"(?<![0-9A-Za-z])(?:5[Aa]0[6-9Aa]([0-9]{12,19})[Ff]?(?![0-9A-Za-z])|57[01][0-9A-Fa-f]([0-9]{12,19})[Dd][0-9]{4})"
)
_TRACK_2 = re.compile(r"[0-9](?<![0-9A-Za-z].)[0-9]{12,18}(?=[Dd][0-9]{2}(?:0[1-9]|1[0-2])[0-9]*[Ff]?(?![0-9A-Za-z]))")

# For the screen: digits become "0", separators go, and what the screen cannot judge becomes a byte that is not ASCII.
_OPAQUE = (0x5C, *range(0x20), *range(0x7F, 0x100))
_SCREEN = bytes(0xFF if byte in _OPAQUE else 0x30 if 0x30 <= byte <= 0x39 else 0x78 for byte in range(256))
_DROPPED = SEPARATORS.encode() + b"%"
_TWELVE = b"0" * 12
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
    screened = data.translate(_SCREEN)
    if not screened.isascii() or screened.find(_TWELVE) >= 0:
        return True
    return data.translate(_SCREEN, _DROPPED).find(_THIRTEEN) >= 0


def contains_pan(text: str) -> bool:
    """Whether a card number or card track data stands in a text.

    Args:
        text: any text; the time taken grows with its length alone.

    Returns:
        True when it must be refused; see the module's documentation for what counts.
    """
    if not text.isascii():
        text = _NOT_ASCII.sub(_plain, unicodedata.normalize("NFKC", text))
    if len(text) < 12 or not may_contain_pan(text.encode()):
        return False
    if _TRACK_WITH_SENTINEL.search(text):
        return True
    if not _has_card_number(text):
        return False
    bare = _IBAN.sub(_unless_iban, _UUID.sub("x", text))
    return bare == text or _has_card_number(bare)


def is_harmless_hash(member: str, value: object) -> bool:
    """Whether a value is a hash of 64 bits in decimal digits, where a hash is expected.

    One in thirty of them reads as a card number of 19 digits; the few networks that issue so long ones are the price.

    Args:
        member: the name of the event's member.
        value: its value.
    """
    return member.endswith("_hash") and isinstance(value, str) and _DECIMAL_HASH.fullmatch(value) is not None


def _unless_iban(match: re.Match[str]) -> str:
    """Nothing in place of an international bank account number, which has a check of its own (ISO 13616)."""
    text = match[0].replace(" ", "")
    return "x" if int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1 else match[0]


def _plain(match: re.Match[str]) -> str:
    """The ASCII spelling of a digit, a dash or a blank (format characters and marks count as blanks)."""
    character = match[0]
    category = unicodedata.category(character)
    digit = unicodedata.digit(character, None)
    if digit is not None:  # circled ones too
        return str(digit)
    if category == "Pd":
        return "-"
    if category == "Cf" or category[0] in "ZM":
        return " "
    return _LOOKALIKES.get(character, character)


def _has_card_number(text: str) -> bool:
    for seen, digits in enumerate(candidates(text)):
        if seen == MOST or is_card_number(digits):
            return True
    return any(map(is_card_number, _on_tracks(text)))


def _on_tracks(text: str) -> Iterator[str]:
    """The digits of what is written as on a track of a card, or in its chip."""
    yield from _TRACK_2.findall(text)
    for pair in _EMV.findall(text):
        yield from pair
    if "^" in text:
        yield from (digits.replace(" ", "") for digits in _TRACK_1.findall(text))
