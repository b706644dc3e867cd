"""The detectors there are; each shares the weight of all."""

from functools import lru_cache

from payflux.risk.detectors.detector import Attempt, Detector
from payflux.risk.detectors.network_retries import NETWORK_RETRY_LIMIT_NEAR, NETWORK_RETRY_VIOLATION
from payflux.risk.evidence.streams import SIGNS_WEIGHT, Kind
from payflux.risk.observation import MEMO_SIZE

DETECTORS: tuple[Detector, ...] = (NETWORK_RETRY_LIMIT_NEAR, NETWORK_RETRY_VIOLATION)
"""All of them."""

KINDS = {
    one.name: Kind(one.driver, SIGNS_WEIGHT / len(DETECTORS), raises=False, gate="notice", slack=2.0)
    for one in DETECTORS
}
"""What each has its charts for, by the name of its sign. Rare signs are learned from few: only a manifold is news."""


@lru_cache(maxsize=MEMO_SIZE)
def signs_of(attempt: Attempt) -> tuple[str, ...]:
    """The names of the signs that an attempt shows, in the order of the detectors."""
    return tuple(one.name for one in DETECTORS if one.shows(attempt))
