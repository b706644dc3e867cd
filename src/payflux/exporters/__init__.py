"""Exporters: what one is, and which ones there are.

A new one is one file and one line in `EXPORTERS`; `payflux.exporters.fanout` gives each a queue, a thread, metrics and
health.
"""

from importlib import import_module
from typing import Protocol, cast


class Exporter(Protocol):
    """One destination. Called from a thread of its own, so it may block; only its own thread calls it."""

    def write(self, data: bytes) -> None:
        """Write whole lines, all of them.

        Raises:
            ExportFailed: not all of it was taken; `written` says how many bytes were.
        """

    def sync(self) -> None:
        """Make durable what was written; raises ExportFailed when that is not certain."""

    def reopen(self) -> bool:
        """SIGHUP: close and open again; whether there was anything to reopen. Raises ExportFailed when that fails."""

    def close(self) -> None:
        """The node ends."""


class ExporterClass(Protocol):
    """What makes exporters."""

    def __call__(self, target: str, /) -> Exporter:
        """An exporter to a target: a file's path, or nothing where there is only one."""


EXPORTERS = {
    "stdout": "payflux.exporters.stdout:StdoutExporter",
    "file": "payflux.exporters.file:FileExporter",
}
"""Every exporter PayFlux brings, by destination, as `module:Class`; imported when used."""


def exporter_class(name: str) -> ExporterClass:
    """The class registered for a destination.

    Raises:
        KeyError: there is no such destination.
    """
    module, _, attribute = EXPORTERS[name].partition(":")
    return cast("ExporterClass", getattr(import_module(module), attribute))
