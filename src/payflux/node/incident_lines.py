"""Where incident lines go: a file of their own, or stdout, where they stand between the lines of events."""

import threading

from payflux.exporters import Exporter
from payflux.exporters.file import EXPORT_FILE, FileExporter
from payflux.exporters.stdout import StdoutExporter
from payflux.settings import Values, optional

INCIDENTS = "incidents"
"""The name of the destination in metrics and in `/export/health`."""

INCIDENT_FILE = optional(
    "PAYFLUX_INCIDENT_FILE",
    str,
    "Where lines about incidents go as they open, worsen and end: the path of a file, or - for stdout.",
)


def check_incident_file(values: Values) -> list[str]:
    """The rule that incidents have a file of their own."""
    path = values[INCIDENT_FILE]
    if path is not None and path == values[EXPORT_FILE]:
        return [f"PAYFLUX_INCIDENT_FILE={path!r}: expected another file than PAYFLUX_EXPORT_FILE"]
    return []


def incident_lines(values: Values, stdout: int, turns: threading.Lock, *, torn: bool) -> Exporter:
    """What writes incident lines, where somebody asked for them.

    Args:
        values: the settings of the node.
        stdout: descriptor of the node's stdout.
        turns: held while somebody writes there.
        torn: a former process of this node died while it wrote to the file.
    """
    path = values[INCIDENT_FILE] or "-"
    return TakingTurns(StdoutExporter(stdout), turns) if path == "-" else FileExporter(path, torn=torn)


class TakingTurns:
    """An exporter that shares its destination with another one: whoever writes there writes whole lines.

    Args:
        exporter: the one.
        turns: held while it writes.
    """

    def __init__(self, exporter: Exporter, turns: threading.Lock) -> None:
        self._exporter, self._turns = exporter, turns

    def write(self, data: bytes) -> None:
        """Write whole lines; see Exporter."""
        with self._turns:
            self._exporter.write(data)

    def sync(self) -> None:
        """Make durable what was written; see Exporter."""
        self._exporter.sync()

    def reopen(self) -> bool:
        """Close and open again; see Exporter."""
        return self._exporter.reopen()

    def close(self) -> None:
        """The node ends; see Exporter."""
        self._exporter.close()
