"""Retries that card networks fine: more of them than a network allows, and those of what was declined for good.

Networks count by card, merchant and amount, which no event tells; `retry_count` counts the attempts of one payment, so
what is found here is the least that a network finds. That a retry is answered with "never again" also happens to those
who do as they are told, now and then: the first answer was another one. So it is the rise of such answers that tells.
"""

from datetime import date
from typing import NamedTuple

from payflux.event.taxonomy import NETWORKS
from payflux.risk.detectors.detector import Attempt, Detector


class Limit(NamedTuple):
    """How often a network lets one payment be tried again.

    Attributes:
        most: retries.
        days: within so many days.
        since: when the rule came into force.
        source: where it is published; the networks' own rule books are not public.
    """

    most: int
    days: int
    since: date
    source: str


LIMITS = {
    "visa": Limit(20, 30, date(2025, 5, 25), "Cielo, New limit for Visa retries; TabaPay, Network Fees, 12/27/24"),
    "mastercard": Limit(35, 30, date(2022, 10, 1), "TabaPay, Network Fees: Transaction Processing Excellence"),
}
"""By network, as the taxonomy names it; of others none is known. Until May 2025 Visa allowed 15."""

NEVER_AGAIN = frozenset({"03", "21"})
"""Mastercard's merchant advice codes after which any retry within 30 days costs a fee (TabaPay, retries.com)."""

NEAR = 0.8
"""The part of a limit from which on it is near."""


def is_near(attempt: Attempt) -> bool:
    """Whether the next attempts cross a limit of the network."""
    limit = _limit(attempt)
    return limit is not None and NEAR * limit.most <= attempt.retry_count <= limit.most


def is_forbidden(attempt: Attempt) -> bool:
    """Whether a retry was one too many, or is answered with "never again"."""
    limit = _limit(attempt)
    if limit is not None and attempt.retry_count > limit.most:
        return True
    if not attempt.retry_count or attempt.failure is None:
        return False
    return attempt.failure.retry == "never" or attempt.advice_code in NEVER_AGAIN


def _limit(attempt: Attempt) -> Limit | None:
    return LIMITS.get(NETWORKS.get(attempt.card_network.strip().lower(), ""))


NETWORK_RETRY_LIMIT_NEAR = Detector(
    driver="network_retry_limit_near",
    name="retries_near_limit",
    meaning="More attempts than usual are retries close to a card network's limit.",
    observed="attempts are retries close to the network's limit",
    goes_with=("retry_pressure_spike", "network_retry_violation"),
    shows=is_near,
)

NETWORK_RETRY_VIOLATION = Detector(
    driver="network_retry_violation",
    name="forbidden_retries",
    meaning="More attempts than usual are retries that card networks fine: too many, or of what was declined for good.",
    observed="attempts are retries that networks fine",
    goes_with=("retry_pressure_spike", "network_retry_limit_near"),
    shows=is_forbidden,
)
