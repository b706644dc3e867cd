"""Counts the answers to a load, and says what came of it."""

from collections import Counter

import msgspec

from payflux.client.wire import Sums, problem_of
from payflux.load.latencies import Latencies

_PERCENTILES = {"p50_ms": 50, "p99_ms": 99, "p999_ms": 99.9}


class Report(msgspec.Struct):
    """What came of a load.

    Attributes:
        seconds: from the first request to the last answer that came in time.
        requests: answered ones.
        accepted: events stored now.
        duplicates: events stored before.
        rejected: events refused, with the whole request or in a batch.
        statuses: answers by HTTP status.
        codes: requests that were refused or not answered, by their code.
        broken: connections that failed or ended with a request open.
        unanswered: requests without an answer.
        max_ms: the longest latency.
        late_p99_ms: how late the load itself was, measured against its schedule; 0 without one.
        late_max_ms: the same, at its worst.
    """

    seconds: float
    requests: int
    accepted: int
    duplicates: int
    rejected: int
    statuses: dict[int, int]
    codes: dict[str, int]
    broken: int
    unanswered: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0


_sums = msgspec.json.Decoder(Sums).decode


class Answers:
    """Every answer to a load.

    Args:
        size: events in a request.
        single: a request is one event, not a batch.

    Attributes:
        latencies: of the requests that were answered.
        late: how late requests were sent, by the schedule.
        broken: connections that failed or ended with a request open.
    """

    def __init__(self, size: int, *, single: bool) -> None:
        self._size, self._single = size, single
        self.latencies, self.late = Latencies(), Latencies()
        self._statuses: Counter[int] = Counter()
        self._codes: Counter[str] = Counter()
        self.accepted = self.duplicates = self.rejected = self.broken = 0

    def add(self, status: int, body: bytes, seconds: float) -> None:
        """One request has its answer, after so long."""
        self._statuses[status] += 1
        self.latencies.add(seconds)
        if status == 202 and self._single:
            if body.find(b"duplicate") >= 0:
                self.duplicates += 1
            else:
                self.accepted += 1
        elif status == 200 and not self._single:
            self._add_batch(body)
        else:
            self.rejected += self._size
            self._add_refusal(body)

    def lost(self) -> None:
        """A connection ended."""
        self.broken += 1

    def never_came(self, requests: int) -> None:
        """So many requests will not be answered."""
        if requests:
            self._codes["no_answer"] += requests

    def report(self, seconds: float) -> Report:
        """What came of a load that took so long."""
        percentiles = {name: self.latencies.percentile(of) * 1e3 for name, of in _PERCENTILES.items()}
        return Report(
            seconds=max(seconds, 1e-9),
            requests=self.latencies.count,
            accepted=self.accepted,
            duplicates=self.duplicates,
            rejected=self.rejected,
            statuses=dict(self._statuses),
            codes=dict(self._codes),
            broken=self.broken,
            unanswered=self._codes.get("no_answer", 0),
            max_ms=self.latencies.longest * 1e3,
            late_p99_ms=self.late.percentile(99) * 1e3,
            late_max_ms=self.late.longest * 1e3,
            **percentiles,
        )

    def _add_batch(self, body: bytes) -> None:
        try:
            counts = _sums(body)
        except msgspec.DecodeError:
            self._codes["unreadable_answer"] += 1
            return
        self.accepted += counts.accepted
        self.duplicates += counts.duplicates
        self.rejected += counts.rejected

    def _add_refusal(self, body: bytes) -> None:
        self._codes[problem_of(body).code or "unreadable_answer"] += 1
