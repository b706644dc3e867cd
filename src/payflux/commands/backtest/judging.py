"""Warnings beside the truth: what was found, how soon, whether it was named, what was raised for nothing."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import median, quantiles
from typing import NamedTuple

import msgspec

from payflux.risk.episodes import Episode

LATE_SEC = 120
"""An incident that is warned of so long after its end is still found."""

AFTERMATH_SEC = 1800
"""A warning within so long after an incident is no false alarm."""


class Truth(msgspec.Struct):
    """What really happened, as `payflux simulate --labels` writes it, or as people note it.

    Attributes:
        scenario: what it was.
        processor: whom it hit.
        start: when it began.
        end: when it was over.
        driver: the driver a warning should name; empty: any.
        also: drivers that are right as well.
        dimension: that of the driver, where it concerns one value of it.
        value: that value.
        benign: nothing was wrong: a warning is a false alarm.
    """

    scenario: str
    processor: str
    start: datetime
    end: datetime
    driver: str = ""
    also: tuple[str, ...] = ()
    dimension: str = ""
    value: str = ""
    benign: bool = False

    @property
    def began(self) -> float:
        """Unix seconds."""
        return self.start.timestamp()

    @property
    def ended(self) -> float:
        """Unix seconds."""
        return self.end.timestamp()


class Found(NamedTuple):
    """What became of an incident.

    Attributes:
        truth: the incident.
        warning: the first one of it; None when it was missed.
        delay: seconds from its start until then.
        named: the warning names its driver.
        episodes: warnings that began while it was on.
        cleared: seconds from its end until the last of them ended, 0 when that was before; from the end of the last of
            those that overlap, where others do: until then the processor is in trouble.
    """

    truth: Truth
    warning: Episode | None = None
    delay: float = 0.0
    named: bool = False
    episodes: int = 0
    cleared: float | None = None


class Judgement(NamedTuple):
    """All incidents that could be found, and the warnings about nothing.

    Incidents at whose start there was a warning already are left out: what they would have raised cannot be told.
    """

    found: list[Found]
    false: list[Episode]

    @property
    def delays(self) -> list[float]:
        """Seconds, of the incidents that were found."""
        return [one.delay for one in self.found if one.warning is not None]

    @property
    def middle_delay(self) -> float | None:
        """Half of the incidents that were found were found within so many seconds."""
        return median(self.delays) if self.delays else None

    @property
    def late_delay(self) -> float | None:
        """Nine of ten were."""
        delays = self.delays
        return quantiles(delays, n=10, method="inclusive")[-1] if len(delays) > 1 else self.middle_delay


def read_truths(data: bytes) -> list[Truth]:
    """The labels of a file, one JSON object a line.

    Raises:
        ValueError: naming the line and what is wrong with it.
    """
    truths = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                truth = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"line {number}: {error}") from None
            if truth.start.tzinfo is None or truth.end.tzinfo is None:
                raise ValueError(f"line {number}: expected `start` and `end` with an offset, such as Z")
            truths.append(truth)
    return truths


def judged(truths: Iterable[Truth], warnings: Sequence[Episode], until: float) -> Judgement:
    """Compare warnings with what really happened.

    Args:
        truths: incidents and benign events.
        warnings: of the same time and processors, in the order they began.
        until: when the traffic ended, Unix seconds; what began later is left out.
    """
    bad = [one for one in truths if not one.benign and one.began < until]
    false = [one for one in warnings if not any(_excuses(truth, one) for truth in bad)]
    return Judgement([_found(one, warnings, _over(one, bad)) for one in bad if not _was_on(one, warnings)], false)


def _excuses(truth: Truth, warning: Episode) -> bool:
    within = truth.began <= warning.opened_at <= truth.ended + AFTERMATH_SEC
    return truth.processor == warning.processor and within


def _over(truth: Truth, bad: Iterable[Truth]) -> float:
    """When it is over, and what others there are that begin before."""
    over = truth.ended
    for other in sorted((one for one in bad if one.processor == truth.processor), key=lambda one: one.began):
        if truth.began <= other.began <= over:
            over = max(over, other.ended)
    return over


def _was_on(truth: Truth, warnings: Sequence[Episode]) -> bool:
    """Whether there was a warning already when it began."""
    return any(
        one.opened_at < truth.began and (one.resolved_at is None or one.resolved_at > truth.began)
        for one in warnings
        if one.processor == truth.processor
    )


def _found(truth: Truth, warnings: Sequence[Episode], over: float) -> Found:
    own = [one for one in warnings if one.processor == truth.processor]
    during = [one for one in own if truth.began <= one.opened_at <= truth.ended + LATE_SEC]
    if not during:
        return Found(truth)
    first, last = during[0], during[-1]
    cleared = None if last.resolved_at is None else max(last.resolved_at - over, 0.0)
    return Found(truth, first, first.opened_at - truth.began, names(first, truth), len(during), cleared)


def names(warning: Episode, truth: Truth) -> bool:
    """Whether a warning names the driver of an incident, in the right place, or one that is right as well."""
    if not truth.driver:
        return True
    in_place = not truth.dimension or (warning.dimension, warning.value) == (truth.dimension, truth.value)
    return (warning.driver == truth.driver and in_place) or warning.driver in truth.also


_decode = msgspec.json.Decoder(Truth).decode
