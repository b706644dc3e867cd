"""Logs: JSON lines with `level` and `msg` on stderr, which exported event lines never have."""

import sys
import time
from typing import Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]
TEXT_LIMIT = 500  # characters of one field: a line stays small enough for a pipe to take it whole


def log(level: Level, msg: str, **fields: object) -> None:
    """Write one line to stderr, whole: `{"ts":…,"level":…,"msg":…,…}`.

    Args:
        level: its severity.
        msg: what happened, as a stable name such as `shutdown_initiated`.
        fields: what belongs to it; ids, counts and codes, never the content of an event or a key. Long texts are cut.
    """
    if sys.stderr is None:
        return  # closed before the start
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    head = {"ts": stamp, "level": level, "msg": msg}
    rest = {name: _fit(value) for name, value in fields.items() if name not in head}
    line = msgspec.json.encode(head | rest, enc_hook=_shown) + b"\n"
    try:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
    except (OSError, ValueError):
        return  # nobody reads the log: no reason to stop working


def _fit(value: object) -> object:
    """Texts cut, and what UTF-8 cannot hold escaped: half a surrogate pair, as in file names of other encodings."""
    if not isinstance(value, str):
        return value
    return value[:TEXT_LIMIT].encode(errors="backslashreplace").decode()


def _shown(value: object) -> object:
    return _fit(str(value))
