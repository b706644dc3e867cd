"""What commands write: results to stdout, all of them and at once, and words to whoever reads stderr."""

import re
import sys
from collections.abc import Sequence
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from payflux.log import Say, log

_STEERING = re.compile("[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""C1 controls, changes of direction and what is not seen."""


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


def emit_rows(headings: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> None:
    """Write a list: a table on a terminal, to anything else a line a row, with tabs between.

    Args:
        headings: of the columns.
        rows: texts that a terminal may see.
        none: what a terminal is told when there are no rows.
    """
    if not sys.stdout.isatty():
        emit("".join("\t".join(row) + "\n" for row in rows).encode())
        return
    console = Console(highlight=False)
    if not rows:
        console.print(none)
        return
    table = Table(*headings)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


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
