"""`payflux config`: every setting, what it is and where it comes from."""

import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from payflux.errors import SettingsError
from payflux.node.settings import SETTINGS, load_settings
from payflux.terminal.ending import refuse
from payflux.terminal.output import emit, emit_json

Row = tuple[str, str | None, str, str]
"""Variable, value, source and meaning."""
TITLES = {"left at their defaults": {"default"}, "set": {"environment", "file"}}
"""What a terminal is shown, by source, in this order."""


def config(*, json: Annotated[bool, Parameter(help="One JSON object instead of a table.")] = False) -> int:
    """Show every setting as `payflux serve` would read it, secrets masked.

    On a terminal what is set comes last, where it is seen; in a pipe there is one line for each setting: variable,
    value and source, separated by tabs. Set a variable in the environment to change it; docs/configuration.md describes
    each.

    For example:

        payflux config
        payflux config --json | jq .PAYFLUX_STREAM_MAXLEN.value

    Exit codes: 0 it is a valid configuration, 2 it is not, and stderr says why.
    """
    try:
        values = load_settings(serves=False)
    except SettingsError as error:
        return refuse(error)
    rows = [(s.name, values.text(s), values.source(s), s.help) for s in SETTINGS]
    if json:
        shown = {name: {"value": value, "source": source, "help": text} for name, value, source, text in rows}
        emit_json(shown)
    elif sys.stdout.isatty():
        _show(rows)
    else:
        emit("".join(f"{name}\t{value or ''}\t{source}\n" for name, value, source, _ in rows).encode())
    return 0


def _show(rows: Sequence[Row]) -> None:
    """Each variable with its value on one line, and what it means below it."""
    console = Console(highlight=False)
    wide = max(len(name) for name, *_ in rows)
    for title, sources in TITLES.items():
        chosen = [row for row in rows if row[2] in sources]
        if chosen:
            console.print(Text(title, "bold"))
        for name, value, source, meaning in chosen:
            told = Text.assemble(f"{name:{wide}}  ", "-" if value is None else value)
            told.append(f" (from a {source})" if source == "file" else "", "dim")
            console.print(told, soft_wrap=True)
            console.print(Padding(Text(meaning, "dim"), (0, 0, 0, 4)))
