"""`payflux config`: every setting, what it is and where it comes from."""

import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from payflux.errors import SettingsError
from payflux.node.settings import SETTINGS, load_settings
from payflux.terminal.ending import refuse


def config(*, json: Annotated[bool, Parameter(help="One JSON object instead of a table.")] = False) -> int:
    """Show every setting as `payflux serve` would read it, secrets masked.

    A table on a terminal; in a pipe one line for each setting: variable, value and source, separated by tabs. Set a
    variable in the environment to change it; docs/configuration.md describes each.

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
    console = Console()
    if json:
        shown = {name: {"value": value, "source": source, "help": text} for name, value, source, text in rows}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")
        return 0
    if not console.is_terminal:
        sys.stdout.write("".join(f"{name}\t{value or ''}\t{source}\n" for name, value, source, _ in rows))
        return 0
    table = Table(Column("variable", no_wrap=True), Column("value", overflow="fold"), "from", "meaning")
    for name, value, source, text in rows:
        table.add_row(name, Text(value if value is not None else "-"), source, text)
    console.print(table)
    return 0
