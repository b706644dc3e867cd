"""Where in a text a card number may be written: in one piece, or in groups with separators between them.

Everything that grows with the length of a text is left to `re` and `str`; what is done here for each candidate is done
for a few only (`MOST`), as a text that holds more of them is refused for that.
"""

import re
from collections.abc import Iterator

from payflux.event.card_ranges import LONGEST, SHORTEST

SEPARATORS = " -./_,:+|=&()[]{}<>"
MOST = 12
"""So many candidates are looked at. No event that is meant well holds more digits that begin as card numbers do."""

_BRACKETS = str.maketrans("()[]{}<>", "        ")
_LOOSE = re.compile(r" +([-./_,:+|=&])? *|([-./_,:+|=&]) +")
_LOOSE_ONE = re.compile(r"[-./_,:+|=&] | [-./_,:+|=&]")
_ESCAPED = re.compile(r"%2[0Dd]")
_S = r"[ \-./_,:+|=&]"
_BEGINS = r"(?<![0-9])(?=4|6|5[0-8]|2[1-7]|3[04-9]|8[126]|9[78]|1|0)"
_ALONE = re.compile(rf"{_BEGINS}[0-9]{{{SHORTEST},}}")
_PRINTED = re.compile(
    rf"{_BEGINS}(?=([0-9]{{4}}{_S}(?:[0-9]{{6}}{_S}[0-9]{{4,5}}|[0-9]{{5}}{_S}[0-9]{{6}}"
    rf"|[0-9]{{4}}{_S}[0-9]{{4}}{_S}[0-9]{{1,4}})(?![0-9]))({_S}[0-9]{{1,3}}(?![0-9]))?)"
)
_ALIKE = re.compile(rf"(?<![0-9])(?=[0-9]{_S}?[0-9])([0-9]+({_S})(?:[0-9]+\2)*)(?=([0-9]+))")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NO_HEX = re.compile("[G-Zg-z]")
_FRACTION_AFTER = re.compile(r"\.([0-9]+)")
_FLOAT_DIGITS = 17
"""A binary float of 64 bits is never written with more digits, leading zeros aside."""
_TIMESTAMP = 17
"""Timestamps in nanoseconds begin with this until the year 2027, and go on for as many digits."""


def candidates(text: str) -> Iterator[str]:
    """The digits of everything written as a card number may be.

    Args:
        text: ASCII.

    Yields:
        Sequences of 12 to 19 digits that begin as card numbers do.
    """
    text = _tightened(text)
    for match in _ALONE.finditer(text):
        if _stands_alone(text, *match.span()) and not _is_fraction(text, *match.span()):
            yield from _unpacked(match[0])
    for match in _PRINTED.finditer(text):
        start = match.start()
        for written in (match[1], match[1] + match[2]) if match[2] else (match[1],):
            if _stands_alone(text, start, start + len(written)) and not _is_fraction(text, start, start + 4):
                yield _digits(written)
    for leading, separator, last in _ALIKE.findall(text):
        if len(leading) + len(last) > SHORTEST:
            yield from _row([*leading.split(separator)[:-1], last], separator)


def _tightened(text: str) -> str:
    """A text whose separators are one character each."""
    if "%2" in text:
        text = _ESCAPED.sub(" ", text)
    text = text.translate(_BRACKETS)
    return _LOOSE.sub(_one_separator, text) if "  " in text or _LOOSE_ONE.search(text) else text


def _one_separator(match: re.Match[str]) -> str:
    return match[1] or match[2] or " "


def _digits(written: str) -> str:
    return "".join(filter(str.isdigit, written))


def _unpacked(group: str) -> Iterator[str]:
    """A group alone: as it is, without what pads it with zeros, or without the length before it (LLVAR)."""
    if len(group) <= LONGEST:
        yield group
    bare = group.lstrip("0")
    if len(bare) < len(group) and SHORTEST <= len(bare) <= LONGEST:
        yield bare
    if int(group[:2]) == len(group) - 2 != _TIMESTAMP:
        yield group[2:]


def _row(groups: list[str], separator: str) -> Iterator[str]:
    """Groups of any sizes, joined alike: all of them, or all but the first or the last."""
    for row in (groups, groups[1:], groups[:-1]):
        digits = "".join(row)
        # Two groups joined by a point are a number, and two that begin with 1 the id of an entry.
        if SHORTEST < len(digits) <= LONGEST and (len(row) > 2 or (separator not in ".," and digits[0] != "1")):
            yield digits


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no hash goes on beside digits: letters that touch them are a word.

    A word goes on to the edge of its token, and holds a letter that is no hexadecimal digit.
    """
    if start and text[start - 1] in _LETTERS:
        beyond = text[:start].rstrip(_LETTERS)
        if beyond[-1:].isdigit() or not _NO_HEX.search(text, len(beyond), start):
            return False
    if end < len(text) and text[end] in _LETTERS:
        beyond = text[end:].lstrip(_LETTERS)
        return not beyond[:1].isdigit() and _NO_HEX.search(text, end, len(text) - len(beyond)) is not None
    return True


def _is_fraction(text: str, start: int, end: int) -> bool:
    """Whether a group is part of a number with a decimal point."""
    if start > 1 and text[start - 1] in ".,":
        whole = text[: start - 1]
        whole = whole[len(whole.rstrip("0123456789")) :]
        return whole != "" and (text[start - 1] == "." or len(whole) == 1) and _is_float(whole, text[start:end])
    after = _FRACTION_AFTER.match(text, end) if end - start >= SHORTEST else None
    return after is not None and after[1].strip("0") != "" and _is_float(text[start:end], after[1])


def _is_float(whole: str, fraction: str) -> bool:
    whole = whole.lstrip("0")
    return len(whole or fraction.lstrip("0")) + bool(whole) * len(fraction) <= _FLOAT_DIGITS
