"""Replies of Redis that are more than one value, read."""

from collections.abc import Sequence
from typing import Any


def named(flat: Sequence[Any]) -> dict[bytes, Any]:
    """Names and values that are listed in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def text(reply: Any) -> str:
    """A string; empty for everything else, an error or nothing among them."""
    return reply.decode(errors="replace") if isinstance(reply, bytes) else ""


def info(reply: Any) -> dict[str, str]:
    """The fields of `INFO`; none where Redis refused to tell."""
    return dict(line.split(":", 1) for line in text(reply).splitlines() if ":" in line and line[0] != "#")
