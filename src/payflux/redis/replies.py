"""What replies of Redis say: lists of names and values, texts, and errors."""

import re
from collections.abc import Sequence
from typing import Any

from payflux.errors import StreamUnavailable

CODES = {
    "READONLY": "redis_readonly",
    "OOM": "redis_oom",
    "LOADING": "redis_loading",
    "BUSY": "redis_loading",
    "MISCONF": "redis_misconf",
    "NOREPLICAS": "redis_misconf",
    "WRONGTYPE": "redis_wrong_type",
    "NOAUTH": "redis_auth",
    "WRONGPASS": "redis_auth",
    "NOPERM": "redis_auth",
    "ACL failure in script:": "redis_auth",
    "user executing the script can't run": "redis_auth",  # Redis 6.2 and 7.0
    "MASTERDOWN": "redis_down",
    "CLUSTERDOWN": "redis_down",
}
_CODE = re.compile(rf"(?:^|[ -])({'|'.join(CODES)}) ")


def unavailable(error: Exception) -> StreamUnavailable:
    """What an error reply means for the events it concerns. Redis 6.2 wraps a script's error in a text: look inside."""
    if isinstance(error, StreamUnavailable):
        return error
    said = str(error)
    found = _CODE.search(said)
    return StreamUnavailable(CODES[found[1]] if found else "redis_error", said)


def named(flat: Sequence[Any]) -> dict[bytes, Any]:
    """Names and values that are listed in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def text(reply: Any) -> str:
    """A string; empty for everything else, an error or nothing among them."""
    return reply.decode(errors="replace") if isinstance(reply, bytes) else ""


def info(reply: Any) -> dict[str, str]:
    """The fields of `INFO`; none where Redis refused to tell."""
    return dict(line.split(":", 1) for line in text(reply).splitlines() if ":" in line and line[0] != "#")
