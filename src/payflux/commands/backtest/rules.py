"""Other rules that people alert by, to be compared on the same events."""

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from payflux.risk.episodes import Episode

LEAST_ATTEMPTS = 20
"""With fewer attempts in its window a ratio says nothing."""

LOOK_SEC = 10
"""How often a ratio is looked at."""

HOLD_SEC = 300
"""A warning goes on until the rule has been silent for so long, as PayFlux's own do."""

SUCCESS_RATE = 0.66
EXPECTED = "static:RATIO:SECONDS such as static:0.27:300s, or srv3:ATTEMPTS such as srv3:125"


class Rule(Protocol):
    """Watches one processor."""

    def take(self, second: int, *, failed: bool) -> Iterator[tuple[int, bool]]:
        """Take in one attempt.

        Args:
            second: stream time, never less than before.
            failed: how it ended.

        Yields:
            Seconds at which the rule was looked at, and whether it fires.
        """


class StaticRatio:
    """The ratio of failures in a window is above a limit for as long again: `rate(...) > 0.27` with `for: 5m`.

    Args:
        limit: 0 to 1.
        seconds: length of the window, and for how long the ratio must be above.
    """

    def __init__(self, limit: float, seconds: int) -> None:
        self._limit, self._seconds = limit, seconds
        self._buckets: deque[tuple[int, int, int]] = deque()  # when it ended, attempts, failures
        self._attempts = self._failures = 0
        self._current = (0, 0)
        self._above = -1
        self._next = 0

    def take(self, second: int, *, failed: bool) -> Iterator[tuple[int, bool]]:
        """One attempt; see `Rule.take`."""
        if second >= self._next:
            yield from self._pass(second)
        attempts, failures = self._current
        self._current = attempts + 1, failures + failed

    def _pass(self, second: int) -> Iterator[tuple[int, bool]]:
        """Look at the window at every mark up to a second, as long as there is anything in it."""
        while second >= self._next and (self._buckets or self._current[0]):
            attempts, failures = self._current
            self._buckets.append((self._next, attempts, failures))
            self._attempts += attempts
            self._failures += failures
            self._current = (0, 0)
            yield self._next, self._fires(self._next)
            self._next += LOOK_SEC
        if second >= self._next + HOLD_SEC:
            yield self._next + HOLD_SEC, False
        self._next = (second // LOOK_SEC + 1) * LOOK_SEC

    def _fires(self, at: int) -> bool:
        while self._buckets and self._buckets[0][0] <= at - self._seconds:
            _, attempts, failures = self._buckets.popleft()
            self._attempts -= attempts
            self._failures -= failures
        if self._attempts < LEAST_ATTEMPTS or self._failures <= self._limit * self._attempts:
            self._above = -1
        elif self._above < 0:
            self._above = at
        return self._above >= 0 and at - self._above >= self._seconds


class SuccessRate:
    """The share of successes among the last attempts is below a limit, as routers of payments have it.

    Args:
        attempts: how many are looked at; fewer say nothing.
        limit: 0 to 1.
    """

    def __init__(self, attempts: int, limit: float = SUCCESS_RATE) -> None:
        self._limit = limit
        self._last: deque[bool] = deque(maxlen=attempts)
        self._size, self._failures = attempts, 0

    def take(self, second: int, *, failed: bool) -> Iterator[tuple[int, bool]]:
        """One attempt; see `Rule.take`."""
        if len(self._last) == self._size:
            self._failures -= self._last[0]
        self._last.append(failed)
        self._failures += failed
        full = len(self._last) == self._size
        yield second + 1, full and self._size - self._failures < self._limit * self._size


class Compared:
    """A rule at every processor, and what it would have warned of.

    Args:
        text: the rule, such as `static:0.27:300s`.

    Attributes:
        name: the same.
        found: its warnings, in the order they began.

    Raises:
        ValueError: it is no rule; the text says what was expected.
    """

    def __init__(self, text: str) -> None:
        self.name = text
        self.found: list[Episode] = []
        rule_of(text)
        self._rules: dict[str, Rule] = {}
        self._fired: dict[str, int] = {}
        self._open: dict[str, Episode] = {}

    def take(self, second: int, processor: str, *, failed: bool) -> None:
        """Take in one attempt; seconds never fall."""
        rule = self._rules.get(processor)
        if rule is None:
            rule = self._rules[processor] = rule_of(self.name)
        for at, fires in rule.take(second, failed=failed):
            if fires or processor in self._open:
                self._look(at, processor, fires=fires)

    def _look(self, at: int, processor: str, *, fires: bool) -> None:
        current = self._open.get(processor)
        if fires:
            self._fired[processor] = at
            if current is None:
                current = self._open[processor] = Episode(processor, "", "", "", "", at, 1.0)
                self.found.append(current)
        elif current is not None and at - self._fired[processor] >= HOLD_SEC:
            current.resolved_at = self._fired[processor] + HOLD_SEC
            del self._open[processor]


def rule_of(text: str) -> Rule:
    """The rule that a text means.

    Raises:
        ValueError: it means none; the text says what was expected.
    """
    try:
        match text.strip().split(":"):
            case ["static", limit, seconds] if seconds.endswith("s"):
                return StaticRatio(_within(float(limit), 1.0), int(_within(int(seconds[:-1]), 86_400)))
            case ["srv3", attempts]:
                return SuccessRate(int(_within(int(attempts), 100_000)))
    except ValueError:
        pass
    raise ValueError(EXPECTED)


def _within(number: float, most: float) -> float:
    if not 0 < number <= most:
        raise ValueError(EXPECTED)
    return number
