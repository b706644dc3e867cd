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
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice, repeat
from operator import itemgetter

from payflux.client.card_ranges import SHORTEST, is_issued, passing_luhn
from payflux.client.digit_groups import SEPARATORS, Number, numbers, tightened, unescaped

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
_TRACK_2 = re.compile(
    rb"[0-9](?<![0-9A-Za-z].)[0-9]{12,18}+(?=[Dd][0-9]{2}(?:0[1-9]|1[0-2])[0-9]*+[Ff]?(?![0-9A-Za-z]))"
)

_EDGE = '"'
"""Stands between texts that are searched together, and at their ends; where it is part of one it is read as `'`."""
_EDGES = re.compile(_EDGE.encode())
_SOME, _APART = 16, 25
"""So many numbers written as card numbers are texts may hold, and one more for so many characters."""
_digits, _start = itemgetter(0), itemgetter(1)

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

_FOREIGN = re.compile("[^\x00-\x7f]+")
_FEW = 16
"""Up to so many different characters outside ASCII are replaced one after the other, which costs less than a table."""
_LOOKALIKES = {"\u2212": "-", "\u00b7": ".", "\u2022": ".", "\u2219": ".", "\u22c5": ".", "\u2044": "/", "\u2215": "/"}


def may_contain_pan(data: bytes) -> bool:
    """Screen compact JSON cheaply, before `contains_pan` is asked about each value in it.

    Args:
        data: JSON in UTF-8, without spaces between its tokens.

    Returns:
        False only when every byte is printable ASCII, none is a backslash, and no string or number in it can hold a
        card number or track data. True means that only the exact checks can tell.
    """
    data = unescaped(data)
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
    return any(True for _ in with_pan({"": text}))


def with_pan(texts: Mapping[str, str]) -> Iterator[str]:
    """Which of some texts hold a card number or card track data: searched together, which costs less.

    Args:
        texts: any texts, by name.

    Yields:
        The names of those that must be refused.
    """
    names = [name for name, text in texts.items() if _may_hold(text)]
    if names:
        joined = _EDGE.join([texts[name].replace(_EDGE, "'") for name in names])
        tight = tightened(f"{_EDGE}{_in_ascii(joined)}{_EDGE}".encode("ascii", "replace"))
        yield from (names[line] for line in _refused(tight))


def is_harmless_hash(member: str, value: object) -> bool:
    """Whether a value is a hash of 64 bits in decimal digits, where a hash is expected.

    One in thirty of them reads as a card number of 19 digits; the few networks that issue so long ones are the price.

    Args:
        member: the name of the event's member.
        value: its value.
    """
    return member.endswith("_hash") and isinstance(value, str) and _DECIMAL_HASH.fullmatch(value) is not None


def _may_hold(text: str) -> bool:
    return not text.isascii() or (len(text) >= SHORTEST and may_contain_pan(text.encode()))


def _in_ascii(text: str) -> str:
    """A text with all characters read as the ASCII that they stand for, or as others that stand for nothing."""
    if text.isascii():
        return text
    spellings, other = _spellings()
    foreign = {*"".join(_FOREIGN.findall(text))}
    if len(foreign) > _FEW:
        return other.sub("~", text).translate(spellings)
    for character in foreign:
        text = text.replace(character, spellings.get(ord(character), "~"))
    return text


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
    normal = unicodedata.normalize("NFKC", character).replace(_EDGE, "'")
    return _LOOKALIKES.get(character, normal if normal.isascii() else None)


def _refused(tight: bytes) -> Iterator[int]:
    """Which of the texts between edges are refused, by their place.

    Where too many numbers are written as card numbers are, the texts they stand in are refused for that: the work that
    they make must not grow faster than the texts. None that are meant well hold so many.
    """
    most = _SOME + len(tight) // _APART
    found = [*islice(_written(tight), most + 1)]
    hits = [found[index] for index in passing_luhn([*map(_digits, found)]) if is_issued(found[index][0])]
    tracked = b"%" in tight or b";" in tight
    on_tracks = [match.start() for match in _TRACK_WITH_SENTINEL.finditer(tight)] if tracked else []
    if not (hits or on_tracks or len(found) > most):
        return
    edges = [match.start() for match in _EDGES.finditer(tight)]
    refused = {bisect(edges, start) - 1 for start in on_tracks}
    if len(found) > most:
        refused |= _crowded(edges, found)
    yield from refused
    yield from _with_cards(tight, edges, hits, refused)


def _crowded(edges: list[int], found: list[Number]) -> set[int]:
    """The texts that hold too many numbers each by itself; the one with most, where all only do together."""
    held = Counter(map(bisect, repeat(edges), map(_start, found)))
    alone = {line - 1 for line, many in held.items() if many > _SOME + (edges[line] - edges[line - 1]) // _APART}
    return alone or {held.most_common(1)[0][0] - 1}


def _with_cards(tight: bytes, edges: list[int], hits: list[Number], known: set[int]) -> Iterator[int]:
    """The texts with numbers that are no part of a UUID or of an international bank account number."""
    bare: dict[int, bytes] = {}
    for _, start, end in hits:
        line = bisect(edges, start) - 1
        if line in known:
            continue
        if line not in bare:
            bare[line] = _IBAN.sub(_unless_iban, _UUID.sub(_blank, tight[edges[line] : edges[line + 1] + 1]))
        if bare[line].startswith(tight[start:end], start - edges[line]):
            known.add(line)
            yield line


def _written(tight: bytes) -> Iterator[Number]:
    """What is written as a card number may be: as people do, or as on a track of a card, or in its chip."""
    yield from numbers(tight)
    if b"D" in tight or b"d" in tight:
        for match in _TRACK_2.finditer(tight):
            yield match[0], *match.span()
    if b"5A" in tight or b"5a" in tight or b"57" in tight:
        for match in _EMV.finditer(tight):
            yield match[match.lastindex or 0], *match.span()
    if b"^" in tight:
        for match in _TRACK_1.finditer(tight):
            yield match[1].replace(b" ", b""), *match.span()


def _blank(match: re.Match[bytes]) -> bytes:
    return b"x" * len(match[0])


def _unless_iban(match: re.Match[bytes]) -> bytes:
    """Nothing in place of an international bank account number, which has a check of its own (ISO 13616)."""
    text = match[0].replace(b" ", b"").decode()
    return _blank(match) if int((text[4:] + text[:4]).translate(_IBAN_DIGITS)) % 97 == 1 else match[0]
