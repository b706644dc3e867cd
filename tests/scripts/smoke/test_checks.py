"""What the load check compares: every fault that is put into a good history is found."""

import json
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.errors import InvalidEvent
from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS, decode_event
from payflux.load.attempts import Attempt
from scripts.smoke import checks
from scripts.smoke.checks import Samples
from scripts.smoke.plan import Plan
from scripts.smoke.plan import plan as lay_out

EVENTS = 200
START = 1_767_960_000.0
ZERO = (
    *("consumer_dlq_total", "stream_lost_total", "export_errors_total"),
    *("pending_messages", "consumer_lag_messages"),
)


class History(NamedTuple):
    """All the checker gets."""

    plan: Plan
    attempts: list[Attempt]
    lines: list[bytes]
    metrics: dict[str, float]

    def failed(self) -> set[str]:
        """The names of the checks that fail."""
        before: Samples = samples({"ingest_accepted_total": 7, "stream_lost_total": 3})
        after = samples({name: value + checks.total(before, name) for name, value in self.metrics.items()})
        return {
            finding.name
            for finding in (
                *checks.check_answers(self.plan.expected, self.plan.invalid, self.attempts),
                *checks.check_lines(self.plan.expected, self.attempts, b"".join(self.lines)),
                *checks.check_metrics(self.attempts, before, after, ["file"]),
            )
            if not finding.ok
        }


def samples(metrics: dict[str, float]) -> Samples:
    return checks.samples_of("".join(f"payflux_{name} {value}\n" for name, value in metrics.items()))


def good_history(seed: int = 1, events: int = EVENTS) -> History:
    """What happens at a node without faults; a copy to spoil."""
    plan, attempts, lines, metrics = told(seed, events)
    return History(plan._replace(expected=dict(plan.expected)), list(attempts), list(lines), dict(metrics))


@lru_cache(maxsize=4)
def told(seed: int, events: int) -> History:
    """A good history as the contract tells it."""
    plan = lay_out(seed, START, events)
    attempts: list[Attempt] = []
    lines: dict[str, bytes] = {}
    for number, (_, items) in enumerate(plan.jobs):
        for item in items:
            try:
                event = decode_event(item.body)
            except InvalidEvent as error:
                attempts.append(Attempt(item.event_id, 400, "rejected", error.code, number))
                continue
            attempts.append(
                Attempt(item.event_id, 202, "duplicate" if event.event_id in lines else "accepted", "", number)
            )
            lines.setdefault(event.event_id, line_of(event.data, len(lines) + 1))
    verdicts = Counter(attempt.verdict for attempt in attempts)
    metrics: dict[str, float] = dict.fromkeys(ZERO, 0.0) | {
        "ingest_accepted_total": verdicts["accepted"],
        "ingest_duplicate_total": verdicts["duplicate"],
        'ingest_rejected_total{reason="invalid_event"}': verdicts["rejected"],
        'ingest_rejected_total{reason="rate_limited"}': 0,
        'events_exported_total{destination="file"}': verdicts["accepted"],
        'events_exported_total{destination="stdout"}': 0,
    }
    return History(plan, attempts, list(lines.values()), metrics)


def line_of(data: bytes, seq: int) -> bytes:
    place = {"stream_message_id": f"1767957855596-{seq}", "seq": seq, "schema_version": 1}
    return json.dumps(json.loads(data) | place).encode() + b"\n"


@given(seed=st.integers(0, 2**32), events=st.integers(1, 500))
@settings(max_examples=8, deadline=None)
def test_a_good_history_passes(seed: int, events: int) -> None:
    """The checker finds nothing where nothing is wrong."""
    assert good_history(seed, events).failed() == set()


def changed(history: History, at: int, **members: object) -> None:
    history.lines[at] = json.dumps(json.loads(history.lines[at]) | members).encode() + b"\n"


def swap(history: History) -> None:
    history.lines[20], history.lines[21] = history.lines[21], history.lines[20]


def mark_without_append(history: History) -> None:
    """The node calls a new event a duplicate and forgets it."""
    event_id = json.loads(history.lines.pop(30))["event_id"]
    at = next(i for i, attempt in enumerate(history.attempts) if attempt.event_id == event_id)
    history.attempts[at] = history.attempts[at]._replace(verdict="duplicate")
    history.metrics["ingest_accepted_total"] -= 1
    history.metrics["ingest_duplicate_total"] += 1
    history.metrics['events_exported_total{destination="file"}'] -= 1


def refused_came_out(history: History) -> None:
    refused = next(attempt.event_id for attempt in history.attempts if attempt.verdict == "rejected")
    history.lines.append(line_of(json.dumps({"event_id": refused}).encode(), len(history.lines) + 1))


def doubled_in_upper_case(history: History) -> None:
    line = json.loads(history.lines[10])
    history.lines.append(json.dumps(line | {"event_id": line["event_id"].upper()}).encode() + b"\n")


def first_attempt(history: History, **changes: Any) -> None:
    history.attempts[0] = history.attempts[0]._replace(**changes)


LINE_FAULTS: dict[str, Callable[[History], object]] = {
    "dropped": lambda h: h.lines.pop(30),
    "doubled": lambda h: h.lines.append(h.lines[10]),
    "doubled with a place of its own": lambda h: h.lines.append(line_of(h.lines[10], len(h.lines) + 1)),
    "doubled in upper case": doubled_in_upper_case,
    "swapped": swap,
    "cut": lambda h: h.lines.append(h.lines.pop()[:-1]),
    "torn": lambda h: h.lines.insert(5, h.lines[5][:40] + b"\n"),
    "not an object": lambda h: h.lines.insert(5, b"[]\n"),
    "seq missing": lambda h: changed(h, 9, seq=None),
    "seq as text": lambda h: changed(h, 9, seq="10"),
    "seq twice": lambda h: changed(h, 9, seq=9),
    "place twice": lambda h: changed(h, 9, stream_message_id="1767957855596-9"),
    "place missing": lambda h: changed(h, 9, stream_message_id=""),
    "schema version": lambda h: changed(h, 9, schema_version=2),
    "refused came out": refused_came_out,
    "unknown member stored": lambda h: changed(h, 9, unknown_member="ignored"),
    "mark without append": mark_without_append,
}


@pytest.mark.parametrize("fault", LINE_FAULTS)
def test_a_fault_in_the_lines_is_found(fault: str) -> None:
    """Each way in which lines can be wrong fails the check."""
    history = good_history()
    LINE_FAULTS[fault](history)
    assert history.failed()


@pytest.mark.parametrize("name", [*EVENT_FIELDS[:2], *EVENT_FIELDS[3:], *ADDITIVE_FIELDS])
def test_every_altered_member_is_found(name: str) -> None:
    """A line whose member is another, or of another type, or not sent, differs from what was sent."""
    assert len(EVENT_FIELDS) == 15
    for value in ("altered", None if name in EVENT_FIELDS else 1):
        history = good_history(events=92)
        changed(history, 12, **{name: value})
        assert history.failed() == {"lines that differ from what was sent"}


@pytest.mark.parametrize("name", ["failure_category", "retry_count"])
def test_a_missing_member_is_found(name: str) -> None:
    """All fifteen members must be there, even where they are empty."""
    history = good_history(events=92)
    history.lines[12] = history.lines[12].replace(f'"{name}"'.encode(), b'"x"')
    assert history.failed() == {"lines that differ from what was sent"}


@pytest.mark.parametrize("name", [name for name in good_history(events=1).metrics if "stdout" not in name])
@pytest.mark.parametrize("off", [1, -1])
def test_a_metric_off_by_one_is_found(name: str, off: int) -> None:
    """Every metric that is compared is compared exactly."""
    history = good_history(events=92)
    history.metrics[name] += off
    assert len(history.failed()) == 1


def test_each_enabled_destination_is_compared() -> None:
    """With both destinations enabled, both must have taken every line; with none, nothing is proved."""
    history = good_history(events=92)
    after = samples(history.metrics)
    both = list(checks.check_metrics(history.attempts, {}, after, ["file", "stdout"]))
    assert [finding.name for finding in both if not finding.ok] == ["events_exported_total{stdout}"]
    none = list(checks.check_metrics(history.attempts, {}, after, []))
    assert [finding.name for finding in none if not finding.ok] == ["destinations enabled"]


def test_absent_gauges_are_not_zero() -> None:
    """A node that does not tell its backlog has not proved that it is drained."""
    history = good_history(events=92)
    del history.metrics["pending_messages"], history.metrics["consumer_lag_messages"]
    assert history.failed() == {"pending_messages", "consumer_lag_messages"}


ANSWER_FAULTS: dict[str, Callable[[History], object]] = {
    "valid event rejected": lambda h: first_attempt(h, verdict="rejected", status=400),
    "new event called duplicate": lambda h: first_attempt(h, verdict="duplicate"),
    "accepted twice": lambda h: h.attempts.append(h.attempts[0]),
    "never settled": lambda h: h.attempts.append(Attempt("x", 503, "unknown", "", 0)),
    "a 500": lambda h: h.attempts.insert(0, h.attempts[0]._replace(status=500, verdict="unknown")),
    "invalid event stored": lambda h: h.attempts.append(Attempt("x", 202, "accepted", "", 0)),
    "invalid event not sent": lambda h: h.attempts.remove(next(a for a in h.attempts if a.verdict == "rejected")),
    "valid event not sent": lambda h: h.plan.expected.update(x={}),
}


@pytest.mark.parametrize("fault", ANSWER_FAULTS)
def test_a_fault_in_the_answers_is_found(fault: str) -> None:
    """Each way in which answers can be wrong fails the check of the answers alone."""
    history = good_history()
    ANSWER_FAULTS[fault](history)
    findings = checks.check_answers(history.plan.expected, history.plan.invalid, history.attempts)
    assert [finding.name for finding in findings if not finding.ok]


def test_a_run_in_which_nothing_happened_fails() -> None:
    """Nothing sent, nothing accepted or nothing exported proves nothing."""
    nothing = History(Plan([], {}, 0), [], [], {})
    assert {"valid events stored", "events exported"} <= nothing.failed()


def test_unknown_attempts_widen_what_is_expected() -> None:
    """An event stored by an attempt whose answer was lost may come out, and its count may lie on either side."""
    history = good_history(events=92)
    lost = history.attempts[0]._replace(status=0, verdict="unknown")
    history.attempts[:1] = [lost, history.attempts[0]._replace(verdict="duplicate")]
    history.metrics['ingest_rejected_total{reason="invalid_event"}'] += 1
    assert history.failed() == set()
    history.metrics['ingest_rejected_total{reason="invalid_event"}'] += 1
    assert history.failed() == {"rejected_total for other reasons"}
    del history.lines[0]
    assert "stored events without a line" in history.failed()


def test_lines_of_others_and_log_lines_are_ignored() -> None:
    """Only the events of this run are compared, also in a file that stderr goes to."""
    history = good_history(events=92)
    history.lines.insert(0, line_of(b'{"event_id":"00000000-0000-4000-8000-000000000000"}', 10**6))
    history.lines.insert(9, b'{"level":"info","msg":"x"}\n')
    assert history.failed() == set()


def test_what_is_invalid_is_refused_for_several_reasons() -> None:
    """Among them what a decoder refuses, and what only a rule does."""
    reasons = Counter(attempt.code for attempt in good_history(events=2000).attempts if attempt.verdict == "rejected")
    assert {"pan_detected", "invalid_json"} < reasons.keys()
    assert reasons.total() == 66
