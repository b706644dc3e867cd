"""Where incident lines go: a file of their own, or stdout, whole among the lines of events."""

import json
import os
import threading
from pathlib import Path

import pytest

from payflux.errors import SettingsError
from payflux.exporters.file import EXPORT_FILE
from payflux.exporters.stdout import StdoutExporter
from payflux.node.incident_lines import INCIDENT_FILE, TakingTurns, check_incident_file, incident_lines
from payflux.settings import Values, load


def values(**environ: str) -> Values:
    """The settings."""
    return load((INCIDENT_FILE, EXPORT_FILE), environ, [check_incident_file])


def test_a_file_of_their_own(tmp_path: Path) -> None:
    """It is made with the first line, opened again when told so; the file of event lines is refused."""
    path = tmp_path / "incidents.jsonl"
    own = incident_lines(values(PAYFLUX_INCIDENT_FILE=str(path)), -1, threading.Lock(), torn=False)
    assert not path.exists()
    own.write(b"one\n")
    path.rename(tmp_path / "incidents.1")
    assert own.reopen() is True
    own.write(b"two\n")
    own.sync()
    own.close()
    assert path.read_text() == "two\n"
    with pytest.raises(SettingsError) as caught:
        values(PAYFLUX_INCIDENT_FILE="a", PAYFLUX_EXPORT_FILE="a")
    assert "PAYFLUX_INCIDENT_FILE" in caught.value.problems[0]


def test_lines_of_two_writers_stay_whole() -> None:
    """On one stdout, with lines longer than a pipe takes at once."""
    reading, writing = os.pipe()
    turns = threading.Lock()
    events = TakingTurns(StdoutExporter(writing), turns)
    own = incident_lines(values(PAYFLUX_INCIDENT_FILE="-"), writing, turns, torn=False)

    def write(exporter: object, word: str) -> None:
        assert isinstance(exporter, TakingTurns)
        for _ in range(20):
            exporter.write(json.dumps([word] * 20_000).encode() + b"\n")
        exporter.sync()
        assert exporter.reopen() is False
        exporter.close()

    threads = [threading.Thread(target=write, args=pair) for pair in ((events, "event"), (own, "incident"))]
    for thread in threads:
        thread.start()
    with os.fdopen(reading, "rb") as pipe:
        lines = [json.loads(pipe.readline()) for _ in range(40)]
    for thread in threads:
        thread.join(20)
    os.close(writing)
    assert all(len(set(line)) == 1 for line in lines)
    assert len({line[0] for line in lines}) == 2
