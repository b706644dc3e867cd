"""What replies of Redis say: lists of names and values, texts, and errors."""

import re
from collections.abc import Sequence
from typing import Any

from payflux.errors import StreamUnavailable

CODES = {
    "READONLY": "redis_readonly",
    "MASTERDOWN": "redis_readonly",
    "OOM": "redis_oom",
    "LOADING": "redis_loading",
    "BUSY": "redis_loading",
    "MISCONF": "redis_misconf",
    "NOREPLICAS": "redis_replicas",
    "WRONGTYPE": "redis_wrong_type",
    "BADVALUE": "redis_bad_value",  # our scripts: a value of a key of ours that we have not written
    "NOAUTH": "redis_auth",
    "WRONGPASS": "redis_auth",
    "called without any password configured for": "redis_auth",
    "NOPERM": "redis_forbidden",
    "ACL failure in script:": "redis_forbidden",
    "user executing the script can't": "redis_forbidden",  # Redis 6.2 and 7.0
    "DENIED": "redis_protected",
    "DB index is out of": "redis_database",
    "SELECT is not allowed in": "redis_database",
    "stream has exhausted the last possible": "redis_exhausted",
    "MOVED": "redis_cluster",
    "ASK": "redis_cluster",
    "CROSSSLOT": "redis_cluster",
    "CLUSTERDOWN": "redis_cluster",
}
"""Codes of StreamUnavailable, by a word or words of the reply that a blank follows."""
_CODE = re.compile(rf"(?:^|[ -])({'|'.join(CODES)}) ")

_KEY = re.compile(r"\(key (\S+)\)")  # as our scripts say it


def unavailable(error: Exception) -> StreamUnavailable:
    """What an error reply means for the events it concerns. Redis 6.2 wraps a script's error in a text: look inside."""
    if isinstance(error, StreamUnavailable):
        return error
    said = str(error)
    found = _CODE.search(said)
    about = _KEY.search(said)
    return StreamUnavailable(CODES[found[1]] if found else "redis_error", said, about[1] if about else "")


def named(flat: Sequence[Any]) -> dict[bytes, Any]:
    """Names and values that are listed in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def text(reply: Any) -> str:
    """A string; empty for everything else, an error or nothing among them."""
    return reply.decode(errors="replace") if isinstance(reply, bytes) else ""


def info(reply: Any) -> dict[str, str]:
    """The fields of `INFO`; none where Redis refused to tell."""
    return dict(line.split(":", 1) for line in text(reply).splitlines() if ":" in line and line[0] != "#")
