"""The events of a JSON array, still encoded, so that each can be judged by itself."""

import json
import re
from collections.abc import Iterator
from itertools import islice

import msgspec

_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode  # numbers may be of any length
_OPENING = re.compile(r"[ \t\r\n]*(\[)[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n]*([,\]])[ \t\r\n]*")


def items_of_array(body: bytes, most: int) -> list[bytes]:
    """The items of a JSON array, as they are written in it.

    Args:
        body: the array, without a byte order mark.
        most: how many items are wanted at most; what follows them may go unread.

    Returns:
        The items. An item may be anything that ends where JSON ends, such as text with half a surrogate pair.

    Raises:
        ValueError: it is no array, or one whose items cannot be told apart.
    """
    try:
        return [bytes(item) for item in _items(body)[:most]]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return [*islice(_one_by_one(body), most)]
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _one_by_one(body: bytes) -> Iterator[bytes]:
    """The items of an array in which something is wrong: half a surrogate pair spoils one item, not the rest."""
    text = body.decode(errors="surrogateescape")
    found = _OPENING.match(text)
    while found is not None and found[1] != "]":
        start = found.end()
        _, end = _value(text, start)
        yield text[start:end].encode(errors="surrogateescape")
        found = _BETWEEN.match(text, end)
    if found is None or found.end() < len(text):
        raise ValueError("no JSON array")
