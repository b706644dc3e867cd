"""From a delivery to its line: read what is needed, score it, splice the enrichment into the stored bytes."""

from typing import NamedTuple

import msgspec

from payflux.errors import InvalidEvent
from payflux.metrics import (
    BANDS,
    BY_OUTCOME,
    FAILURES,
    OUTCOMES,
    RETRIES,
    RISK_EVENTS,
    RISK_SCORE,
    Metrics,
)
from payflux.risk import Assessment
from payflux.risk.outcome import outcome_of
from payflux.risk.scorer import RiskScorer
from payflux.stream import Delivery


class Scorable(msgspec.Struct, gc=False):
    """The members of a stored event that scoring and metrics need; canonical JSON always has them all."""

    event_id: str
    event_type: str
    processor: str
    failure_category: str
    retry_count: int
    geo_bucket: str
    retry_result: str
    failure_origin: str


class Line(NamedTuple):
    """A finished line, and the slots of the metrics it counts in."""

    data: bytes
    slots: tuple[int, ...]


_decode = msgspec.json.Decoder(Scorable).decode
_BAND_INDEX = {band: index for index, band in enumerate(BANDS)}
_OUTCOME_INDEX = {outcome: index for index, outcome in enumerate(OUTCOMES)}
_SNIPPETS = 10_000


class Enricher:
    """Makes lines. The same deliveries in the same order make the same lines, `processed_at` aside.

    Args:
        consumer: name of the consumer, as it stands in the lines.
        scorer: scores processors; None when scoring is off.
        metrics: where names get their numbers and scores are shown.
    """

    def __init__(self, consumer: str, scorer: RiskScorer | None, metrics: Metrics) -> None:
        self._name = msgspec.json.encode(consumer)
        self._scorer = scorer
        self._metrics = metrics
        self._snippets: dict[Assessment, bytes] = {}
        self._latest: dict[str, float] = {}
        self._outcome_base = metrics.slot(BY_OUTCOME, 0, OUTCOMES[0])
        self._band_base = metrics.slot(RISK_EVENTS, 0, BANDS[0])
        self._retry_base = metrics.slot(RETRIES, 0)

    def line(self, delivery: Delivery, processed_at: bytes) -> Line:
        """Score one delivery and build its line; to be called once for each entry, in stream order.

        Args:
            delivery: an entry of the stream.
            processed_at: the time in RFC 3339.

        Raises:
            InvalidEvent: the entry is not a canonical event.
        """
        data = delivery.data
        if data is None or not delivery.seq:
            raise InvalidEvent("missing_data", ())
        try:
            event = _decode(data)
        except msgspec.ValidationError:
            raise InvalidEvent("invalid_event", ()) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InvalidEvent("invalid_json", ()) from None
        if data[-1] != 0x7D or b"\n" in data:  # another's JSON, which would break the line
            raise InvalidEvent("invalid_event", ())
        risk, slots = self._score(delivery.at_ms, event)
        line = (
            b'%b,"stream_message_id":"%b","consumer_name":%b,"processed_at":"%b"%b,"seq":%d,"schema_version":1}\n'
            % (
                data[:-1],
                delivery.id,
                self._name,
                processed_at,
                risk,
                delivery.seq,
            )
        )
        return Line(line, slots)

    def _score(self, at_ms: int, event: Scorable) -> tuple[bytes, tuple[int, ...]]:
        outcome = outcome_of(event.event_type, event.retry_result, event.failure_category)
        risk = b""
        number = self._metrics.processors.index(event.processor)
        slots: tuple[int, ...] = ()
        if outcome.scored:
            slots = (self._outcome_base + number * len(OUTCOMES) + _OUTCOME_INDEX[outcome.kind],)
            if event.retry_count:
                slots += (self._retry_base + number,)
            if outcome.kind == "failure":
                category = self._metrics.categories.index(event.failure_category or "unknown")
                slots += (self._metrics.slot(FAILURES, number, category),)
        if self._scorer is not None:
            found = self._scorer.score(at_ms, event.processor, outcome, event.retry_count, event.geo_bucket)
            risk = self._snippets.get(found) or self._snippet(found)
            if outcome.scored:
                slots += (self._band_base + number * len(BANDS) + _BAND_INDEX[found.band],)
                self._latest[event.processor] = found.score
        return risk, slots

    def _snippet(self, assessment: Assessment) -> bytes:
        if len(self._snippets) >= _SNIPPETS:
            self._snippets.clear()
        snippet = b',"processor_risk_score":%b,"processor_risk_band":"%b","processor_risk_drivers":%b' % (
            msgspec.json.encode(assessment.score),
            assessment.band.encode(),
            msgspec.json.encode(assessment.drivers),
        )
        self._snippets[assessment] = snippet
        return snippet

    def show_latest(self) -> None:
        """Set the gauges of the processors scored since the last call."""
        for processor, score in self._latest.items():
            self._metrics.set(RISK_SCORE, self._metrics.processors.index(processor), to=score)
        self._latest.clear()

    def show_decayed(self, at_ms: int) -> None:
        """Set the gauges of all processors as they stand at a stream time: without traffic they decay."""
        if self._scorer is not None:
            for processor, assessment in self._scorer.current(at_ms):
                self._metrics.set(RISK_SCORE, self._metrics.processors.index(processor), to=assessment.score)
