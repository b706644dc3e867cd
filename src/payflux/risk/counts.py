"""Counts: what happened at one processor within one second, and nothing but additions."""

from payflux.risk.observation import OTHER_VALUE, Observation, latency_class, observation

MOST_OBSERVATIONS = 4096
"""Different observations told apart within a second; beyond, their dimensions become `other`."""

MOST_CURRENCIES = 32
ID_LENGTH = 36
"""Characters of an event id; whatever else stands in its place is none, as anybody may write to a stream."""

_ELSEWHERE = (OTHER_VALUE, OTHER_VALUE, OTHER_VALUE, OTHER_VALUE)


class Counts:
    """One processor's second.

    Counts of the same second add up in any order and however the events were shared out: `merge` is addition. Only
    with more than `MOST_OBSERVATIONS` different observations in one second does it depend on the order which of them
    are told apart.

    Attributes:
        events: how often each observation was made.
        latencies: how many events there are of each latency class.
        values: minor units of currency that failed at the first attempt, by observation and currency.
        samples: of each observation of a failure or a retry the id of one event, the smallest.
    """

    __slots__ = ("events", "latencies", "samples", "values")

    def __init__(self) -> None:
        self.events: dict[Observation, int] = {}
        self.latencies: dict[int, int] = {}
        self.values: dict[tuple[Observation, str], int] = {}
        self.samples: dict[Observation, str] = {}

    def take(self, seen: Observation, latency_ms: int, currency: str, amount_minor: int, event_id: str) -> None:
        """Count all that one event says; see `Scorer.observe`."""
        self.add(seen)
        if latency_ms >= 0 and seen.answered:
            self.add_latency(latency_class(latency_ms))
        if seen.failed:
            self.add_sample(seen, event_id)
            if amount_minor:
                self.add_value(seen, currency, amount_minor)
        elif seen.retried:
            self.add_sample(seen, event_id)

    def add(self, seen: Observation, times: int = 1) -> None:
        """Count an observation, once or several times."""
        events = self.events
        known = events.get(seen)
        if known is not None:
            events[seen] = known + times
        elif len(events) < MOST_OBSERVATIONS:
            events[seen] = times
        else:
            seen = elsewhere(seen)
            events[seen] = events.get(seen, 0) + times

    def add_latency(self, class_: int, times: int = 1) -> None:
        """Count a latency, by its class."""
        self.latencies[class_] = self.latencies.get(class_, 0) + times

    def add_value(self, seen: Observation, currency: str, minor: int) -> None:
        """Count the value of a payment, if it failed at its first attempt."""
        if seen.failed and not seen.retried:
            key = (seen, currency)
            if len(self.values) < MOST_OBSERVATIONS or key in self.values:
                self.values[key] = self.values.get(key, 0) + minor

    def add_sample(self, seen: Observation, event_id: str) -> None:
        """Remember the id of an event that was counted, if it is the smallest one of its observation."""
        known = self.samples.get(seen)
        if known is not None:
            if event_id < known and len(event_id) == ID_LENGTH:
                self.samples[seen] = event_id
        elif len(event_id) == ID_LENGTH and len(self.samples) < MOST_OBSERVATIONS:
            self.samples[seen] = event_id

    def merge(self, other: "Counts") -> None:
        """Add the counts of the same second from another counter."""
        for seen, times in other.events.items():
            self.add(seen, times)
        for class_, times in other.latencies.items():
            self.add_latency(class_, times)
        for (seen, currency), minor in other.values.items():
            self.add_value(seen, currency, minor)
        for seen, event_id in other.samples.items():
            self.add_sample(seen, event_id)


def elsewhere(seen: Observation) -> Observation:
    """The same observation with its dimensions and category unknown, for want of room."""
    kind = "failure" if seen.failed else "success" if seen.attempt else "neutral"
    category = OTHER_VALUE if seen.failed else ""
    return observation(kind, category, _ELSEWHERE, seen.retried, seen.small, seen.counts, seen.soft, seen.signs)
