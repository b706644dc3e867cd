"""What an event says about the outcome of a payment: the one reading that scoring and metrics share."""

from functools import lru_cache
from typing import Literal

import msgspec

Kind = Literal["success", "failure", "neutral"]

MEMO_SIZE = 4096
"""Outcomes remembered: real traffic repeats a few dozen combinations, and invented ones must not fill the memory."""

SUCCESS_RESULTS = ("succeeded", "success", "approved")
FAILURE_RESULTS = ("failed", "declined")
FAILURE_WORDS = ("fail", "declin", "refus", "reject", "error", "timeout")
SUCCESS_WORDS = ("succe", "approv", "authorized", "captured", "settled")
TIMEOUT_WORDS = ("timeout", "timed_out")
AUTHENTICATION_STARTS = ("auth", "3ds", "three_ds", "sca")
UNSCORED_TYPES = ("test", "canary")


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What one event says.

    Attributes:
        kind: `success`, `failure`, or `neutral` when the event says neither; a neutral event counts as traffic only.
        timeout: it is a failure, and the failure is a timeout.
        auth: it is a failure, and the failure is one of authentication.
        scored: it takes part in scoring; a `test` or `canary` event does not.
    """

    kind: Kind
    timeout: bool = False
    auth: bool = False
    scored: bool = True


@lru_cache(maxsize=MEMO_SIZE)
def outcome_of(event_type: str, retry_result: str, failure_category: str) -> Outcome:
    """Read an event's outcome; the letter case of all three members is ignored.

    The first rule that matches decides: `retry_result` says success; `event_type` or `retry_result` says failure;
    `event_type` says success; else neutral. So `capture_failed` is a failure although a capture is a success.

    Args:
        event_type: such as `payment_failed`.
        retry_result: how the last attempt ended; may be empty.
        failure_category: why it failed; may be empty, and means nothing unless the event is a failure.

    Returns:
        The outcome; the same object for the same arguments while it is remembered.
    """
    category = failure_category.lower()
    kind = _kind(event_type.lower(), retry_result.lower())
    failed = kind == "failure"
    return Outcome(
        kind,
        timeout=failed and _contains(category, TIMEOUT_WORDS),
        auth=failed and category.startswith(AUTHENTICATION_STARTS) and not category.startswith("authorization"),
        scored=event_type.lower() not in UNSCORED_TYPES,
    )


def _kind(event_type: str, retry_result: str) -> Kind:
    if retry_result in SUCCESS_RESULTS:
        return "success"
    if retry_result in FAILURE_RESULTS or _contains(event_type, FAILURE_WORDS):
        return "failure"
    if event_type.endswith("paid") or _contains(event_type, SUCCESS_WORDS):
        return "success"
    return "neutral"


def _contains(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)
