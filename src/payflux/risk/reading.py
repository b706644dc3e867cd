"""What the detector reads of an event: one way from its members to an observation, live and in a backtest."""

from functools import lru_cache
from typing import NamedTuple

import msgspec

from payflux.event.outcome import MEMO_SIZE, NOTHING_DECLARED, Declared, Kind, outcome_of
from payflux.event.taxonomy import UNKNOWN, Failure, failure_of
from payflux.risk.detectors.detector import Attempt
from payflux.risk.detectors.registry import signs_of
from payflux.risk.observation import Observation, is_small, is_small_amount, observation

SOFT = frozenset({"do_not_honor", "issuer_unavailable"})
"""Categories of failures that issuers give without a lasting reason."""


class Facts(msgspec.Struct, gc=False):
    """The members of an event that the detector reads.

    Attributes:
        amount_minor: 0 when it is not known.
        latency_ms: -1 when it is not known.
    """

    event_type: str
    processor: str
    failure_category: str = ""
    retry_count: int = 0
    geo_bucket: str = ""
    amount_bucket: str = ""
    payment_method_bucket: str = ""
    channel: str = ""
    retry_result: str = ""
    failure_origin: str = ""
    card_network: str = ""
    network_response_code: str = ""
    network_advice_code: str = ""
    currency: str = ""
    amount_minor: int = 0
    latency_ms: int = -1
    issuer_country: str = ""


class _Said(NamedTuple):
    """What events of one kind say; of failures also the category, whether they count, are soft, and all of it."""

    kind: Kind
    category: str
    counts: bool
    soft: bool
    failure: Failure | None


def observed(event: Facts, declared: Declared = NOTHING_DECLARED) -> Observation | None:
    """What the detector sees in an event.

    Whether a failure counts against the processor is decided by the taxonomy (`payflux.event.taxonomy`). Its category
    is the taxonomy's; that of one it does not know is the producer's own word, so that a rise of it has a name.

    Args:
        event: its members.
        declared: outcomes of event types that the operator has declared.

    Returns:
        The observation; None for events that are never scored, tests and canaries.
    """
    said = _said(
        event.event_type,
        event.retry_result,
        event.failure_category,
        event.failure_origin,
        event.network_response_code,
        event.card_network,
        declared,
    )
    if said is None:
        return None
    kind, category, counts, soft, failure = said
    small = kind == "failure" and is_small_payment(event.amount_minor, event.amount_bucket)
    retried = event.retry_count > 0
    signs: tuple[str, ...] = ()
    if failure or retried:
        signs = signs_of(Attempt(failure, event.card_network, event.retry_count, event.network_advice_code))
    values = (event.geo_bucket, event.payment_method_bucket, event.issuer_country, event.channel)
    return observation(kind, category, values, retried, small, counts, soft, signs)


@lru_cache(maxsize=MEMO_SIZE)
def _said(  # noqa: PLR0917 - positional arguments make the cheaper key
    event_type: str,
    retry_result: str,
    failure_category: str,
    failure_origin: str,
    network_response_code: str,
    card_network: str,
    declared: Declared,
) -> _Said | None:
    outcome = outcome_of(event_type, retry_result, failure_category, declared)
    if not outcome.scored:
        return None
    if outcome.kind != "failure":
        return _Said(outcome.kind, "", counts=False, soft=False, failure=None)
    failure = failure_of(failure_category, failure_origin, network_response_code, card_network)
    name, counts = _name_of(failure, failure_category), failure.counts_against_processor
    return _Said("failure", name, counts, _is_soft(failure), failure)


def _name_of(failure: Failure, failure_category: str) -> str:
    return failure.category if failure.category != UNKNOWN else failure_category.strip().lower() or UNKNOWN


def _is_soft(failure: Failure) -> bool:
    """Whether a failure is one that issuers give without a lasting reason."""
    return failure.category in SOFT and not failure.counts_against_processor


def is_small_payment(amount_minor: int, amount_bucket: str) -> bool:
    """Whether a payment is of the smallest kind; its amount says more than the bucket that a producer put it into."""
    return is_small_amount(amount_minor) if amount_minor else is_small(amount_bucket)
