"""Whether the destinations of the export will take what is written to them; asked without leaving a trace there."""

import os
import stat
import tempfile
from pathlib import Path

from payflux.finding import Finding

ENOUGH_BYTES = 1 << 30
LEAST_BYTES = 16 << 20
FREE_SHARES = (0.1, 0.03)  # of the disk and of its inodes: to be warned of, and too little
PROBE_BYTES = 65_536


def judge_stdout() -> Finding:
    """The node's stdout, of which nothing can be known from here."""
    return Finding("export_stdout", "pass", "lines go to the node's stdout; what reads it must keep up")


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


def judge_disk(path: str | None) -> Finding:
    """The disk that lines are written to: its space and its inodes.

    Args:
        path: of the export file; None when there is none.
    """
    if path is None:
        return Finding("disk", "pass", "the node writes no file; watch the disks of Redis and of the shipper")
    directory = Path(path).parent
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return Finding("disk", "fail", f"{directory}: {error.strerror}", f"make {directory}")
    free = min(found.f_bavail / max(1, found.f_blocks), found.f_favail / found.f_files if found.f_files else 1.0)
    reason = f"{free:.0%} of the disk of {directory} is free, inodes included; Redis's disk cannot be seen from here"
    if free < FREE_SHARES[0]:
        fix = "free space there, rotate sooner or keep fewer files"
        return Finding("disk", "fail" if free < FREE_SHARES[1] else "warn", reason, fix)
    return Finding("disk", "pass", reason)


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
