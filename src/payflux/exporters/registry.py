"""Which exporters there are, and which of them a node uses."""

from collections.abc import Iterator
from typing import Any

from payflux.exporters import Destination
from payflux.settings import Setting, Values, choice, imported

EXPORTERS = {
    "stdout": "payflux.exporters.stdout:DESTINATION",
    "file": "payflux.exporters.file:DESTINATION",
}
"""The `Destination` of every exporter PayFlux brings, by the name it has in settings, metrics and answers."""

MODES = {name: (name,) for name in EXPORTERS} | {"both": ("stdout", "file"), "none": ()}
"""What each word of PAYFLUX_EXPORT_MODE uses; beside them it takes the `module:Class` of an exporter of one's own."""


def destination(name: str) -> Destination:
    """Find a destination; its module is imported when it is asked for.

    Args:
        name: one of `EXPORTERS`, or any `module:Name` of a `Destination` or of a class that is made of an `Opening`.

    Raises:
        ValueError: there is none of that name, or it cannot be imported; the text completes "expected …".
    """
    target = EXPORTERS.get(name, name)
    if ":" not in target:
        raise ValueError(f"one of {', '.join(MODES)}, or module:Class")
    found = imported(target, "a class")
    if isinstance(found, Destination):
        return found
    if not callable(found):
        raise ValueError(f"the class of an exporter; {name} is none")  # noqa: TRY004 - a setting is wrong, not a call
    return Destination(found, "an exporter of your own")


def _mode(text: str) -> tuple[str, ...]:
    if text in MODES:
        return MODES[text]
    destination(text)
    return (text,)


EXPORT_MODE = Setting(
    "PAYFLUX_EXPORT_MODE",
    _mode,
    "stdout",
    f"Where event lines go: {', '.join(EXPORTERS)}, both (stdout and file), none, or module:Class of an exporter of "
    "your own.",
)
EXPORT_ACK = Setting(
    "PAYFLUX_EXPORT_ACK",
    choice("ack_then_export", "export_then_ack"),
    "ack_then_export",
    "Whether an event is acked before it is exported, or only when it is safe in the file (written and fsynced).",
)


def settings() -> tuple[Setting[Any], ...]:
    """Those of every exporter PayFlux brings."""
    return tuple(setting for name in EXPORTERS for setting in destination(name).settings)


def used(values: Values) -> dict[str, Destination]:
    """The destinations of a node, by name."""
    return {name: destination(name) for name in values[EXPORT_MODE]}


def check_export(values: Values) -> Iterator[str]:
    """What is wrong with the export: a line for each problem."""
    mode, found = values.text(EXPORT_MODE), used(values)
    for kind in found.values():
        yield from (f"{problem}, as PAYFLUX_EXPORT_MODE is {mode}" for problem in kind.refuse(values))
    if values[EXPORT_ACK] == "export_then_ack" and [kind.confirms for kind in found.values()] != [True]:
        able = " or ".join(name for name in EXPORTERS if destination(name).confirms)
        yield f"PAYFLUX_EXPORT_ACK='export_then_ack': expected PAYFLUX_EXPORT_MODE={able}, as {mode} can't confirm"
