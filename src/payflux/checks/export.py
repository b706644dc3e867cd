"""The export as `payflux check` sees it: what each destination says of itself, and the disk that lines go to."""

import os
from collections.abc import Sequence
from math import inf
from pathlib import Path

from payflux.exporters.grouped import group_destination, group_of, running
from payflux.exporters.registry import used
from payflux.finding import Finding
from payflux.redis.address import address_of
from payflux.redis.append import STREAM_MAXLEN
from payflux.redis.history import StreamHistory
from payflux.redis.keys import Keys
from payflux.redis.monitor import RedisMonitor
from payflux.settings import Values
from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import GROUP

FREE_SHARES = (0.1, 0.03)  # of the disk and of its inodes: to be warned of, and too little

LEAST_SECONDS = 3600
"""So long the stream should hold what an exporter that is down has not read."""

RECENT = 1000  # entries that tell the rate
NEWEST = b"18446744073709551615-18446744073709551615"


def judge_export(values: Values) -> list[Finding]:
    """Whether the destinations will take what is written to them; asked without leaving a trace there.

    Args:
        values: the settings of the node.
    """
    lines = [finding for destination in used(values).values() for finding in destination.look(values)]
    return lines + [finding for name in running(values) for finding in group_destination(name).look(values)]


async def judge_exporters(values: Values, keys: Keys) -> list[Finding]:
    """Whether the stream holds events long enough for each exporter with a group of its own.

    Args:
        values: the settings of the node.
        keys: of the stream.

    Raises:
        StreamUnavailable: Redis does not tell.
    """
    names, maxlen = running(values), values[STREAM_MAXLEN]
    if not names:
        return []
    async with StreamHistory(address_of(values), keys, "payflux-check") as history:
        newest = await history.page_back(NEWEST, RECENT)
    held = _held_seconds(newest, maxlen)
    admin = RedisMonitor(address_of(values), keys, GROUP)
    try:
        return [_exporter(name, (await admin.backlog(group_of(name))).lag, held, maxlen) for name in names]
    finally:
        admin.close()


def _held_seconds(newest: Sequence[Delivery], maxlen: int) -> float:
    """How long an entry stays in the stream at the rate of its newest ones; for ever where nothing is trimmed."""
    if len(newest) < 2 or not maxlen:
        return inf
    span = max(newest[0].at_ms - newest[-1].at_ms, 1) / 1000
    return maxlen * span / (len(newest) - 1)


def _exporter(name: str, lag: int, held: float, maxlen: int) -> Finding:
    check, waiting = f"exporter_{name.rpartition(':')[2].lower()}", f"{lag:,} entries wait for it"
    if held < LEAST_SECONDS:
        reason = f"{waiting}, and at the rate of now the stream holds an entry for {held / 60:.0f} minutes"
        enough = maxlen * LEAST_SECONDS / max(held, 1)
        fix = f"raise {STREAM_MAXLEN.name} to {enough:.0f}, as it loses events when it is down for longer"
        return Finding(check, "warn", reason, fix)
    if maxlen and lag > maxlen / 2:
        return Finding(check, "warn", f"{waiting}, of {maxlen:,} that the stream holds", "see /export/health")
    return Finding(check, "pass", waiting)


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
