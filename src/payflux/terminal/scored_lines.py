"""Export lines away from the node: the line a node would write for an entry, and what filters look at in it."""

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from payflux.consume.line import Enricher
from payflux.errors import InvalidEvent
from payflux.event.outcome import NOTHING_DECLARED, OUTCOMES, Declared, Kind, outcome_of
from payflux.redis.entries import id_after
from payflux.redis.history import PAGE, StreamHistory
from payflux.risk.scorer import RISK_SCORE_ENABLED, RISK_SCORE_THRESHOLDS, RISK_SCORE_WINDOW_SEC, RiskScorer
from payflux.settings import Values
from payflux.stream.deliveries import Delivery, entry_key
from payflux.telemetry.metrics import Metrics, create_slab

WARM_UP_SECONDS = 10
"""More than the window that is scored: windows are kept in buckets, and the oldest must be whole."""


class Shown(msgspec.Struct, gc=False):
    """The members of a line that people look at; risk is None where scoring is off."""

    event_type: str
    processor: str
    failure_category: str
    retry_count: int
    geo_bucket: str
    retry_result: str
    stream_message_id: str = ""
    score: float | None = msgspec.field(name="processor_risk_score", default=None)
    band: str | None = msgspec.field(name="processor_risk_band", default=None)
    drivers: tuple[str, ...] = msgspec.field(name="processor_risk_drivers", default=())

    def outcome(self, declared: Declared) -> Kind:
        """What the event says of the payment, given the outcomes that the operator has declared."""
        return outcome_of(self.event_type, self.retry_result, self.failure_category, declared).kind


class ScoredLine(NamedTuple):
    """A line as a node would write it, with its newline, what it says, and what that means for the payment."""

    data: bytes
    shown: Shown
    outcome: Kind


_decode = msgspec.json.Decoder(Shown).decode


class LineMaker:
    """Scores and makes lines with the code of the node, and a scorer of its own.

    A score depends on the events of the window alone, so after `warm_up` scores and bands are those of a node that ran
    through the window. A node that was started within it, or that fell behind, knew less.

    Args:
        consumer: what the lines name as their consumer.
        values: the settings of scoring.
    """

    def __init__(self, consumer: str, values: Values) -> None:
        self._window_ms = 1000 * (values[RISK_SCORE_WINDOW_SEC] + WARM_UP_SECONDS)
        self.scores = values[RISK_SCORE_ENABLED]
        scorer = RiskScorer(values[RISK_SCORE_WINDOW_SEC], values[RISK_SCORE_THRESHOLDS]) if self.scores else None
        self._declared = values[OUTCOMES]
        metrics = Metrics(create_slab([consumer]), consumer)
        self._enricher = Enricher(consumer, scorer, metrics, self._declared)

    def line(self, delivery: Delivery) -> ScoredLine:
        """The line of one entry; to be called for each in stream order.

        Raises:
            InvalidEvent: the entry is not a canonical event.
        """
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
        data = self._enricher.line(delivery, stamp).data
        shown = _decode(data)
        return ScoredLine(data, shown, shown.outcome(self._declared))

    async def warm_up(self, history: StreamHistory, first: bytes) -> None:
        """Score the window before an entry id, so that what comes from there on is scored as the node scored it.

        Raises:
            StreamUnavailable: the stream cannot be read.
        """
        start = b"%d-0" % max(0, entry_key(first)[0] - self._window_ms)
        while self.scores and entry_key(start) < entry_key(first):
            page = await history.page(start, b"(" + first)
            for delivery in page:
                self._score(delivery)
            if len(page) < PAGE:
                return
            start = id_after(page[-1].id)

    def _score(self, delivery: Delivery) -> None:
        with suppress(InvalidEvent):  # an entry that was never exported was never scored
            self._enricher.line(delivery, b"")


@dataclass(frozen=True)
class LineFilter:
    """Which lines are wanted: those of these processors, outcomes, categories and bands; of any where none is named."""

    processors: Collection[str] = ()
    outcomes: Collection[str] = ()
    categories: Collection[str] = ()
    bands: Collection[str] = ()
    declared: Declared = field(default=NOTHING_DECLARED, kw_only=True)

    def takes(self, shown: Shown) -> bool:
        """Whether a line is wanted."""
        return self._takes_event(shown) and (not self.bands or shown.band in self.bands)

    def may_take(self, delivery: Delivery) -> bool:
        """Whether an entry's line is wanted, its band aside: that is known only once it is scored."""
        try:
            return self._takes_event(_decode(delivery.data or b""))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False

    def _takes_event(self, shown: Shown) -> bool:
        return (
            (not self.processors or shown.processor in self.processors)
            and (not self.outcomes or shown.outcome(self.declared) in self.outcomes)
            and (not self.categories or shown.failure_category in self.categories)
        )
