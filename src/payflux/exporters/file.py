"""Export to a file that is rotated from outside: `SIGHUP` makes us open the path again."""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from payflux.errors import ExportFailed
from payflux.exporters import Destination, Exported, Opening
from payflux.finding import Finding
from payflux.log import log
from payflux.settings import Values, optional

EXPORT_FILE = optional("PAYFLUX_EXPORT_FILE", str, "Path of the export file; required for `file` and `both`.")
TAIL = 1 << 20  # longer than any line of ours
LINE_HEAD = b'{"event_type":"'
ENOUGH_BYTES = 1 << 30
LEAST_BYTES = 16 << 20
PROBE_BYTES = 65_536
LINKS = 40  # as many as the kernel follows
REMEDY = "for a pipe or a container's log set PAYFLUX_EXPORT_MODE=stdout"

_numbered = msgspec.json.Decoder(Exported).decode


class _Place(NamedTuple):
    """A place in a file, which is told by its device and its number there."""

    device: int
    inode: int
    at: int


class FileExporter:
    """Appends whole batches; a batch that does not fit is taken back to its last whole line.

    Args:
        path: of the file; opened at the first write, so that a standby consumer never touches it.
        torn: a former process of this node died while it wrote there.
    """

    def __init__(self, path: str, *, torn: bool = False) -> None:
        self._path, self._torn = path, torn
        self._fd = -1
        self._newest = b""  # what was written last
        self._unsure: _Place | None = None  # where that stands, when it could not be made durable

    def write(self, data: bytes) -> None:
        """Append whole lines."""
        if self._fd < 0:
            self._open()
        rest = memoryview(data)
        self._newest, self._unsure = data, None
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                kept = self._untear(data, len(data) - len(rest))
                self._newest = data[:kept]
                raise ExportFailed(_reason(error), f"{self._path}: {error.strerror}", kept) from None

    def sync(self) -> None:
        """Flush to the disk. After a failure nobody knows what of it is there: it is written once more in its place.

        Asking again would be no proof: the kernel takes what it could not write for written.
        """
        if self._fd < 0:
            self._open()
        try:
            if self._unsure is not None:
                self._unsure = self._write_again(self._unsure)
            os.fsync(self._fd)
        except OSError as error:
            if self._unsure is None:
                end = os.lseek(self._fd, 0, os.SEEK_CUR)
                self._unsure = _place(self._fd, end - len(self._newest))
            raise ExportFailed("flush", f"{self._path}: {error.strerror}") from None
        self._unsure = None

    def _write_again(self, place: _Place) -> _Place:
        """In its place; at the end of the file when this is another one by now, or was cut. Returns where."""
        end = os.lseek(self._fd, 0, os.SEEK_END)
        if place != _place(self._fd, place.at) or end < place.at + len(self._newest):
            place = _place(self._fd, end)
        rest, at = memoryview(self._newest), place.at
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~os.O_APPEND)  # or it would go to the end
        try:
            while rest:
                written = os.pwrite(self._fd, rest, at)
                rest, at = rest[written:], at + written
        finally:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags)
        return place

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

    def recall(self, lines: int) -> Iterator[Exported]:
        """The newest lines of ours that stand in the file, newest first, so many at most; nothing is changed.

        Args:
            lines: how many.
        """
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                yield from _newest_lines(fd, lines)
        except OSError as error:
            log("warning", "export_file_unreadable", file=self._path, detail=str(error))
        finally:
            os.close(fd)

    def _open(self) -> None:
        if unfit := unfit_kind(self._path):
            raise ExportFailed("open", f"{self._path}: {unfit}, no regular file; {REMEDY}")
        try:
            made = self._open_or_make()
            self._heal()
            self._sync_directory(needed=made)
        except OSError as error:
            self.close()
            raise ExportFailed(_reason(error, "open"), f"{self._path}: {error.strerror}") from None
        self._torn = False

    def _open_or_make(self) -> bool:
        """Open the file; whether it had to be made."""
        flags = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self._fd = os.open(self._path, flags)
        except FileNotFoundError:
            self._fd = os.open(self._path, flags | os.O_CREAT, 0o640)
            return True
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):  # it has become something else this moment
            raise OSError(errno.EINVAL, "no regular file")
        return False

    def _sync_directory(self, *, needed: bool) -> None:
        """A new file is only there after a crash if its directory knows of it."""
        try:
            fd = os.open(Path(self._path).parent, os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError:
            if needed:
                raise
            return
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system without that
                raise
        finally:
            os.close(fd)

    def _heal(self) -> None:
        """See to it that a line begins where we write: cut off what we left half-written, end what others left."""
        size = os.fstat(self._fd).st_size
        start = max(0, size - TAIL)
        tail = os.pread(self._fd, TAIL, start)
        if not tail or tail.endswith(b"\n"):
            return
        before, _, left = tail.rpartition(b"\n")
        whole = start == 0 or b"\n" in tail
        if whole and _is_torn(left, after_ours=self._torn or _is_ours(before[before.rfind(b"\n") + 1 :])):
            os.ftruncate(self._fd, size - len(left))
            log("warning", "torn_line_cut", file=self._path, bytes=len(left))
        else:
            os.write(self._fd, b"\n")
            log("warning", "unfinished_line_ended", file=self._path)

    def _untear(self, data: bytes, written: int) -> int:
        """Take back the part of a line that was written; returns how many bytes stay."""
        whole = data.rfind(b"\n", 0, written) + 1
        if whole < written:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - (written - whole))
        return whole


def _place(fd: int, at: int) -> _Place:
    status = os.fstat(fd)
    return _Place(status.st_dev, status.st_ino, at)


def _reason(error: OSError, else_: str = "write") -> str:
    return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else else_


def _is_ours(line: bytes) -> bool:
    return line.startswith(LINE_HEAD) and b',"stream_message_id":"' in line


def _is_torn(left: bytes, *, after_ours: bool) -> bool:
    """Whether what stands behind the last newline is the beginning of a line of ours, and not all of it.

    Args:
        left: what stands there; after a power failure zeros may stand for what was not written yet.
        after_ours: a line of ours precedes it, or a former process died while it wrote.
    """
    written = left.rstrip(b"\0")
    if not written.startswith(LINE_HEAD):
        return after_ours and LINE_HEAD.startswith(written)
    try:
        msgspec.json.decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    return False


def _newest_lines(fd: int, lines: int) -> Iterator[Exported]:
    """Read backwards, line by line, up to what was written before the stream last began anew."""
    at, rest, oldest = os.fstat(fd).st_size, b"", None
    while lines > 0 and at > 0:
        size = min(TAIL, at)
        at -= size
        first, *found = (os.pread(fd, size, at) + rest).split(b"\n")
        rest = first
        for line in reversed([first, *found] if at == 0 else found):
            one = _exported(line)
            if one is None:
                continue
            if oldest is not None and one.key < oldest.key and one.seq >= oldest.seq:
                return
            oldest = one if oldest is None or one.key < oldest.key else oldest
            yield one
            lines -= 1
            if lines <= 0:
                return


def _exported(line: bytes) -> Exported | None:
    if not line.startswith(LINE_HEAD):
        return None
    try:
        return _numbered(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def unfit_kind(path: str) -> str:
    """What a path leads to, when lines must not be written there; empty for a file and for what is not there yet.

    What lies in /proc or directly in /dev is always unfit: `/dev/stdout` means another stdout in each process.
    """
    for _ in range(LINKS):
        parent = os.path.realpath(Path(path).parent)
        if parent in {"/dev", "/dev/fd"} or f"{parent}/".startswith("/proc/"):
            return "a device or a descriptor of a process"
        try:
            path = str(Path(parent, Path(path).readlink()))
        except OSError:
            break
    return _kind(path)


def _kind(path: str) -> str:
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return ""
    names = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return "" if stat.S_ISREG(mode) else names.get(stat.S_IFMT(mode), "a device")


def _make(opening: Opening) -> FileExporter:
    return FileExporter(opening.values[EXPORT_FILE] or "", torn=opening.torn)


def _refuse(values: Values) -> Iterator[str]:
    path = values[EXPORT_FILE]
    if path is None:
        yield "PAYFLUX_EXPORT_FILE: expected a path"
        return
    if unfit := unfit_kind(path):
        yield f"PAYFLUX_EXPORT_FILE={path!r}: expected a regular file, this is {unfit}; {REMEDY}"
    elif reason := _refused(Path(path)):
        yield f"PAYFLUX_EXPORT_FILE={path!r}: expected a file this user can write, {reason}"


def _refused(file: Path) -> str:
    """Why the file cannot be written; empty when it can."""
    try:
        if file.exists():
            return "" if os.access(file, os.R_OK | os.W_OK) else "and read"
        if not file.parent.is_dir():
            return f"and there is no directory {file.parent}"
    except OSError as error:
        return f"but {file.parent}: {error.strerror}"
    if not os.access(file.parent, os.W_OK | os.X_OK):
        return f"and {file.parent} cannot be written"
    return "" if os.access(file.parent, os.R_OK) else f"and {file.parent} cannot be read, as a new file there must be"


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
    if unfit := unfit_kind(path):
        return Finding("export_file", "fail", f"{path} is {unfit}, no regular file", f"name a file; {REMEDY}")
    try:
        if file.exists():
            os.close(os.open(file, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC))
        if os.access(file.parent, os.W_OK):
            _try_space(file.parent)
        free = _free_bytes(file.parent)
    except OSError as error:
        return Finding("export_file", "fail", f"{path}: {error.strerror}", fix)
    reason = f"{path} can be written, {free / (1 << 20):,.0f} MiB left"
    if free < ENOUGH_BYTES:
        return Finding("export_file", "fail" if free < LEAST_BYTES else "warn", reason, fix)
    return Finding("export_file", "pass", reason)


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
