"""What an answer of a node says of each event that was sent to it."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

import msgspec

from payflux.client.wire import Answer, Report, problem_of
from payflux.load.node_connection import AnswerError

Verdict = Literal["accepted", "duplicate", "stored", "rejected", "unknown"]
T = TypeVar("T")

REFUSED = (400, 408, 413, 415, 429)
"""Answers after which nothing of the request is stored."""

UNSETTLED = (0, 408, 429)
"""Answers, besides every 5xx, after which the same events are to be sent again; 0 is no answer at all."""


class Item(NamedTuple):
    """An event to send: the id the record is kept under, and its JSON as it goes over the wire."""

    event_id: str
    body: bytes


class Attempt(NamedTuple):
    """What became of one event in one request.

    Attributes:
        event_id: that of the item.
        status: the HTTP status of the whole request; 0 when no answer came.
        verdict: `accepted`, `duplicate`, `stored` (a 202 that does not say which of the two), `rejected` (surely not
            stored), or `unknown` (perhaps stored).
        code: the machine-readable reason when it was rejected, or when a node says why it is unknown; else empty.
        request: the number of the request; the events of one batch share it.
    """

    event_id: str
    status: int
    verdict: Verdict
    code: str
    request: int

    @property
    def settled(self) -> bool:
        """Whether sending the event again is pointless."""
        return self.status not in UNSETTLED and self.verdict != "unknown"


class _Single(msgspec.Struct):
    status: Literal["accepted", "duplicate", "stored"] = "stored"


def verdicts_of(answer: Answer, events: int, *, single: bool) -> Sequence[tuple[Verdict, str]]:
    """Each event's verdict and code.

    Args:
        answer: to the request they were in.
        events: how many there were.
        single: it was sent as an event of its own, not as a batch.

    Raises:
        AnswerError: the answer is none that the interface has, 401 included.
    """
    if answer.status == 202 and single:
        return [(_decode(answer, _Single).status if answer.body else "stored", "")]
    if answer.status == 200 and not single:
        return _read_batch(_decode(answer, Report), events)
    code = problem_of(answer.body).code
    if answer.status in REFUSED:
        if not code:
            raise AnswerError(answer.status, "the body does not say why")
        return [("rejected", code)] * events
    if answer.status == 0 or answer.status >= 500:
        return [("unknown", code)] * events
    if answer.status == 401:
        raise AnswerError(401, "the node does not accept this key")
    raise AnswerError(answer.status, "not a PayFlux node's answer to an event")


def _read_batch(batch: Report, events: int) -> list[tuple[Verdict, str]]:
    if [result.index for result in batch.results] != list(range(events)):
        raise AnswerError(200, f"the batch of {events} has not one result for each event in order")
    said = Counter(result.status for result in batch.results)
    if (said["accepted"], said["duplicate"], said["rejected"]) != (batch.accepted, batch.duplicates, batch.rejected):
        raise AnswerError(200, "the batch's sums differ from its results")
    return [(result.status if result.confirmed else "unknown", result.code) for result in batch.results]


def _decode(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise AnswerError(answer.status, f"the body is not what the interface says: {error}") from None
