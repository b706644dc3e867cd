"""A Prometheus, or another server of the same kind, on a port of its own: for pictures, and for tests."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START_SECONDS = 20.0
POLL_SECONDS = 0.02


class NotReady(Exception):
    """The program did not start."""


def free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Monitor:
    """A program of Prometheus's family that answers `/-/ready`.

    Args:
        directory: where it runs and logs.
        command: with `{port}` where its port belongs.

    Raises:
        NotReady: it ended, or was not ready in time.
    """

    def __init__(self, directory: Path, command: Sequence[str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [word.replace("{port}", str(port)) for word in command],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever started it
            )
        try:
            self._await()
        except BaseException:
            self.stop()
            raise

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NotReady(f"{self._process.args!r} did not start:\n{self._log.read_text()}")
            time.sleep(POLL_SECONDS)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):  # noqa: S310 - an address of our own
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(10)


class Prometheus(Monitor):
    """A Prometheus with a configuration, its data beside it."""

    def __init__(self, directory: Path, configuration: Path) -> None:
        flags = ("--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:{port}", "--log.level=warn")
        super().__init__(directory, ("prometheus", f"--config.file={configuration}", *flags))

    def instant(self, expr: str, **when: str) -> list[dict[str, Any]]:
        """The series an expression gives now, or at a `time`."""
        return self._series("query", query=expr, **when)

    def span(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series an expression gives over a span of time, in steps of seconds."""
        return self._series("query_range", query=expr, start=str(start), end=str(end), step=str(step))

    def _series(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found
