"""Tell a webhook when a processor's failure rate rises above a limit, and when it is below again.

Entries are acked after the webhook took the alerts they caused, so none is lost: after a crash one may come twice, with
the same `id`. While the webhook is away, entries wait in the stream.
"""

import argparse
import json
import sys
import urllib.request
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import NamedTuple
from urllib.error import URLError

from stream_group import Entry, Group

from payflux.event.outcome import outcome_of

BACKOFF_SECONDS = (0.2, 10.0)


class Limits(NamedTuple):
    """When to alert: failure rate, fewest events, and over how many milliseconds of the stream's time."""

    rate: float
    events: int
    window_ms: int


class Watch:
    """One processor: its last events, and whether it was reported."""

    def __init__(self) -> None:
        self.recent: deque[tuple[int, bool]] = deque()
        self.firing = False


class Watches:
    """All processors, in the stream's own time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._watches: dict[str, Watch] = defaultdict(Watch)
        self._newest = (0, 0)

    def alerts(self, entries: list[Entry]) -> Iterator[dict[str, object]]:
        """Look at entries in their order; an alert for each processor whose state changes."""
        for entry in entries:
            at_ms, number = map(int, entry.id.split("-"))
            if (at_ms, number) <= self._newest:  # given again after a lost ack, or reclaimed late
                continue
            self._newest = (at_ms, number)
            event = entry.event
            outcome = outcome_of(event["event_type"], event["retry_result"], event["failure_category"])
            if outcome.kind == "neutral" or not outcome.scored:
                continue
            watch = self._watches[event["processor"]]
            rate = self._observe(watch, at_ms, failed=outcome.kind == "failure")
            bad = rate >= self._limits.rate and len(watch.recent) >= self._limits.events
            if bad != watch.firing and (bad or rate < self._limits.rate):
                watch.firing = bad
                told = {"processor": event["processor"], "state": "firing" if bad else "resolved"}
                yield told | {"id": f"{event['processor']}:{entry.id}", "failure_rate": round(rate, 3)}

    def _observe(self, watch: Watch, at_ms: int, *, failed: bool) -> float:
        """The failure rate with one event more."""
        watch.recent.append((at_ms, failed))
        while watch.recent[0][0] <= at_ms - self._limits.window_ms:
            watch.recent.popleft()
        return sum(failed for _, failed in watch.recent) / len(watch.recent)


def deliver(group: Group, webhook: str, alert: dict[str, object]) -> bool:
    """POST an alert until it is taken; False when told to end before that."""
    delay, longest = BACKOFF_SECONDS
    request = urllib.request.Request(  # noqa: S310 - the operator's own address
        webhook, json.dumps(alert).encode(), {"Content-Type": "application/json"}
    )
    while not group.stopping.is_set():
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310
                return True
        except (URLError, OSError) as error:
            sys.stderr.write(f"alerting: the webhook did not take it: {error}; again in {delay:.1f} s\n")
        group.stopping.wait(delay)
        delay = min(longest, delay * 2)
    return False


def main() -> None:
    """Watch until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--redis", default="redis://localhost:6379", help="address of Redis (default: %(default)s)")
    parser.add_argument("--webhook", required=True, help="http(s) address that takes alerts as JSON by POST")
    parser.add_argument("--rate", type=float, default=0.5, help="failure rate that alerts (default: %(default)s)")
    parser.add_argument("--events", type=int, default=20, help="fewest events to judge by (default: %(default)s)")
    parser.add_argument("--window", type=float, default=60.0, help="seconds looked back (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.webhook.startswith(("http://", "https://")):
        parser.error("--webhook: expected http://… or https://…")
    limits = Limits(arguments.rate, arguments.events, int(arguments.window * 1000))
    group = Group(arguments.redis, "alerting")
    watches = Watches(limits)

    def work(entries: list[Entry]) -> None:
        if all(deliver(group, arguments.webhook, alert) for alert in watches.alerts(entries)):
            group.ack(entries)

    group.run(work)


if __name__ == "__main__":
    main()
