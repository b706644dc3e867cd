"""`payflux config`: every setting, what it is and where it comes from."""

import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from payflux.commands.serve import refuse
from payflux.errors import SettingsError
from payflux.node import SETTINGS, load_settings


def config(*, json: Annotated[bool, Parameter(help="One JSON object instead of a table.")] = False) -> int:
    """Show every setting as `payflux serve` would read it, secrets masked.

    Examples:
        payflux config
        payflux config --json | jq .PAYFLUX_STREAM_MAXLEN.value

    Exit codes: 0 it is a valid configuration, 2 it is not, and stderr says why.
    """
    try:
        values = load_settings()
    except SettingsError as error:
        return refuse(error)
    rows = [(s.name, values.text(s), "environment" if values.is_set(s) else "default", s.help) for s in SETTINGS]
    if json:
        shown = {name: {"value": value, "source": source, "help": text} for name, value, source, text in rows}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")
        return 0
    table = Table("variable", "value", "from", "meaning")
    for name, value, source, text in rows:
        table.add_row(name, value if value is not None else "-", source, text)
    Console().print(table)
    return 0
