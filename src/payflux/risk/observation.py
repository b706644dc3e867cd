"""What the detector needs to know of one event: made once for each combination, and remembered."""

import re
from functools import lru_cache
from typing import Final

import msgspec

from payflux.risk.tally import tally

MEMO_SIZE = 8192
"""Combinations remembered: real traffic repeats some hundreds, and invented ones must not fill the memory."""

OTHER_VALUE: Final = "other"
"""The value that stands for those for which there is no room."""

DIMENSIONS = ("geo", "method", "issuer", "channel")
"""By what traffic is told apart; `Observation.values` holds one value each."""

Values = tuple[str, str, str, str]
"""A geography, method, issuer country and channel; empty where they are not known."""

_UNATTENDED = re.compile(r"recurring|subscription|batch|billing|scheduled|mit\b", re.IGNORECASE)
_SMALLEST = re.compile(r"^(?:[01](?:\.0+)?\b|<|lt|less|under|below|up_?to|micro|tiny|small|low)", re.IGNORECASE)
_SMALL_MINOR = 500


class Observation(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One combination of what events say.

    Two of the same content are equal to the detector; they compare and hash by identity, as that is faster.

    Attributes:
        attempt: the event says success or failure; else it counts as traffic only.
        failed: it says failure.
        counts: the failure counts against the processor.
        soft: the failure is one that issuers give without a lasting reason (do not honour, unavailable): when such rise
            at most issuers at once, the cause is not the issuers.
        category: the failure's category; empty when it is none.
        values: geography, method, issuer country and channel; empty strings where they are not known.
        retried: it is not the first attempt.
        small: its amount is of the smallest kind.
        attended: a customer or clerk waits for the outcome, so that a retry is an act of impatience and no schedule.
        signs: names of the signs it shows; see `payflux.risk.detectors`.
        answered: somebody answered; how long a timeout took says only how long one waited.
        tally: the event as a tally.
    """

    attempt: bool
    failed: bool
    counts: bool
    soft: bool
    category: str
    values: Values
    retried: bool
    small: bool
    attended: bool
    signs: tuple[str, ...]
    answered: bool
    tally: int


@lru_cache(maxsize=MEMO_SIZE)
def observation(  # noqa: PLR0917 - as below
    kind: str,
    category: str = "",
    values: Values = ("", "", "", ""),
    retried: bool = False,  # noqa: FBT001, FBT002 - positional arguments make the cheaper key
    small: bool = False,  # noqa: FBT001, FBT002
    counts: bool = True,  # noqa: FBT001, FBT002
    soft: bool = False,  # noqa: FBT001, FBT002
    signs: tuple[str, ...] = (),
) -> Observation:
    """Make an observation, or find the one made before.

    Args:
        kind: `success`, `failure` or `neutral`.
        category: of the failure; ignored when it is none.
        values: geography, method, issuer country, channel.
        retried: whether `retry_count` is above 0.
        small: whether the amount is of the smallest kind; see `is_small`.
        counts: whether the failure counts against the processor; ignored when it is none.
        soft: whether it is a soft decline; ignored when it counts against the processor, or is no failure.
        signs: the signs it shows.
    """
    failed = kind == "failure"
    attempt = failed or kind == "success"
    counts = failed and counts
    return Observation(
        attempt=attempt,
        failed=failed,
        counts=counts,
        soft=failed and soft and not counts,
        category=category if failed else "",
        values=values,
        retried=retried,
        small=failed and small,
        attended=is_attended(values[3]),
        signs=signs,
        answered=not (failed and is_timeout(category.lower())),
        tally=tally(attempt, counts, failed and not counts, 1),
    )


@lru_cache(maxsize=MEMO_SIZE)
def is_attended(channel: str) -> bool:
    """Whether somebody waits for the outcome of a channel's payments: its name does not say they are scheduled."""
    return not _UNATTENDED.search(channel)


@lru_cache(maxsize=MEMO_SIZE)
def is_small(amount_bucket: str) -> bool:
    """Whether an amount bucket is the smallest of its kind: it begins at 0 or 1, or says so in words.

    Args:
        amount_bucket: as producers name it, such as `0-10`, `<10` or `small`; may be empty.
    """
    return bool(_SMALLEST.match(amount_bucket))


def is_small_amount(amount_minor: int) -> bool:
    """Whether an amount in minor units is of the size that card testers use: at most 5.00."""
    return amount_minor <= _SMALL_MINOR


def latency_class(latency_ms: int) -> int:
    """The class of a latency: four to each doubling, so that neighbours differ by a fifth.

    Args:
        latency_ms: milliseconds, 0 or more.

    Returns:
        0 for less than 4 ms, and more for more; 127 at most.
    """
    if latency_ms < 4:
        return 0
    bits = latency_ms.bit_length()
    return min(4 * (bits - 3) + (latency_ms >> bits - 3 & 3) + 1, 127)


def is_timeout(category: str) -> bool:
    """Whether a category is a timeout."""
    return "timeout" in category or "timed_out" in category or "timed out" in category
