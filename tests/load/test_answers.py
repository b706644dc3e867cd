"""The answers to a load: each is counted once, as what it says."""

import pytest

from payflux.load.answers import Answers


@pytest.mark.parametrize(
    ("status", "body", "counted"),
    [
        (202, b'{"status":"accepted"}', (1, 0, 0, {})),
        (202, b'{"status":"duplicate"}', (0, 1, 0, {})),
        (429, b'{"code":"rate_limited"}', (0, 0, 1, {"rate_limited": 1})),
        (503, b"<html>", (0, 0, 1, {"unreadable_answer": 1})),
    ],
)
def test_a_single_event_is_counted_by_its_answer(
    status: int, body: bytes, counted: tuple[int, int, int, dict[str, int]]
) -> None:
    """Stored now, stored before, or refused with a code; one that cannot be read is told."""
    answers = Answers(1, single=True)
    answers.add(status, body, 0.01)
    report = answers.report(1.0)
    assert (report.accepted, report.duplicates, report.rejected, report.codes) == counted
    assert (report.requests, report.statuses) == (1, {status: 1})


def test_a_batch_is_counted_by_its_sums() -> None:
    """And a refused one by its size."""
    answers = Answers(10, single=False)
    answers.add(200, b'{"accepted":6,"duplicates":3,"rejected":1,"results":[]}', 0.01)
    answers.add(200, b"{}", 0.01)
    answers.add(503, b'{"code":"redis_down"}', 0.01)
    report = answers.report(1.0)
    assert (report.accepted, report.duplicates, report.rejected) == (6, 3, 11)
    assert report.codes == {"unreadable_answer": 1, "redis_down": 1}


def test_what_never_came_is_told() -> None:
    """By number of requests and of connections; an end without an open request takes none with it."""
    answers = Answers(1, single=True)
    answers.lost()
    answers.never_came(0)
    assert answers.report(1.0).codes == {}
    answers.lost()
    answers.never_came(3)
    report = answers.report(1.0)
    assert (report.broken, report.unanswered, report.codes) == (2, 3, {"no_answer": 3})


def test_percentiles_are_milliseconds() -> None:
    """Of the answers, and of the schedule."""
    answers = Answers(1, single=True)
    for number in range(1, 101):
        answers.add(202, b"", number / 1000)
    answers.late.add(0.005)
    report = answers.report(0.0)
    assert report.p50_ms == pytest.approx(50, rel=0.03)
    assert report.max_ms == pytest.approx(100)
    assert report.late_max_ms == pytest.approx(5)
    assert report.seconds > 0
