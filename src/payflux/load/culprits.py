"""Sends batches, and finds the events that something between here and the node refuses: they stop none of the others.

A firewall or a gateway refuses a request for what is in one of its events, and gives no result for each. Whether the
whole way is closed, a batch without events tells: a node refuses that one by a code of its own. If it is open, the
batch is halved until the culprit is alone.
"""

import time
from collections.abc import Callable, Sequence

from payflux.load.attempts import Attempt, Item
from payflux.load.node_connection import AnswerError
from payflux.load.sender import Sender

LASTING = 5
"""How often an answer that may be of the moment has to come before what was sent is suspected."""

Record = Callable[[Attempt], None]
"""Is told the last attempt of each event."""


class Culprits:
    """Sends batches until the fate of each event is known.

    Args:
        sender: with a patience of a few seconds, after which it is asked why.
        patience_seconds: how long a batch is sent again.
        record: told of each event's fate.
    """

    def __init__(self, sender: Sender, patience_seconds: float, record: Record) -> None:
        self._sender, self._patience, self._record = sender, patience_seconds, record

    async def send(self, items: Sequence[Item]) -> bool:
        """Send a batch; false when patience ended before the fate of each was known.

        Raises:
            AnswerError: the node refuses the key, or is none.
        """
        ends = time.monotonic() + self._patience
        while True:
            try:
                attempts = await self._sender.send(items, "ndjson")
            except AnswerError as error:
                if not await self._sender.takes_events():
                    raise
                return await self._apart(items, Attempt("", error.status, "unknown", "", 0))
            last = {attempt.event_id: attempt for attempt in attempts}
            items = [item for item in items if not last[item.event_id].settled]
            over = not items or time.monotonic() >= ends
            for attempt in last.values():
                if attempt.settled or over:
                    self._record(attempt)
            if over:
                return not items
            if _is_suspicious(attempts) and await self._sender.takes_events():
                return await self._apart(items, attempts[-1])

    async def _apart(self, items: Sequence[Item], why: Attempt) -> bool:
        """Send each half by itself; one that is alone, and refused once more, is refused."""
        if len(items) == 1:
            return await self._alone(items, why)
        half = len(items) // 2
        return await self.send(items[:half]) and await self.send(items[half:])

    async def _alone(self, items: Sequence[Item], why: Attempt) -> bool:
        try:
            attempts = await self._sender.send(items, "ndjson")
        except AnswerError:
            attempts = []
        if attempts and attempts[-1].settled:  # the way was closed, and opened just before it was asked about
            self._record(attempts[-1])
            return True
        if attempts and not _is_suspicious(attempts):
            return await self.send(items)
        code = why.code or (f"http_{why.status}" if why.status else "no_answer")
        self._record(why._replace(event_id=items[0].event_id, verdict="rejected", code=code))
        return True


def _is_suspicious(attempts: Sequence[Attempt]) -> bool:
    """Whether the same came again and again, and is no node's word for a moment in which it takes nothing."""
    last = attempts[-1]
    lasting = len({attempt.request for attempt in attempts}) >= LASTING
    return lasting and last.status not in (408, 429, 504) and not (last.status == 503 and last.code)
