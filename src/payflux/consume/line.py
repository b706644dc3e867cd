"""From a delivery to its line: read what is needed, score it, splice the enrichment into the stored bytes."""

from typing import NamedTuple

import msgspec

from payflux.errors import InvalidEvent
from payflux.event.outcome import NOTHING_DECLARED, Declared, Outcome, outcome_of
from payflux.event.taxonomy import is_recognised
from payflux.risk import BANDS, Assessment
from payflux.risk.scorer import RiskScorer
from payflux.stream.deliveries import Delivery, at_ms
from payflux.telemetry.metrics import (
    BY_OUTCOME,
    FAILURES,
    RETRIES,
    RISK_EVENTS,
    RISK_SCORE,
    UNCATEGORISED,
    UNCLASSIFIED,
    Metrics,
)


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


class Line(msgspec.Struct, frozen=True, gc=False):
    """A finished line, and the slots of the metrics it counts in."""

    data: bytes
    slots: tuple[int, ...]


class _Meaning(NamedTuple):
    """What events of one kind say, and the slots they count in by risk band; real traffic repeats a few kinds."""

    outcome: Outcome
    slots: tuple[tuple[int, ...], ...]


class _Shown(NamedTuple):
    """A processor's latest assessment as it stands in lines."""

    assessment: Assessment
    snippet: bytes
    band: int


_decode = msgspec.json.Decoder(Scorable).decode
_BAND_INDEX = {band: index for index, band in enumerate(BANDS)}
_REMEMBERED = 10_000
_join = b"".join
_NUMBER, _END = b',"seq":', b',"schema_version":1}\n'


def number_of(line: bytes) -> int:
    """The number of the entry a finished line was made of."""
    return int(line[line.rindex(_NUMBER) + len(_NUMBER) : -len(_END)])


class Enricher:
    """Makes lines. The same deliveries in the same order make the same lines, `processed_at` aside.

    Args:
        consumer: name of the consumer, as it stands in the lines.
        scorer: scores processors; None when scoring is off.
        metrics: where names get their numbers and scores are shown.
        declared: outcomes of event types that the operator has declared.
    """

    def __init__(
        self, consumer: str, scorer: RiskScorer | None, metrics: Metrics, declared: Declared = NOTHING_DECLARED
    ) -> None:
        self._name = msgspec.json.encode(consumer)
        self._scorer = scorer
        self._metrics = metrics
        self._declared = declared
        self._meanings: dict[tuple[str, str, str, str, bool], _Meaning] = {}
        self._shown: dict[str, _Shown] = {}
        self._changed: set[str] = set()
        self._stamp = self._middle = b""
        self._moment, self._at_ms = b"", 0  # where the last entry's id begins like this, its stream time is known

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
        entry_id, processor, retries = delivery.id, event.processor, event.retry_count
        kind = (processor, event.event_type, event.retry_result, event.failure_category, retries > 0)
        outcome, slots = self._meanings.get(kind) or self._learn(*kind)
        risk, band = b"", 0
        if self._scorer is not None:
            if entry_id[:14] != self._moment:
                self._at_ms = at_ms(entry_id)
                self._moment = entry_id[:14] if entry_id[13:14] == b"-" else b""
            assessment = self._scorer.score(self._at_ms, processor, outcome, retries, event.geo_bucket)
            shown = self._shown.get(processor)
            if shown is None or shown.assessment is not assessment:
                shown = self._show(processor, assessment)
            risk, band = shown.snippet, shown.band
        if processed_at is not self._stamp:  # the same for a whole batch
            self._stamp = processed_at
            self._middle = b'","consumer_name":%b,"processed_at":"%b"' % (self._name, processed_at)
        end = b',"seq":%d,"schema_version":1}\n' % delivery.seq
        return Line(_join((data[:-1], b',"stream_message_id":"', entry_id, self._middle, risk, end)), slots[band])

    def _learn(
        self,
        processor: str,
        event_type: str,
        retry_result: str,
        failure_category: str,
        retried: bool,  # noqa: FBT001
    ) -> _Meaning:
        outcome = outcome_of(event_type, retry_result, failure_category, self._declared)
        meaning = _Meaning(outcome, ((),) * len(BANDS))
        if outcome.scored:
            slot, number = self._metrics.slot, self._metrics.processors.index(processor)
            slots = [slot(BY_OUTCOME, number, outcome.kind)]
            if retried:
                slots.append(slot(RETRIES, number))
            if outcome.kind == "failure":
                slots.append(slot(FAILURES, number, self._metrics.categories.index(failure_category or "unknown")))
                if failure_category and not is_recognised(failure_category):
                    slots.append(slot(UNCATEGORISED, self._metrics.unrecognised.index(failure_category)))
            if not outcome.classified:
                slots.append(slot(UNCLASSIFIED, self._metrics.event_types.index(event_type)))
            bands = [(slot(RISK_EVENTS, number, band),) if self._scorer is not None else () for band in BANDS]
            meaning = _Meaning(outcome, tuple((*slots, *band) for band in bands))
        if len(self._meanings) >= _REMEMBERED:
            self._meanings.clear()
        self._meanings[processor, event_type, retry_result, failure_category, retried] = meaning
        return meaning

    def _show(self, processor: str, assessment: Assessment) -> _Shown:
        if len(self._shown) >= _REMEMBERED:
            self._shown.clear()
        snippet = b',"processor_risk_score":%b,"processor_risk_band":"%b","processor_risk_drivers":%b' % (
            msgspec.json.encode(assessment.score),
            assessment.band.encode(),
            msgspec.json.encode(assessment.drivers),
        )
        shown = self._shown[processor] = _Shown(assessment, snippet, _BAND_INDEX[assessment.band])
        self._changed.add(processor)
        return shown

    def show_latest(self) -> None:
        """Set the gauges of the processors whose risk has changed since the last call."""
        for processor in self._changed:
            if processor in self._shown:
                self._set(processor, self._shown[processor].assessment)
        self._changed.clear()

    def show_decayed(self, at_ms: int) -> None:
        """Set the gauges of all processors as they stand at a stream time: without traffic they decay."""
        if self._scorer is not None:
            for processor, assessment in self._scorer.current(at_ms):
                self._set(processor, assessment)
                self._shown.pop(processor, None)  # so that the next event sets the gauge again

    def _set(self, processor: str, assessment: Assessment) -> None:
        self._metrics.set(RISK_SCORE, self._metrics.processors.index(processor), to=assessment.score)
