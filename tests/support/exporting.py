"""Lines to export, and an exporter whose file may not grow."""

import subprocess
import sys
from pathlib import Path

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
