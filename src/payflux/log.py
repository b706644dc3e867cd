"""Logs: JSON lines with `level` and `msg` on stderr, which exported event lines never have."""

import sys
import time
from typing import Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]


def log(level: Level, msg: str, **fields: object) -> None:
    """Write one line to stderr, whole: `{"ts":…,"level":…,"msg":…,…}`.

    Args:
        level: its severity.
        msg: what happened, as a stable name such as `shutdown_initiated`.
        fields: what belongs to it; ids, counts and codes, never the content of an event or a key.
    """
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    line = msgspec.json.encode({"ts": stamp, "level": level, "msg": msg} | fields, enc_hook=str) + b"\n"
    try:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
    except (OSError, ValueError):
        return  # nobody reads the log: no reason to stop working
