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
from functools import cache

from payflux.client.card_ranges import SHORTEST, is_card_number, is_issued, passes_luhn
from payflux.client.digit_groups import SEPARATORS, numbers, stands_alone, tightened

_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?<![0-9A-Fa-f].{8})(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
_IBAN_DIGITS = {code: str(int(chr(code), 36)) for code in range(0x41, 0x5B)}
_IBAN = re.compile(rb"[A-Z]{2}(?<![0-9A-Za-z].{2})[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?(?![0-9A-Za-z])")
_DECIMAL_HASH = re.compile("-?[0-9]{17,20}")

# ISO/IEC 7813. With its start sentinel a track is unmistakable, whatever its digits; YYMM follows track 2's separator.
_TRACK_WITH_SENTINEL = re.compile(rb"%[Bb](?:[0-9] ?){12,18}[0-9]\^|;[0-9]{13,19}[=Dd][0-9]{2}(?:0[1-9]|1[0-2])")
_TRACK_1 = re.compile(rb"[Bb](?<![0-9A-Za-z].)((?:[0-9] ?){12,18}[0-9])\^")
# EMV's tags (Book 3, annex B) with a length in bytes: the number in packed digits, and track 2 with it.
_EMV = re.compile(
    rb"5(?:[Aa](?<![0-9A-Za-z].{2})0[6-9Aa]([0-9]{12,19})[Ff]?(?![0-9A-Za-z])"
    rb"|7(?<![0-9A-Za-z].{2})[01][0-9A-Fa-f]([0-9]{12,19})[Dd][0-9]{4})"
)
_TRACK_2 = re.compile(rb"[0-9](?<![0-9A-Za-z].)[0-9]{12,18}(?=[Dd][0-9]{2}(?:0[1-9]|1[0-2])[0-9]*[Ff]?(?![0-9A-Za-z]))")

_ALPHABETS = (
    *range(0x80, 0x3400),
    *range(0xA000, 0xAC00),
    *range(0xF900, 0x12000),
    *range(0x1D000, 0x1FC00),
    *range(0xE0000, 0xE0200),
)
"""Where characters are that stand for others: not among the ideographs and syllables of East Asia."""

# For the screen: digits become "0", separators go, and what the screen cannot judge becomes a byte that is not ASCII.
_OPAQUE = (0x5C, *range(0x20), *range(0x7F, 0x100))
_SCREEN = bytes(0xFF if byte in _OPAQUE else 0x30 if 0x30 <= byte <= 0x39 else 0x78 for byte in range(256))
_DROPPED = SEPARATORS + b"%"
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
        spellings, other = _spellings()
        text = other.sub("~", text).translate(spellings)
    data = text.encode("ascii", "replace")
    if len(data) < SHORTEST or not may_contain_pan(data):
        return False
    if (b";" in data or b"%" in data) and _TRACK_WITH_SENTINEL.search(data):
        return True
    if not _has_card_number(data):
        return False
    bare = _IBAN.sub(_unless_iban, _UUID.sub(b"x", data), _most(data))
    return bare == data or _has_card_number(bare)


def is_harmless_hash(member: str, value: object) -> bool:
    """Whether a value is a hash of 64 bits in decimal digits, where a hash is expected.

    One in thirty of them reads as a card number of 19 digits; the few networks that issue so long ones are the price.

    Args:
        member: the name of the event's member.
        value: its value.
    """
    return member.endswith("_hash") and isinstance(value, str) and _DECIMAL_HASH.fullmatch(value) is not None


def _unless_iban(match: re.Match[bytes]) -> bytes:
    """Nothing in place of an international bank account number, which has a check of its own (ISO 13616)."""
    text = match[0].replace(b" ", b"").decode()
    return b"x" if int((text[4:] + text[:4]).translate(_IBAN_DIGITS)) % 97 == 1 else match[0]


@cache
def _spellings() -> tuple[dict[int, str], re.Pattern[str]]:
    """What characters outside ASCII are read as, and a pattern of all others.

    Found out once, when it is first needed: to ask about each character of each text takes hundreds of times as long.
    """
    plain = {code: found for code in _ALPHABETS if (found := _plain(chr(code))) is not None}
    lower = "".join(chr(code) for code in plain if code < 0x10000)
    return plain, re.compile(f"[^\x00-\x7f{lower}\U00010000-\U0010ffff]+")


def _plain(character: str) -> str | None:
    """What a character is read as: ASCII, or None. Format characters and marks are blanks."""
    category = unicodedata.category(character)
    if category[0] in "ZM" or category == "Cf":
        return " "
    if category == "Pd":
        return "-"
    digit = unicodedata.digit(character, None)
    if digit is not None:  # circled ones too
        return str(digit)
    normal = unicodedata.normalize("NFKC", character)
    return _LOOKALIKES.get(character, normal if normal.isascii() else None)


def _has_card_number(text: bytes) -> bool:
    tight = tightened(text)
    left = _most(text)
    for number in numbers(tight):
        if is_issued(number.digits):
            left -= 1
            if left < 0 or (passes_luhn(number.digits) and stands_alone(tight, number)):
                return True
    return any(map(is_card_number, _on_tracks(text)))


def _most(text: bytes) -> int:
    """How many numbers with the beginning and length of a card's a text may hold, and how many account numbers.

    Five or six in a hundred characters: a text with more of them is refused for that, as the work they make must not
    grow faster than the text. None that is meant well holds so many.
    """
    return 4 + len(text) // 50


def _on_tracks(text: bytes) -> Iterator[bytes]:
    """The digits of what is written as on a track of a card, or in its chip."""
    if b"D" in text or b"d" in text:
        yield from _TRACK_2.findall(text)
    if b"5A" in text or b"5a" in text or b"57" in text:
        for pair in _EMV.findall(text):
            yield from pair
    if b"^" in text:
        yield from (digits.replace(b" ", b"") for digits in _TRACK_1.findall(text))
