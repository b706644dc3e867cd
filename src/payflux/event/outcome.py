"""What an event says about the outcome of a payment: the one reading that scoring, metrics and `tail` share."""

import re
from functools import lru_cache
from typing import Literal, get_args

import msgspec

from payflux.event.words import readings
from payflux.settings import Setting

Kind = Literal["success", "failure", "neutral"]
Declared = frozenset[tuple[str, Kind]]
"""Outcomes of event types that the operator has declared: the whole type in lower case, and what it means."""

MEMO_SIZE = 4096
"""Outcomes remembered: real traffic repeats a few dozen combinations, and invented ones must not fill the memory."""

SUCCESS_RESULTS = frozenset(["succeeded", "success", "successful", "approved", "paid"])
FAILURE_RESULTS = frozenset(["failed", "failure", "declined", "denied", "refused", "rejected", "error", "timeout"])
FAILURE_WORDS = (
    *("fail", "failed", "failure", "decline", "declined", "deny", "denied", "refuse", "refused", "refusal", "reject"),
    *("rejected", "error", "timeout", "timed out", "blocked", "unsuccessful", "unauthorized", "unauthorised"),
    *("unpaid", "uncaptured", "disapproved"),
)
OPEN_WORDS = (
    *("pending", "processing", "created", "requested", "initiated", "started", "submitted", "scheduled", "queued"),
    *("awaiting", "requires", "required", "yet", "approval", "authorizing", "authorising", "capturing", "settling"),
    *("reversed", "reversal", "refunded", "refund", "refunds", "returned", "voided", "void", "cancelled", "canceled"),
    *("cancel", "cancellation", "cancelation", "expired", "expire", "expiry", "expiration"),
    *("chargeback", "chargebacks", "charge back", "charged back", "dispute", "disputes", "disputed"),
)
"""Words that leave a payment open or take it back."""
SUCCESS_WORDS = (
    *("succeeded", "success", "successful", "approved", "authorized", "authorised", "captured", "settled", "paid"),
    "completed",
)
TIMEOUT_WORDS = ("timeout", "timed out")
UNSCORED_TYPES = ("test", "canary")

_NOT_SUCCESS = tuple(f"not {word}" for word in SUCCESS_WORDS)
# `auth` begins many a word for authentication; that it also begins words for authorization is why those are excluded.
_AUTHENTICATION = re.compile(r" (?:auth(?!ori)|3ds|three ?ds|sca )")


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What one event says.

    Attributes:
        kind: `success`, `failure`, or `neutral` when the event says neither; a neutral event counts as traffic only.
        timeout: it is a failure, and the failure is a timeout.
        auth: it is a failure, and the failure is one of authentication.
        scored: it takes part in scoring; a `test` or `canary` event does not.
        classified: a rule matched; where none does, the event is neutral because nobody knows what it means.
    """

    kind: Kind
    timeout: bool = False
    auth: bool = False
    scored: bool = True
    classified: bool = True


def _declared(text: str) -> Declared:
    wanted = "event types and their outcomes, success, failure or neutral, such as payment_denied=failure,done=success"
    found: dict[str, Kind] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, _, outcome = (part.strip().lower() for part in pair.partition("="))
        kind = next((kind for kind in get_args(Kind) if kind == outcome), None)
        if not name or kind is None or found.setdefault(name, kind) != kind:
            raise ValueError(wanted)
    return frozenset(found.items())


OUTCOMES = Setting(
    "PAYFLUX_OUTCOMES",
    _declared,
    "",
    "Outcomes of event types of your own, such as `payment_denied=failure,order.done=success`; whole types, in any "
    "letter case. They come before all rules but that of `retry_result`.",
)
NOTHING_DECLARED: Declared = frozenset()


@lru_cache(maxsize=MEMO_SIZE)
def outcome_of(
    event_type: str, retry_result: str, failure_category: str, declared: Declared = NOTHING_DECLARED
) -> Outcome:
    """Read an event's outcome; the letter case of all three members is ignored.

    The first rule that matches decides: the whole `retry_result`; what the operator declared about the whole
    `event_type`; a word of failure in `event_type`; a word that leaves the payment open or takes it back; a word of
    success; else neutral. So `capture_failed` is a failure although a capture is a success.

    Words are compared whole. They are split at everything that is no letter or digit and, once more, at camel case, so
    that `TimeOut` is a timeout and `unPaid` is not paid.

    Args:
        event_type: such as `payment_failed`.
        retry_result: how the last attempt ended; may be empty.
        failure_category: why it failed; may be empty, and means nothing unless the event is a failure.
        declared: the value of `PAYFLUX_OUTCOMES`.

    Returns:
        The outcome; the same object for the same arguments while it is remembered.
    """
    kind = _by_result(retry_result) or dict(declared).get(event_type.strip().lower()) or _by_words(event_type)
    failed = kind == "failure"
    return Outcome(
        kind or "neutral",
        timeout=failed and _holds(failure_category, TIMEOUT_WORDS),
        auth=failed and any(_AUTHENTICATION.match(reading) for reading in readings(failure_category)),
        scored=event_type.lower() not in UNSCORED_TYPES,
        classified=kind is not None,
    )


def _by_result(retry_result: str) -> Kind | None:
    result = retry_result.strip().lower()
    if result in SUCCESS_RESULTS:
        return "success"
    return "failure" if result in FAILURE_RESULTS else None


def _by_words(event_type: str) -> Kind | None:
    if _holds(event_type, FAILURE_WORDS) or _holds(event_type, _NOT_SUCCESS):
        return "failure"
    if _holds(event_type, OPEN_WORDS):
        return "neutral"
    return "success" if _holds(event_type, SUCCESS_WORDS) else None


def _holds(text: str, words: tuple[str, ...]) -> bool:
    return any(f" {word} " in reading for reading in readings(text) for word in words)
