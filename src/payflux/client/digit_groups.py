"""Where in a text a card number may be written: in one piece, or in groups with separators between them.

Everything that grows with the length of a text is left to `re` and `bytes`, by patterns that begin with the digit they
look for and look at no character often. What is done here for each number is little.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from payflux.client.card_ranges import LONGEST, SHORTEST

SEPARATORS = b" -./_,:+|=&()[]{}<>"
_JOINING = SEPARATORS[: SEPARATORS.index(b"(")]
_BRACKETS = bytes.maketrans(b"()[]{}<>", b"        ")
_BLANKS = re.compile(b"  +")
_BLANK = re.compile(rb" (?:(?=[-./_,:+|=&])|(?<=[-./_,:+|=&] ))")
_ESCAPED = re.compile(b"%2[0Dd]")
_S = r"[ \-./_,:+|=&]"
_ALONE = re.compile(rb"[0-9]{%d,}+" % SHORTEST)
_PRINTED = re.compile(
    rf"(?=4|6|5[0-8]|2[1-7]|3[04-9]|8[126]|9[78])[0-9]{{4}}(?<![0-9].{{4}})"
    rf"(?=({_S}(?:[0-9]{{6}}{_S}[0-9]{{4,5}}|[0-9]{{5}}{_S}[0-9]{{6}}"
    rf"|[0-9]{{4}}{_S}[0-9]{{4}}{_S}[0-9]{{1,4}})(?![0-9]))({_S}[0-9]{{1,3}}(?![0-9]))?)".encode()
)
_ROWS = {
    one: re.compile(
        rb"[0-9](?<![0-9].)(?=(?:[0-9]{0,40}+%(joint)b++){%(joints)d}[0-9])[0-9%(joint)b]{%(rest)d,}+"
        % {b"joint": re.escape(bytes([one])), b"joints": 1 + (one in b".,"), b"rest": SHORTEST}
    )
    for one in _JOINING
}
"""Groups joined alike. Two groups joined by a point are a number with a fraction, and none of these."""
_SHAPE = bytes.maketrans(b"123456789" + _JOINING, b"000000000" + b"-" * len(_JOINING))
_PIECE, _ROW = b"0" * SHORTEST, b"0" * (SHORTEST + 1)
_PRINTED_SHAPES = (b"0000-0000-0000-0", b"0000-000000-0000", b"0000-00000-000000")
_DIGITS = b"0123456789"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NO_HEX = re.compile(b"[G-Zg-z]")
_NEAR = 40
"""So many characters beside a number tell what it belongs to: a longer word is a word."""
_FRACTION_AFTER = re.compile(rb"\.([0-9]+)")
_FLOAT_DIGITS = 17
"""A binary float of 64 bits is never written with more digits, leading zeros aside."""
_TIMESTAMP = 17
"""Timestamps in nanoseconds begin with this until the year 2027, and go on for as many digits."""


class Number(NamedTuple):
    """What is written as a card number may be.

    Attributes:
        digits: its digits.
        start: where it starts in the text, or -1 when what stands beside it does not matter.
        end: where it ends.
        first: where its first group ends.
    """

    digits: bytes
    start: int = -1
    end: int = -1
    first: int = -1


def numbers(text: bytes) -> Iterator[Number]:
    """Everything written as a card number may be, once for each way in which its digits may be meant.

    Args:
        text: ASCII, tightened.
    """
    shape = text.translate(_SHAPE)
    if _PIECE in shape:
        yield from _in_one_piece(text)
    if any(map(shape.__contains__, _PRINTED_SHAPES)):
        yield from _as_printed(text)
    for separator in _JOINING:
        joint = bytes([separator])
        if joint in text and _ROW in text.translate(_SHAPE, joint):
            for written in _ROWS[separator].findall(text):
                yield from map(Number, _in_row(written.rstrip(joint), joint))


def tightened(text: bytes) -> bytes:
    """A text whose separators are one character each.

    Args:
        text: ASCII.
    """
    if b"%2" in text:
        text = _ESCAPED.sub(b" ", text)
    text = text.translate(_BRACKETS)
    if b"  " in text:
        text = _BLANKS.sub(b" ", text)
    return _BLANK.sub(b"", text)


def stands_alone(text: bytes, number: Number) -> bool:
    """Whether a number is no part of something else: of a hash, or of a number with a decimal point.

    Letters that touch it are no hash's when they are a word: that goes on to the edge of its token, and holds a letter
    that is no hexadecimal digit.

    Args:
        text: what it was found in.
        number: one of `numbers`.
    """
    _, start, end, first = number
    if start < 0:
        return True
    before, after = text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
    if before and before[-1] in _LETTERS:
        beyond = before.rstrip(_LETTERS)
        if beyond[-1:].isdigit() or not _NO_HEX.search(before, len(beyond)):
            return False
    if after and after[0] in _LETTERS:
        beyond = after.lstrip(_LETTERS)
        if beyond[:1].isdigit() or not _NO_HEX.search(after, 0, len(after) - len(beyond)):
            return False
    return not _is_fraction(before, text[start:first], text[first : first + _NEAR])


def _in_one_piece(text: bytes) -> Iterator[Number]:
    """Groups alone: as they are, without what pads them with zeros, or without the length before them (LLVAR)."""
    for match in _ALONE.finditer(text):
        group, start, end = match[0], match.start(), match.end()
        if len(group) <= LONGEST:
            yield Number(group, start, end, end)
        bare = group.lstrip(b"0")
        if SHORTEST <= len(bare) <= LONGEST and bare != group:
            yield Number(bare, start, end, end)
        if int(group[:2]) == len(group) - 2 != _TIMESTAMP:
            yield Number(group[2:], start, end, end)


def _as_printed(text: bytes) -> Iterator[Number]:
    """Groups as they stand on cards, whatever joins them, and with the short group after them."""
    for match in _PRINTED.finditer(text):
        for end in {match.end(1), match.end(2)} - {-1}:
            digits = text[match.start() : end].translate(None, _JOINING)
            yield Number(digits, match.start(), end, match.end())


def _in_row(row: bytes, joint: bytes) -> Iterator[bytes]:
    """The digits of groups of any sizes, joined alike: of all of them, or all but the first or the last."""
    if len(row) - row.count(joint) <= SHORTEST:
        return
    for some in (row, row.partition(joint)[2], row.rpartition(joint)[0]):
        digits = some.replace(joint, b"")
        joints = len(some) - len(digits)
        # Two groups joined by a point are a number, and two that begin with 1 the id of an entry.
        is_one = joints > 1 or (joints == 1 and joint not in b".," and digits[:1] != b"1")
        if is_one and SHORTEST < len(digits) <= LONGEST:
            yield digits


def _is_fraction(before: bytes, group: bytes, after: bytes) -> bool:
    """Whether a group is part of a number with a decimal point."""
    if len(before) > 1 and before[-1] in b".,":
        whole = before[len(before[:-1].rstrip(_DIGITS)) : -1]
        return whole != b"" and (before[-1:] == b"." or len(whole) == 1) and _is_float(whole, group)
    found = _FRACTION_AFTER.match(after) if len(group) >= SHORTEST else None
    return found is not None and found[1].strip(b"0") != b"" and _is_float(group, found[1])


def _is_float(whole: bytes, fraction: bytes) -> bool:
    whole = whole.lstrip(b"0")
    return len(whole or fraction.lstrip(b"0")) + bool(whole) * len(fraction) <= _FLOAT_DIGITS
