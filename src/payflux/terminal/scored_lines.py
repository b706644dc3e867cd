"""Export lines away from the node: the line a node would write for an entry, and what filters look at in it."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from payflux.consume.line import Enricher
from payflux.event.outcome import NOTHING_DECLARED, OUTCOMES, Declared, Kind, outcome_of
from payflux.redis.entries import FIRST
from payflux.redis.history import StreamHistory
from payflux.risk.assessment import RiskAssessment
from payflux.risk.history import History
from payflux.risk.scoring import RISK_EVIDENCE, RISK_SCORE_ENABLED
from payflux.settings import Values
from payflux.stream.deliveries import Delivery, entry_key
from payflux.telemetry.metrics import Metrics, create_slab

PATIENCE_SECONDS = 1.0
"""How long it is waited for a node that does not get on."""

POLL_SECONDS = 0.02


class Shown(msgspec.Struct, gc=False):
    """The members of a line that people look at; risk is None where scoring is off."""

    event_type: str
    processor: str
    failure_category: str
    retry_count: int
    geo_bucket: str
    payment_method_bucket: str
    retry_result: str
    issuer_country: str = ""
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
_assessment = msgspec.json.Decoder(RiskAssessment).decode


class LineMaker:
    """Makes lines with the code of the node. What it says of risk is what the node said: it scores nothing itself.

    Args:
        consumer: what the lines name as their consumer.
        values: the settings of scoring.
        now: a monotonic clock.
    """

    def __init__(self, consumer: str, values: Values, now: Callable[[], float] = time.monotonic) -> None:
        self.scores = values[RISK_SCORE_ENABLED]
        self._declared, self._now = values[OUTCOMES], now
        self._known = History()
        self._read = FIRST
        self._waited = (FIRST, -PATIENCE_SECONDS)  # for what, and since when
        metrics = Metrics(create_slab([consumer]), consumer)
        score = self._known.score if self.scores else None
        self._enricher = Enricher(consumer, score, metrics, self._declared, evidence=values[RISK_EVIDENCE])

    def line(self, delivery: Delivery) -> ScoredLine:
        """The line of one entry, with what is known of its processor; see `catch_up`.

        Raises:
            InvalidEvent: the entry is not a canonical event.
        """
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
        data = self._enricher.line(delivery, stamp).data
        shown = _decode(data)
        return ScoredLine(data, shown, shown.outcome(self._declared))

    async def catch_up(self, history: StreamHistory, last_id: bytes) -> None:
        """Learn what was said of the entries up to one; to be called before their lines are made.

        It waits a moment for the node to score them. A node that has fallen behind, or that does not run, is waited for
        once, until it gets on: what it said last holds for what it has not read.

        Raises:
            StreamUnavailable: the log of assessments cannot be read.
        """
        if not self.scores:
            return
        if self._read == FIRST:
            self._learn(await history.latest_assessments())
        await self._wait_for(history, last_id)
        if news := await history.assessed(self._read):
            self._read = news[-1][0]
            self._learn([data for _, data in news])

    async def _wait_for(self, history: StreamHistory, last_id: bytes) -> None:
        while entry_key(scored := await history.scored_up_to()) < entry_key(last_id):
            if scored != self._waited[0]:
                self._waited = (scored, self._now())
            if self._now() - self._waited[1] >= PATIENCE_SECONDS:
                return
            await asyncio.sleep(POLL_SECONDS)

    def _learn(self, assessments: Iterable[bytes]) -> None:
        for data in assessments:
            with suppress(msgspec.DecodeError):
                self._known.add(_assessment(data))


@dataclass(frozen=True)
class LineFilter:
    """Which lines are wanted: those that have one of the values named of each kind; any value where none is named."""

    processors: Collection[str] = ()
    outcomes: Collection[str] = ()
    categories: Collection[str] = ()
    bands: Collection[str] = ()
    geos: Collection[str] = ()
    methods: Collection[str] = ()
    issuers: Collection[str] = ()
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
        asked = (
            (self.processors, shown.processor),
            (self.categories, shown.failure_category),
            (self.geos, shown.geo_bucket),
            (self.methods, shown.payment_method_bucket),
            (self.issuers, shown.issuer_country),
        )
        return all(not wanted or value in wanted for wanted, value in asked) and (
            not self.outcomes or shown.outcome(self.declared) in self.outcomes
        )
