"""What a detector is: a sign that attempts may show, of which a rise is worth knowing."""

from collections.abc import Callable
from typing import NamedTuple

from payflux.event.taxonomy import Failure


class Attempt(NamedTuple):
    """What a detector sees of an attempt that failed or was a retry.

    Attributes:
        failure: why it failed; None when it succeeded, or says nothing of success.
        card_network: as the producer names it; may be empty.
        retry_count: 0 for a first attempt.
        advice_code: what the network advises, such as Mastercard's `03`; may be empty.
    """

    failure: Failure | None
    card_network: str
    retry_count: int
    advice_code: str = ""


class Detector(NamedTuple):
    """One sign, and what its rise means.

    Its charts compare the share of attempts that show it with the usual one of the same channel. Its driver is at most
    `elevated`, opens an incident when none is open that it goes with, and never raises the processor's score.

    Attributes:
        driver: the name of its driver.
        name: what attempts that show the sign are called, such as `retries`; its driver's `value`.
        meaning: of the driver, a sentence.
        observed: what so many of hundred attempts are or do; `12% of … (3% expected)`.
        goes_with: drivers in whose incident it stands, and they in its; besides those of failures and declines.
        shows: whether an attempt shows it; the same answer for the same attempt, as answers are remembered.
    """

    driver: str
    name: str
    meaning: str
    observed: str
    goes_with: tuple[str, ...]
    shows: Callable[[Attempt], bool]
