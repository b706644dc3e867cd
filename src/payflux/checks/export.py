"""The export as `payflux check` sees it: what each destination says of itself, and the disk that lines go to."""

import os
from pathlib import Path

from payflux.exporters.registry import used
from payflux.finding import Finding
from payflux.settings import Values

FREE_SHARES = (0.1, 0.03)  # of the disk and of its inodes: to be warned of, and too little


def judge_export(values: Values) -> list[Finding]:
    """Whether the destinations will take what is written to them; asked without leaving a trace there.

    Args:
        values: the settings of the node.
    """
    return [finding for destination in used(values).values() for finding in destination.look(values)]


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
