"""Export to a file that is rotated from outside: `SIGHUP` makes us open the path again."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from payflux.errors import ExportFailed
from payflux.exporters import Destination, Opening
from payflux.finding import Finding
from payflux.settings import Values, optional

EXPORT_FILE = optional("PAYFLUX_EXPORT_FILE", str, "Path of the export file; required for `file` and `both`.")
TAIL = 1 << 20
ENOUGH_BYTES = 1 << 30
LEAST_BYTES = 16 << 20
PROBE_BYTES = 65_536


class FileExporter:
    """Appends whole batches; a batch that does not fit is taken back to its last whole line.

    Args:
        path: of the file; opened at the first write, so that a standby consumer never touches it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def write(self, data: bytes) -> None:
        """Append whole lines."""
        if self._fd < 0:
            self._open()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                kept = self._untear(data, len(data) - len(rest))
                raise ExportFailed(_reason(error), f"{self._path}: {error.strerror}", kept) from None

    def sync(self) -> None:
        """Flush to the disk. After a failure nobody knows what is on it, and asking again would succeed: reopen."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            self.close()
            raise ExportFailed("flush", f"{self._path}: {error.strerror}") from None

    def reopen(self) -> bool:
        """Open the path anew: logrotate has moved the old file away. A file not open yet stays so: it is another's."""
        if self._fd < 0:
            return False
        self.close()
        self._open()
        return True

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._heal()
            self._sync_directory()
        except OSError as error:
            self.close()
            raise ExportFailed("open", f"{self._path}: {error.strerror}") from None

    def _sync_directory(self) -> None:
        """A new file is only there after a crash if its directory knows of it."""
        fd = os.open(Path(self._path).parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system without that
                raise
        finally:
            os.close(fd)

    def _heal(self) -> None:
        """Cut off what a crash left behind the last whole line."""
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return
        start = max(0, status.st_size - TAIL)
        tail = os.pread(self._fd, TAIL, start)
        if not tail.endswith(b"\n"):
            os.ftruncate(self._fd, start + tail.rfind(b"\n") + 1)

    def _untear(self, data: bytes, written: int) -> int:
        """Take back the part of a line that was written; returns how many bytes stay."""
        whole = data.rfind(b"\n", 0, written) + 1
        if whole < written and stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - (written - whole))
        return whole


def _reason(error: OSError) -> str:
    return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "write"


def _make(opening: Opening) -> FileExporter:
    return FileExporter(opening.values[EXPORT_FILE] or "")


def _refuse(values: Values) -> Iterator[str]:
    path = values[EXPORT_FILE]
    if path is None:
        yield "PAYFLUX_EXPORT_FILE: expected a path"
    elif not _writable(Path(path)):
        yield f"PAYFLUX_EXPORT_FILE={path!r}: expected a file this user can write"


def _writable(file: Path) -> bool:
    if file.is_dir():
        return False
    return os.access(file, os.W_OK) if file.exists() else os.access(file.parent, os.W_OK)


def _look(values: Values) -> Iterator[Finding]:
    path = values[EXPORT_FILE]
    if path is not None:
        yield judge_file(path)


def judge_file(path: str) -> Finding:
    """The export file: can it be written to, and is there space?

    The file is neither made nor changed: made now, it would belong to whoever runs the check. Space is proved by
    writing a nameless file beside it.

    Args:
        path: of the file.
    """
    file = Path(path)
    fix = f"make {path} writable and free space there, or set another PAYFLUX_EXPORT_FILE"
    try:
        if file.exists():
            _try_append(file)
        regular = not file.exists() or file.is_file()
        if regular and os.access(file.parent, os.W_OK):
            _try_space(file.parent)
        free = _free_bytes(file.parent)
    except OSError as error:
        return Finding("export_file", "fail", f"{path}: {error.strerror}", fix)
    if not regular:
        return Finding("export_file", "pass", f"{path} takes writes (it is no regular file)")
    reason = f"{path} can be written, {free / (1 << 20):,.0f} MiB left"
    if free < ENOUGH_BYTES:
        return Finding("export_file", "fail" if free < LEAST_BYTES else "warn", reason, fix)
    return Finding("export_file", "pass", reason)


def _try_append(file: Path) -> None:
    """Open it as the exporter does, and write nothing: a full device says so all the same."""
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.write(fd, b"")
    finally:
        os.close(fd)


def _try_space(directory: Path) -> None:
    with tempfile.TemporaryFile(dir=directory) as probe:
        probe.write(bytes(PROBE_BYTES))
        probe.flush()
        os.fsync(probe.fileno())


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


DESTINATION = Destination(
    _make,
    "a file, which a shipper follows and logrotate rotates",
    settings=(EXPORT_FILE,),
    refuse=_refuse,
    look=_look,
    confirms=True,
)
