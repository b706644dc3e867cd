"""The exporter for tests."""

import pytest

from payflux.errors import ExportFailed
from payflux.exporters.capturing import CapturingExporter


def test_it_keeps_what_it_is_given_and_counts_what_is_asked() -> None:
    """Lines without their ends, reopens and the close are there for a test to look at; a failure happens once."""
    exporter = CapturingExporter()
    exporter.write(b"one\ntwo\n")
    exporter.failure = ExportFailed("write", "once")
    with pytest.raises(ExportFailed, match="once"):
        exporter.write(b"lost\n")
    exporter.sync()
    assert exporter.reopen()
    exporter.write(b"three\n")
    exporter.close()
    assert (exporter.lines, exporter.reopened, exporter.closed) == ([b"one", b"two", b"three"], 1, True)
