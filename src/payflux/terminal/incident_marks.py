"""Marks between lines of events: where an incident opened."""

from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from payflux.redis.history import StreamHistory

Record = dict[str, Any]


class IncidentMarks:
    """Incidents that opened since a place, each marked once, before the first line after it.

    Args:
        history: where they are read.
        mark: shows one, given its record.
        processors: only theirs and those of all processors; any where none is named.
    """

    def __init__(
        self, history: StreamHistory, mark: Callable[[Record], None], processors: Collection[str] = ()
    ) -> None:
        self._history, self._mark, self._processors = history, mark, processors
        self._waiting: deque[Record] = deque()
        self._place = b""

    async def learn(self, start: bytes) -> None:
        """Read what opened; the first time, from an entry of the stream on.

        Raises:
            StreamUnavailable: they cannot be read.
        """
        self._place, opened = await self._history.opened(self._place or start)
        for record in opened:
            if not self._processors or record["processor"] in {"", *self._processors}:
                self._waiting.append(record)

    def before(self, second: int) -> None:
        """Mark what opened before a second of stream time, of which a line comes now."""
        while self._waiting and datetime.fromisoformat(self._waiting[0]["opened"]).timestamp() < second:
            self._mark(self._waiting.popleft())

    def rest(self) -> None:
        """Mark all that is known: no line comes just now."""
        while self._waiting:
            self._mark(self._waiting.popleft())
