"""What is known of processors that have been idle for a week, in a fraction of the room."""

from typing import Any
from zlib import compress, decompress

import msgspec

REST_SEC, FORGET_SEC = 7 * 86400, 30 * 86400
"""A processor idle for so long is put to rest, and forgotten; its snapshot in Redis goes at about the same time."""


class Resting:
    """Processors at rest: the one idle longest is forgotten first.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, tuple[int, bytes]] = {}

    def lay_down(self, processor: str, touched: int, known: dict[str, Any] | None) -> list[str]:
        """Keep what is known of a processor.

        Args:
            processor: whose it is.
            touched: the second of its last event.
            known: its snapshot.

        Returns:
            The one for which there is no room any more, if there is one.
        """
        self._known[processor] = touched, compress(msgspec.msgpack.encode(known))
        if len(self._known) <= self._most:
            return []
        return self._forget([min(self._known, key=lambda one: self._known[one][0])])

    def wake(self, processor: str) -> dict[str, Any] | None:
        """Its snapshot, which is not kept any more; None when it is not at rest."""
        if (kept := self._known.pop(processor, None)) is None:
            return None
        known: dict[str, Any] = msgspec.msgpack.decode(decompress(kept[1]))
        return known

    def expire(self, second: int) -> list[str]:
        """Forget those that had no event for thirty days; their names."""
        return self._forget([one for one, (touched, _) in self._known.items() if touched <= second - FORGET_SEC])

    def _forget(self, gone: list[str]) -> list[str]:
        for one in gone:
            del self._known[one]
        return gone
