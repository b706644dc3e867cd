"""Lines to export, and exporters whose file may not grow, or whose directory does not let them."""

import os
import subprocess
import sys
from pathlib import Path

from payflux.exporters.fanout import ExporterQueue
from payflux.telemetry.metrics import EXPORT_ERRORS, EXPORT_REASONS, Metric, Metrics
from servers import until

NAMES = ("stdout", "file")
LINES = [b'{"event_id":"%d","text":"%s"}\n' % (number, b"x" * (number % 97)) for number in range(2000)]
LIMITED = """
import os, resource, sys
from payflux.errors import ExportFailed
from payflux.exporters.file import FileExporter
from payflux.exporters.stdout import StdoutExporter

def allow(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def write(data):
    try:
        exporter.write(data)
    except ExportFailed as error:
        print(error.code, error.written, flush=True, file=sys.stderr)

path = sys.argv[1]
if sys.argv[2] == "file":
    exporter = FileExporter(path)
else:
    exporter = StdoutExporter(fd=os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
"""


def limited(path: Path, exporter: str, steps: str) -> tuple[bytes, list[str]]:
    """What stands in a file after an exporter met a limit of its size, and what it raised."""
    code = [sys.executable, "-c", LIMITED + steps, str(path), exporter]
    ended = subprocess.run(code, capture_output=True, text=True, timeout=30, check=True)
    return path.read_bytes(), ended.stderr.splitlines()


UNPRIVILEGED = """
import os, sys
from payflux.errors import ExportFailed
from payflux.exporters.file import DESTINATION, FileExporter
from payflux.settings import load

path, values = sys.argv[1], load(DESTINATION.settings, {"PAYFLUX_EXPORT_FILE": sys.argv[1]})
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(*DESTINATION.refuse(values))
try:
    FileExporter(path).write(b"line\\n")
    print("written")
except ExportFailed as error:
    print(error.code)
"""


def unprivileged(logs: Path, mode: int) -> tuple[str, str]:
    """What a user who is not root is told of `events.jsonl` in a directory with this mode, and what a write says."""
    if os.getuid() == 0:
        for path in (logs, *logs.iterdir()):
            os.chown(path, 65534, 65534)
        logs.parent.chmod(0o755)
    logs.chmod(mode)
    code = [sys.executable, "-c", UNPRIVILEGED, str(logs / "events.jsonl")]
    try:
        ended = subprocess.run(code, capture_output=True, text=True, timeout=30, check=True)
    finally:
        logs.chmod(0o700)
    refused, written = ended.stdout.split("\n")[:2]
    return refused, written


ENOUGH = 10**9


class Scripted:
    """An exporter that raises what it is told to, once for each write, and keeps the rest."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.data = b""

    def write(self, data: bytes) -> None:
        """Keep it, or raise."""
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.data += data

    def sync(self) -> None:
        """It is kept."""

    def reopen(self) -> bool:
        """There is nothing to reopen."""
        return False

    def close(self) -> None:
        """There is nothing to close."""


def value(metrics: Metrics, metric: Metric, *labels: str) -> float:
    """What a series of the consumer counts."""
    return metrics.get(metric, *(metrics.destinations.index(label) if label in NAMES else label for label in labels))


def errors(metrics: Metrics, destination: str) -> dict[str, float]:
    """The lines not exported, by reason, where there are any."""
    found = {reason: value(metrics, EXPORT_ERRORS, destination, reason) for reason in EXPORT_REASONS}
    return {reason: lines for reason, lines in found.items() if lines}


def settled(*queues: ExporterQueue) -> None:
    """Wait until everything is done."""
    until(lambda: all(queue.idle for queue in queues), "the queues to be done")
