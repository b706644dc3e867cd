"""What commands write: results to stdout, all of them and at once, and words to whoever reads stderr."""

import re
import select
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Literal

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from payflux.log import Say, log

_STEERING = re.compile("[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""C1 controls, changes of direction and what is not seen."""
GAP, INDENT = "  ", "    "


def emit(data: bytes) -> None:
    """Write to stdout, all of it and at once; Python's own writer may take less and say nothing."""
    rest = memoryview(data)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def emit_json(value: object) -> None:
    """Write one JSON value to stdout, to be read by people too: nothing in it steers a terminal."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    emit(_STEERING.sub(_escaped, text).encode() + b"\n")


def _escaped(match: re.Match[str]) -> str:
    """A character as JSON escapes it; of C0 the encoder leaves none, and none of these is outside the BMP."""
    return f"\\u{ord(match[0]):04x}"


def reader_gone() -> bool:
    """Whether stdout is a pipe that nobody will read from; a write would tell, but there may be nothing to write."""
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def emit_rows(headings: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> None:
    """Write a list: columns on a terminal, to anything else a line a row, with tabs between.

    Args:
        headings: of the columns, what matters most first.
        rows: texts that a terminal may see.
        none: what a terminal is told when there are no rows.
    """
    if not sys.stdout.isatty():
        emit_tabbed(rows)
        return
    console = Console(highlight=False)
    for line in laid_out(headings, rows, console.width) if rows else [none]:
        console.print(line, soft_wrap=True)


def emit_tabbed(rows: Iterable[Sequence[str]]) -> None:
    """Write a list for programs: a line a row, with tabs between its texts."""
    emit("".join("\t".join(row) + "\n" for row in rows).encode())


def laid_out(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[Text]:
    """A list as lines of a terminal, nothing of it cut, since ids have to be copied whole.

    Columns stand side by side while there is room for the next one; the others stand below their row, each with its
    heading.

    Args:
        headings: of the columns, what matters most first.
        rows: their texts.
        width: of the terminal, in characters.
    """
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    ends = accumulate(wide + len(GAP) for wide in widths)
    beside = max(1, sum(end - len(GAP) <= width for end in ends))
    yield Text(_side_by_side(headings[:beside], widths), "bold")
    for row in rows:
        yield Text(_side_by_side(row[:beside], widths))
        below = zip(headings[beside:], row[beside:], strict=True)
        pieces = (Text.assemble((heading, "dim"), " ", text) for heading, text in below)
        yield from _packed(pieces, width)


def _side_by_side(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = (text + " " * (wide - cell_len(text)) for text, wide in zip(row, widths, strict=False))
    return GAP.join(padded).rstrip()


def _packed(pieces: Iterable[Text], width: int) -> Iterator[Text]:
    """Pieces on indented lines, as many on each as there is room for."""
    line = Text()
    for piece in pieces:
        if line and line.cell_len + len(GAP) + piece.cell_len > width:
            yield line
            line = Text()
        line = Text.assemble(line or INDENT, GAP if line else "", piece)
    if line:
        yield line


def narrator(terminal: Console | None = None) -> Say:
    """How to talk to whoever reads stderr: sentences to a terminal, JSON lines to a pipe.

    Args:
        terminal: the one to talk to, where something else is shown on it too.
    """
    if not sys.stderr.isatty():
        return log
    console = terminal or Console(stderr=True, highlight=False)

    def say(level: Literal["info", "warning", "error"], msg: str, **fields: object) -> None:
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items())
        style = {"info": "", "warning": "yellow", "error": "red"}[level]
        console.print(Text(f"{msg.replace('_', ' ')}: {facts}" if facts else msg.replace("_", " "), style))

    return say


def printable(text: str) -> str:
    """Text as a terminal may see it: anybody can write to a stream, and escape sequences steer terminals."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
