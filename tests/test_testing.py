"""What is shipped for applications' tests beside the stream: valid events, and an exporter that remembers."""

import msgspec
import pytest

from payflux.errors import ExportFailed
from payflux.event.decode import EVENT_FIELDS, decode_event
from payflux.exporters import Exporter
from payflux.testing import CapturingExporter, make_event


def test_made_events_are_valid_and_different() -> None:
    """All fifteen members, those given in place of the others, and more."""
    one, two = make_event(), make_event(processor="adyen", latency_ms=5)
    assert tuple(one) == EVENT_FIELDS
    assert one["event_id"] != two["event_id"]
    assert decode_event(msgspec.json.encode(two)).processor == "adyen"
    assert two["latency_ms"] == 5


def test_the_exporter_keeps_whole_lines() -> None:
    """It takes batches as any exporter, fails once when told to, and refuses half lines."""
    exporter = CapturingExporter()
    as_any: Exporter = exporter
    as_any.write(b"one\ntwo\n")
    exporter.failure = ExportFailed("disk_full", "for the test")
    with pytest.raises(ExportFailed, match="for the test"):
        as_any.write(b"lost\n")
    with pytest.raises(ExportFailed, match="whole lines"):
        as_any.write(b"half")
    as_any.write(b"three\n")
    as_any.reopen()
    as_any.close()
    assert (exporter.lines, exporter.reopened, exporter.closed) == ([b"one", b"two", b"three"], 1, True)
