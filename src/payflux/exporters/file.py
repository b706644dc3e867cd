"""Export to a file that is rotated from outside: `SIGHUP` makes us open the path again."""

import errno
import os
import stat
from pathlib import Path

from payflux.errors import ExportFailed

TAIL = 1 << 20


class FileExporter:
    """Appends whole batches; a batch that does not fit is taken back to its last whole line.

    Args:
        target: the path; opened at the first write, so that a standby consumer never touches it.
    """

    def __init__(self, target: str) -> None:
        self._path = target
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
