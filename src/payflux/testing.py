"""For tests of what is built on PayFlux: a stream in memory, an exporter that remembers, events that are valid."""

from payflux.event.example import make_event
from payflux.exporters.capturing import CapturingExporter
from payflux.stream.memory import MemoryStream

__all__ = ["CapturingExporter", "MemoryStream", "make_event"]
