"""The events of a file, one after the other: any number of JSON lines, a JSON array, or one event on several lines."""

from collections.abc import Iterator
from itertools import chain
from typing import Literal

import msgspec

from payflux.event.items import items_of_array
from payflux.terminal.event_files import LINE_BYTES, EventFile, FileLine

ARRAY_BYTES = 67_108_864
"""The largest file that is one array: it is read as a whole."""

Place = Literal["line", "item"]
"""What the number of an event counts."""

_item = msgspec.json.Decoder(msgspec.Raw).decode


def events_of(file: EventFile) -> tuple[Place, Iterator[FileLine]]:
    """The events of an opened file, in order, each on one line.

    Lines are read when they are asked for, so a file may be of any length; only an array is read at once.

    Args:
        file: just opened.

    Returns:
        What an event's number counts; and the events, `data` None for one that no node takes, for its length.

    Raises:
        OSError: it cannot be read, now or later.
        ValueError: it holds no event at all, or an array that is no JSON or too large; later, that its compression is
            broken.
    """
    if file.begins() == b"[":
        items = _items(file.read(ARRAY_BYTES))
        if not items:
            raise ValueError("expected at least one event")
        return "item", iter(items)
    lines = file.lines()
    first = list(_opening(lines))
    if not first:
        raise ValueError("expected at least one event")
    if len(first) > 1 and (alone := _alone(b"\n".join(line.data or b"" for line in first))):
        return "item", iter([FileLine(1, alone)])
    return "line", chain(first, lines)


def _items(array: bytes) -> list[FileLine]:
    try:
        bodies = items_of_array(array, len(array))
    except ValueError as error:
        raise ValueError(f"expected a JSON array ({error})") from None
    # Line ends stand between members, never in a string.
    items = (body.replace(b"\n", b" ").replace(b"\r", b" ") for body in bodies)
    return [FileLine(number, body if len(body) <= LINE_BYTES else None) for number, body in enumerate(items, 1)]


def _opening(lines: Iterator[FileLine]) -> Iterator[FileLine]:
    """The lines that have to be seen to know whether the first one is an event by itself."""
    size = 0
    for line in lines:
        yield line
        size += len(line.data or b"")
        if line.data is None or size > LINE_BYTES or (size == len(line.data) and _alone(line.data)):
            break


def _alone(text: bytes) -> bytes:
    """The one JSON value that a text is, on one line; empty for any other text."""
    try:
        return msgspec.json.format(bytes(_item(text)), indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
