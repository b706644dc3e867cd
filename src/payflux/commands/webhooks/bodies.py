"""Files of what processors told, as people have them: bodies of webhooks as JSON, or a report as CSV."""

import csv
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from payflux.terminal.event_files import EventFile
from payflux.terminal.event_items import Place, events_of

_TOO_LONG = "longer than 1 MiB, which no webhook is"
_DELIMITERS = ",;\t"


class Body(NamedTuple):
    """What a line or an item of a file holds.

    Attributes:
        number: its place, from 1.
        data: JSON; of a line of a report, an object of its texts by column.
        wrong: why it holds none; empty when it does.
    """

    number: int
    data: bytes
    wrong: str = ""


def bodies_of(file: EventFile, columns: Sequence[str]) -> tuple[Place, Iterator[Body]]:
    """The bodies in an opened file, in order; they are read when they are asked for.

    Args:
        file: just opened.
        columns: those that a report has at least; none: the file can only be JSON.

    Returns:
        What their numbers count, and the bodies.

    Raises:
        OSError: it cannot be read, now or later.
        ValueError: it is neither; the text completes "expected …" or says what was expected.
    """
    if columns and file.begins() not in b"{[":
        return "line", _rows(file, columns)
    place, events = events_of(file)
    return place, (Body(one.number, one.data or b"", "" if one.data is not None else _TOO_LONG) for one in events)


class _Texts(Iterator[str]):
    """The lines of a file as text; knows the number of the last one, as a cell may go over several."""

    def __init__(self, file: EventFile) -> None:
        self._lines = file.lines()
        self.number = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.number = line.number
        return (line.data or b"").decode(errors="replace") + "\n"


def _rows(file: EventFile, columns: Sequence[str]) -> Iterator[Body]:
    texts = _Texts(file)
    first = next(texts)
    delimiter = max(_DELIMITERS, key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    missing = [name for name in columns if name not in names]
    if missing:
        raise ValueError(f"expected JSON, or a report as CSV whose first line names {', '.join(columns)}")
    rows = csv.reader(texts, delimiter=delimiter)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Body(texts.number, b"", f"not valid CSV ({error})")
            continue
        wrong = "" if len(cells) == len(names) else f"{len(cells)} cells, where the first line names {len(names)}"
        yield Body(texts.number, msgspec.json.encode(dict(zip(names, cells, strict=False))), wrong)
