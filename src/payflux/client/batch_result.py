"""What a node's answer says of the batch it was sent: what it does not say clearly must be sent again."""

from typing import Literal, NamedTuple

import msgspec

from payflux.client.connection import Answer

UNSUITABLE = (400, 413, 415, 422)
"""Answers to a batch as a whole that sending the same batch again would only repeat."""

UNCONFIRMED_CODES = ("unavailable", "overloaded", "redis_")
"""How the code of an item begins that was not refused for what it is: the buffer did not confirm it."""


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
    """

    accepted: int = 0
    duplicate: int = 0
    refused: tuple[Refusal, ...] = ()
    unsettled: tuple[int, ...] = ()
    why: str = ""
    wait: float = 0.0
    split: bool = False


class _Field(msgspec.Struct):
    message: str = ""


class _Result(msgspec.Struct):
    index: int
    status: Literal["accepted", "duplicate", "rejected"]
    code: str = ""
    errors: tuple[_Field, ...] = ()

    @property
    def confirmed(self) -> bool:
        """Whether it was refused for what it is."""
        return not self.code.startswith(UNCONFIRMED_CODES)


class _Report(msgspec.Struct):
    accepted: int
    duplicates: int
    rejected: int
    results: tuple[_Result, ...]


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""


_report = msgspec.json.Decoder(_Report).decode
_problem = msgspec.json.Decoder(_Problem).decode


def read_answer(answer: Answer, events: int) -> BatchResult:
    """What an answer says of a batch of so many events; what it does not say clearly is unsettled."""
    if answer.status == 200:
        return _read_report(answer, events)
    problem = _problem_of(answer)
    code = problem.code or ("http_413" if answer.status == 413 else "")  # a proxy's limit has no code
    if answer.status in UNSUITABLE and code:
        if events == 1:
            return BatchResult(refused=(Refusal(0, code, (problem.detail,)),))
        return BatchResult(unsettled=tuple(range(events)), why=code, split=True)
    return unsettled(events, f"HTTP {answer.status} {code}".rstrip(), answer.retry_after)


def unsettled(events: int, why: str, wait: float = 0.0) -> BatchResult:
    """Nothing is known of a batch: all of it must be sent again."""
    return BatchResult(unsettled=tuple(range(events)), why=why, wait=wait)


def _read_report(answer: Answer, events: int) -> BatchResult:
    try:
        report = _report(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return unsettled(events, "not a node's answer")
    rejected = [result for result in report.results if result.status == "rejected"]
    places = {result.index for result in rejected if 0 <= result.index < events}
    counts = (report.accepted, report.duplicates, report.rejected)
    if min(counts) < 0 or sum(counts) != events or not len(places) == len(rejected) == report.rejected:
        return unsettled(events, "an answer that contradicts itself")
    refused = tuple(
        Refusal(result.index, result.code, tuple(field.message for field in result.errors))
        for result in rejected
        if result.confirmed
    )
    again = sorted(result.index for result in rejected if not result.confirmed)
    why = next((result.code for result in rejected if not result.confirmed), "")
    return BatchResult(report.accepted, report.duplicates, refused, tuple(again), why, answer.retry_after)


def _problem_of(answer: Answer) -> _Problem:
    try:
        return _problem(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Problem()
