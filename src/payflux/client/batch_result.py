"""What a node's answer says of the batch it was sent: what it does not say clearly must be sent again."""

from typing import NamedTuple

import msgspec

from payflux.client.wire import Answer, Report, problem_of

UNSUITABLE = (400, 413, 415, 422)
"""Answers to a batch as a whole that sending the same batch again would only repeat."""

PASSING = (408, 429, 504)
"""Answers that are about the moment and never about what was sent, whoever gives them."""

LASTING = 5
"""How often an answer that may be of the moment has to come before what was sent is suspected."""


class Refusal(NamedTuple):
    """Why the event at this place of the batch can never be stored; `messages` name its bad members."""

    place: int
    code: str
    messages: tuple[str, ...]


class BatchResult(NamedTuple):
    """What an answer says of a batch.

    Attributes:
        accepted: events newly stored.
        duplicate: events that were stored before.
        refused: events that can never be stored.
        unsettled: places of events that must be sent again.
        why: why so; empty when none must.
        wait: seconds the node asks us to wait before that.
        split: the batch as a whole does not suit: send smaller ones.
        suspect_after: how often this has to be the answer, while others pass, before something in the batch is the
            reason for it; 0: it never is.
        code: the reason an event gets that is refused so.
    """

    accepted: int = 0
    duplicate: int = 0
    refused: tuple[Refusal, ...] = ()
    unsettled: tuple[int, ...] = ()
    why: str = ""
    wait: float = 0.0
    split: bool = False
    suspect_after: int = 0
    code: str = ""


_report = msgspec.json.Decoder(Report).decode


def read_answer(answer: Answer, events: int) -> BatchResult:
    """What an answer says of a batch of so many events; what it does not say clearly is unsettled."""
    if answer.status == 200:
        return _read_report(answer, events)
    problem = problem_of(answer.body)
    code = problem.code or ("http_413" if answer.status == 413 else "")  # a proxy's limit has no code
    if answer.status in UNSUITABLE and code:
        return blamed(events, code, problem.detail)
    return unsettled(
        events,
        f"HTTP {answer.status} {code}".rstrip(),
        answer.retry_after,
        suspect_after=_suspect_after(answer.status, code),
        code=code or f"http_{answer.status}",
    )


def unsettled(events: int, why: str, wait: float = 0.0, *, suspect_after: int = 0, code: str = "") -> BatchResult:
    """Nothing is known of a batch: all of it must be sent again."""
    return BatchResult(unsettled=tuple(range(events)), why=why, wait=wait, suspect_after=suspect_after, code=code)


def blamed(events: int, code: str, detail: str) -> BatchResult:
    """A batch can never be stored as it is: one event is refused for good, of several each may be the reason."""
    if events == 1:
        return BatchResult(refused=(Refusal(0, code, (detail,)),))
    return BatchResult(unsettled=tuple(range(events)), why=code, split=True)


def _suspect_after(status: int, code: str) -> int:
    """A node says 503 and 401 with a code, and means what it says; what comes from elsewhere may mean anything."""
    if status in PASSING or (code and status in (401, 503)):
        return 0
    return 1 if 300 <= status < 500 else LASTING


def _read_report(answer: Answer, events: int) -> BatchResult:
    try:
        report = _report(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return unsettled(events, "not a node's answer", suspect_after=LASTING, code="http_200")
    rejected = [result for result in report.results if result.status == "rejected"]
    places = {result.index for result in rejected if 0 <= result.index < events}
    counts = (report.accepted, report.duplicates, report.rejected)
    if min(counts) < 0 or sum(counts) != events or not len(places) == len(rejected) == report.rejected:
        return unsettled(events, "an answer that contradicts itself", suspect_after=LASTING, code="http_200")
    refused = tuple(
        Refusal(result.index, result.code, tuple(field.message for field in result.errors))
        for result in rejected
        if result.confirmed
    )
    again = sorted(result.index for result in rejected if not result.confirmed)
    why = next((result.code for result in rejected if not result.confirmed), "")
    return BatchResult(report.accepted, report.duplicates, refused, tuple(again), why, answer.retry_after)
