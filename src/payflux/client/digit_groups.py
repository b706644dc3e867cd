"""Where in a text a card number may be written: in one piece, or in groups with separators between them.

Everything that grows with the length of a text is left to `re` and `bytes`: patterns begin with the character they
look for, look at none often, and leave out what belongs to a hash or to a number with a decimal point. What is done
here for each number is little.
"""

import re
from collections.abc import Iterator

from payflux.client.card_ranges import LONGEST, SHORTEST, is_issued, may_be_issued

SEPARATORS = b" -./_,:+|=&()[]{}<>"
_JOINING = SEPARATORS[: SEPARATORS.index(b"(")]
_BRACKETS = bytes.maketrans(b"()[]{}<>", b"        ")
_ESCAPED = (b"%20", b"%2D", b"%2d")

_WORD_AFTER = rb"(?![A-Fa-f]++(?![G-Zg-z])|[A-Za-z]++[0-9])"
"""Letters that follow are a word, up to the end of their token and with one that is no hexadecimal digit."""
_ONE_PIECE = rb"[0-9]{%d,}+%s" % (SHORTEST - 1, _WORD_AFTER)
_FLOAT_AFTER = rb"(?!\.(?!0+(?![0-9]))[0-9]{1,5}+(?![0-9])(?<![0-9.]{19}))"
"""It is not the whole part of a float of 64 bits, which has 17 digits and a point at most."""
_ALONE = re.compile(
    rb"[0-9](?<![0-9].)(?=[0-9]{%d})(?<![0-9]\..)(?<![^0-9][0-9],.)(?:(?<=[.,].)%b|(?<![.,].)%b%b)"
    % (SHORTEST - 1, _ONE_PIECE, _ONE_PIECE, _FLOAT_AFTER)
)
"""What follows a point or a comma is no whole part, whatever follows it."""
_AFTER_POINT = re.compile(rb"[.,](?<=[0-9].)[0-9]" + _ONE_PIECE + rb"(?<=[0-9.,]{19})(?<![^0-9]0[.,].{17})")
"""Digits after a point too many for a float, perhaps."""
_S = r"[ \-./_,:+|=&]"
_JOINED = re.compile(f"[0-9]{_S}".encode())
_END = rf"(?![0-9]){_WORD_AFTER.decode()}"
_PRINTED = re.compile(
    rf"[^0-9](?=4|6|5[0-8]|2[1-7]|3[04-9]|8[126]|9[78])(?:(?<![0-9]\.)|(?<=[0-9]{{14}}\.))(?<![^0-9][0-9],)[0-9]{{4}}"
    rf"(?=({_S}(?:[0-9]{{6}}{_S}[0-9]{{4,5}}|[0-9]{{5}}{_S}[0-9]{{6}}"
    rf"|[0-9]{{4}}{_S}[0-9]{{4}}{_S}[0-9]{{1,4}}){_END})({_S}[0-9]{{1,3}}{_END})?)".encode()
)


def _row(joint: bytes, groups_after: int) -> re.Pattern[bytes]:
    return re.compile(
        rb"%b(?<=[0-9].)(?=(?:%b*+[0-9]++){%d})(?>[0-9%b]*[0-9])(?<=[0-9%b]{%d})"
        % (joint, joint, groups_after, joint, joint, SHORTEST + 2)
    )


_JOINTS = [bytes([one]) for one in _JOINING]
_ROWS = [(joint, _row(re.escape(joint), 1 + (joint in b".,"))) for joint in _JOINTS]
"""Groups joined alike, from the first separator on: so each looks at its own separators alone. Two groups joined by a
point are a number with a fraction, and none of these."""
_EDGES = bytes(0x30 if byte in b"0123456789" else 0x2D for byte in range(256))
_SHAPE = bytes.maketrans(b"123456789" + _JOINING, b"000000000" + b"-" * len(_JOINING))
_PIECE, _ROW = b"0" * SHORTEST, b"0" * (SHORTEST + 1)
_PRINTED_A, _PRINTED_B, _PRINTED_C = b"0000-0000-0000-0", b"0000-000000-0000", b"0000-00000-000000"
_DIGITS = b"0123456789"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEX_LETTERS = b"ABCDEFabcdef"
_ZERO, _ONE, _A = 0x30, 0x31, 0x41
_NEAR = 40
"""So many characters before a number tell what it belongs to: a longer word is a word."""
_FLOAT_DIGITS = 17
"""A binary float of 64 bits is never written with more digits, leading zeros aside."""
_WITH_LENGTH = {b"%d" % length: length + 2 for length in range(SHORTEST, LONGEST + 1) if length != 17}
"""How long a number is with its length before it (LLVAR). Timestamps in nanoseconds begin with 17 until 2027."""

Number = tuple[bytes, int, int]
"""The digits of what is written as a card number may be, and where it starts and ends."""


def numbers(text: bytes) -> Iterator[Number]:
    """Everything written as a card number may be, once for each way in which its digits may be meant.

    Args:
        text: ASCII, tightened; its first and last characters are no digits, letters or separators.
    """
    shape = text.translate(_SHAPE)
    if _PIECE in shape:
        yield from _in_one_piece(text)
    if not _JOINED.search(text):
        return
    if _PRINTED_A in shape or _PRINTED_B in shape or _PRINTED_C in shape:
        yield from _as_printed(text)
    for joint, row in _ROWS:
        if joint in text and _ROW in text.translate(_SHAPE, joint):
            yield from (number for number in _in_rows(text, joint, row) if may_be_issued(number[0]))


def unescaped(text: bytes) -> bytes:
    """A text with blanks for the separators that are written as in an address on the web."""
    if b"%2" in text:
        for escaped in _ESCAPED:
            text = text.replace(escaped, b" ")
    return text


def tightened(text: bytes) -> bytes:
    """A text whose separators are one character each.

    Args:
        text: ASCII.
    """
    text = unescaped(text).translate(_BRACKETS)
    if b" " not in text:
        return text
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    for joint in _JOINTS[1:]:
        if joint in text:
            text = text.replace(b" " + joint, joint).replace(joint + b" ", joint)
    return text


def _in_one_piece(text: bytes) -> Iterator[Number]:
    for match in _ALONE.finditer(text):
        start, end = match.span()
        if text[start - 1] < _A or _may_begin(text, start):
            yield from _issued(match[0], start, end)
    if b"." in text or b"," in text:
        for match in _AFTER_POINT.finditer(text):
            start, end = match.start() + 1, match.end()
            if not _is_fraction(text, start, match[0][1:]):
                yield from _issued(match[0][1:], start, end)


def _issued(group: bytes, start: int, end: int) -> Iterator[Number]:
    """A group without the zeros that pad it or the length before it, where an issuer may have given it."""
    if group[0] == _ZERO:
        group = group.lstrip(b"0")
    if is_issued(group):
        yield group, start, end
    if _WITH_LENGTH.get(group[:2]) == len(group):
        yield group[2:], start, end


def _may_begin(text: bytes, start: int) -> bool:
    """Whether what stands before a number is no part of a hash: no letters, or a word."""
    if text[start - 1] not in _LETTERS:
        return True
    before = text[max(0, start - _NEAR) : start]
    beyond = before.rstrip(_LETTERS)
    return not beyond[-1:].isdigit() and before[len(beyond) :].translate(None, _HEX_LETTERS) != b""


def _as_printed(text: bytes) -> Iterator[Number]:
    """Groups as they stand on cards, whatever joins them, and with the short group after them."""
    for match in _PRINTED.finditer(text):
        start = match.start() + 1
        if text[start - 1] < _A or _may_begin(text, start):
            end, longer = match.end(1), match.end(2)
            yield text[start:end].translate(None, _JOINING), start, end
            if longer > 0:
                yield text[start:longer].translate(None, _JOINING), start, longer


def _in_rows(text: bytes, joint: bytes, row: re.Pattern[bytes]) -> Iterator[Number]:
    """Groups of any sizes, joined alike: all of them, or all but the first or the last.

    Two groups joined by a point are another number, and two that begin with 1 the id of an entry.
    """
    edges = text.translate(_EDGES)
    two_may_be_one = joint not in b".,"
    for match in row.finditer(text):
        at, end = match.span()
        start = edges.rfind(b"-", 0, at) + 1
        digits = text[start:end].replace(joint, b"")
        count = len(digits)
        joints = end - start - count
        if SHORTEST < count <= LONGEST and (joints > 1 or (two_may_be_one and digits[0] != _ONE)):
            yield digits, start, end
        if joints == 1:
            continue
        first = at - start
        if SHORTEST < count - first <= LONGEST and (joints > 2 or (two_may_be_one and digits[first] != _ONE)):
            yield digits[first:], at, end
        last = end - edges.rfind(b"-", 0, end) - 1
        if SHORTEST < count - last <= LONGEST and (joints > 2 or (two_may_be_one and digits[0] != _ONE)):
            yield digits[:-last], start, end - last


def _is_fraction(text: bytes, start: int, group: bytes) -> bool:
    """Whether a group that follows digits and a point is part of a number with a decimal point."""
    before = text[max(0, start - _NEAR) : start - 1]
    whole = before[len(before.rstrip(_DIGITS)) :]
    if text[start - 1 : start] == b"," and len(whole) > 1:
        return False
    whole = whole.lstrip(b"0")
    return len(whole or group.lstrip(b"0")) + bool(whole) * len(group) <= _FLOAT_DIGITS
