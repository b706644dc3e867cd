"""Whoever has just started `payflux dev --simulate` sees an incident open, explained, and end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from operator_commands import environ, payflux
from real_parts import binary_or_skip
from servers import until


@pytest.mark.thorough
@pytest.mark.timeout(400)
def test_an_incident_opens_and_ends_within_minutes(directory: Path) -> None:
    """With its numbers and where it says what to do, as the log and the command tell it."""
    binary_or_skip("valkey-9")
    log, home = directory / "log", directory / "home"
    command = [sys.executable, "-m", "payflux", "dev", "--simulate", "--directory", str(home)]
    started = environ("") | {"HTTP_ADDR": "127.0.0.1:0"}
    with log.open("wb") as stderr, (directory / "lines").open("wb") as stdout:
        dev = subprocess.Popen(command, env=started, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    try:
        until(lambda: '"incident_opened"' in log.read_text(), "the incident", seconds=170)
        until(lambda: '"incident_resolved"' in log.read_text(), "its end", seconds=170)
        (told,) = [json.loads(line) for line in log.read_text().splitlines() if '"incident_opened"' in line]
        shown = payflux(environ(f"unix://{home}/valkey/valkey.sock"), "incidents", "show", told["incident"])
        text = shown.stdout.decode()
        assert (shown.returncode, text.partition(":")[0]) == (0, "stripe")
        assert [word for word in ("resolved at", "high_failure_rate", "runbook.html#", "█") if word not in text] == []
    finally:
        dev.send_signal(signal.SIGTERM)
        dev.wait(60)
