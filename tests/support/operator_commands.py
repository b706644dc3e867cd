"""What the tests of the operators' commands share: commands as processes, and streams filled by hand."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodes import event
from payflux.cli import app
from payflux.event.decode import decode_event
from payflux.risk.assessment import RiskAssessment
from servers import Server, until
from stream_keys import KEYS

START_MS = 1_767_957_855_000
VARIABLES = ("PAYFLUX_", "REDIS_", "STRIPE_")

Run = Callable[..., tuple[int, str, str]]
"""Runs a command in this process: exit code, stdout and stderr."""


def environ(url: str, **further: str) -> dict[str, str]:
    """The environment of an operator's shell."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
    return inherited | {"REDIS_URL": url} | further


def payflux(environment: dict[str, str], *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "payflux", *arguments]
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, timeout=60)


def on_a_terminal(environment: dict[str, str], *arguments: str, columns: int = 80) -> tuple[int, str]:
    """Run a command on a terminal of so many columns; its exit code and everything shown."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "payflux", *arguments]
    terminal = {"TERM": "xterm-256color", "COLUMNS": str(columns)}
    child = subprocess.Popen(command, env=environment | terminal, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(master)
    return child.wait(60), shown.decode()


def running(
    group: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], server: Server
) -> Run:
    """Runs the commands of a group (`payflux GROUP ...`) in this process."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.delenv("REDIS_ADDR", raising=False)
        monkeypatch.setenv("REDIS_URL", server.url)
        code = app([group, *arguments], result_action="return_value")
        shown = capsysbinary.readouterr()
        return code, shown.out.decode(), shown.err.decode()

    return run


class Running:
    """A command that goes on until it is interrupted."""

    def __init__(self, directory: Path, environment: dict[str, str], *arguments: str) -> None:
        self._out, self._err = directory / "out", directory / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "payflux", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def lines(self) -> list[dict[str, Any]]:
        """The whole lines it has written to stdout."""
        return [json.loads(line) for line in self._out.read_bytes().split(b"\n")[:-1]]

    def errors(self) -> str:
        """What it has written to stderr."""
        return self._err.read_text()

    def interrupt(self) -> int:
        """Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait(20)


def canonical(**members: object) -> bytes:
    """A valid event as it is stored."""
    return decode_event(json.dumps(event(**members)).encode()).data


def add(server: Server, seq: int, data: bytes, ms: int | None = None) -> bytes:
    """Append an entry as the node does, at `ms` after a fixed time; returns its id."""
    entry_id = f"{START_MS + (seq * 1000 if ms is None else ms)}-0"
    server.client.xadd("events_stream", {"data": data, "seq": seq}, id=entry_id)
    server.client.hset("{events_stream}:state", "seq", str(seq))
    return entry_id.encode()


def bury(server: Server, data: bytes, reason: str, original_id: str = "1-1", entry_id: str = "*") -> str:
    """Put a dead letter; returns its id."""
    fields: dict[Any, Any] = {
        "data": data,
        "original_id": original_id,
        "reason": reason,
        "timestamp": "2026-01-09T12:00:00Z",
    }
    added = server.client.xadd("events_stream_dlq", fields, id=entry_id)
    assert isinstance(added, bytes)
    return added.decode()


def stream(server: Server, name: str) -> list[dict[bytes, bytes]]:
    """The fields of every entry of a stream, oldest first."""
    entries: Any = server.client.xrange(name)
    return [fields for _, fields in entries]


def traffic(server: Server, count: int) -> None:
    """Entries of two processors, one second apart: stripe does well, adyen (every third) only fails."""
    for seq in range(1, count + 1):
        if seq % 3:
            data = canonical(event_type="payment_succeeded", retry_result="succeeded", failure_category="")
        else:
            data = canonical(processor="adyen", retry_count=seq % 4)
        add(server, seq, data)


def say(server: Server, processor: str, score: float, band: str) -> None:
    """What a node says of a processor, from the first second on."""
    said = msgspec.json.encode(RiskAssessment(1, processor, score, band))
    server.client.xadd(KEYS.assessments, {"processor": processor, "second": 1, "assessment": said})


def wait_for(running: Running, count: int) -> list[dict[str, Any]]:
    """Wait for so many lines of a running command."""
    until(lambda: len(running.lines()) >= count or running.process.poll() is not None, f"{count} lines")
    return running.lines()
