"""How long to wait before the next try."""

import random
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_SEC, LONGEST_SEC = 1.0, 60.0
LONGEST_ASKED_SEC = 900.0


class Patience:
    """Waiting times of one destination: doubled with each failure, with jitter, so that many do not come at once.

    Args:
        chance: a random number from 0 up to 1.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._failures = 0

    def succeeded(self) -> None:
        """The next failure is a first one."""
        self._failures = 0

    def failed(self, asked: float = 0.0) -> float:
        """Seconds to wait after a failure.

        Args:
            asked: how many the server asked for; less is never waited, more than 15 minutes neither.
        """
        span: float = min(FIRST_SEC * 2**self._failures, LONGEST_SEC)
        self._failures = min(self._failures + 1, 10)
        return max(span * (0.5 + self._chance() / 2), min(asked, LONGEST_ASKED_SEC))


def retry_after(text: str | None, now: float) -> float:
    """Seconds a `Retry-After` asks for (RFC 9110 10.2.3); 0 where it asks for nothing that can be read.

    Args:
        text: the header's value: seconds, or a date.
        now: Unix time.
    """
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(moment.timestamp() - now, 0.0)
