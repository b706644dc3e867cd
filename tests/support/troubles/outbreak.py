"""Traffic in which a processor fails and recovers, in a stream time of its own: minutes of it pass in a moment."""

import json
import time
from random import Random
from typing import Any
from uuid import UUID

import redis

from payflux.event.decode import decode_event
from payflux.event.example import make_event
from scripts.scenes.history import APPEND
from servers import Server, until
from stream_keys import KEYS

AHEAD_SEC = 60
"""Stream time runs before the clock, so that it passes as events come and not by itself."""

EVENTS_A_SECOND = 5


class Outbreak:
    """Appends events with ids ahead of the clock.

    Args:
        server: of the stream.
        seed: of the event ids.

    Attributes:
        second: stream time up to which there are events.
    """

    def __init__(self, server: Server, seed: int) -> None:
        self._server, self._random = server, Random(seed)
        self.second = int(time.time()) + AHEAD_SEC
        self._append = server.client.register_script(APPEND)

    def last(self, seconds: int, *, failing: float) -> None:
        """Let time pass with a share of all payments failing; while the server is away it waits."""
        for _ in range(seconds):
            self.second += 1
            failures = round(EVENTS_A_SECOND * failing)
            bodies = [self._event(failed=number < failures) for number in range(EVENTS_A_SECOND)]
            until(lambda bodies=bodies: self._put(bodies), "the server to take events")  # type: ignore[misc]

    def _put(self, bodies: list[bytes]) -> bool:
        """Append the events of a second once, all or none of them; whether they are there."""
        try:
            newest: Any = self._server.client.xrevrange(KEYS.stream, count=1)
            if not newest or int(newest[0][0].partition(b"-")[0]) < 1000 * self.second:
                words = [word for body in bodies for word in (1000 * self.second, body)]
                self._append(keys=[KEYS.stream, KEYS.state], args=words)
        except redis.RedisError:
            return False
        return True

    def _event(self, *, failed: bool) -> bytes:
        outcome = {"event_type": "payment_failed", "failure_category": "processor_error", "retry_result": ""}
        told = make_event(**(outcome if failed else {"event_type": "payment_succeeded", "retry_result": ""}))
        told |= {"event_id": str(UUID(int=self._random.getrandbits(128), version=4)), "processor": "stripe"}
        return decode_event(json.dumps(told | ({} if failed else {"failure_category": ""})).encode()).data
