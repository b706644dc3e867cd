"""From a delivery to its line: read what is needed, score it, splice the enrichment into the stored bytes.

What events of a kind say (their outcome, the metrics they count in, what the detector sees) is remembered, as real
traffic repeats itself.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from payflux.errors import InvalidEvent
from payflux.event.outcome import NOTHING_DECLARED, Declared, Outcome, outcome_of
from payflux.event.taxonomy import is_recognised
from payflux.risk.assessment import BANDS, RiskAssessment
from payflux.risk.observation import Observation
from payflux.risk.reading import Facts, is_small_payment, observed
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

REMEMBERED = 10_000  # kinds of events, and processors

Score = Callable[[int, str, Observation | None, int, str, int, str], RiskAssessment]
"""Counts an event and tells what holds for it: its stream time in seconds, processor, observation (None: it is not
counted), latency in milliseconds (below 0: not known), currency and amount in minor units, id; see `Scorer.score`."""


class Scorable(Facts, gc=False, kw_only=True):
    """The members of a stored event that scoring and metrics need; canonical JSON has those without a default."""

    event_id: str
    event_type: str
    processor: str
    failure_category: str
    retry_count: int
    geo_bucket: str
    amount_bucket: str
    payment_method_bucket: str
    channel: str
    retry_result: str
    failure_origin: str


class Line(msgspec.Struct, frozen=True, gc=False):
    """A finished line, and the slots of the metrics it counts in."""

    data: bytes
    slots: tuple[int, ...]


class _Shown(NamedTuple):
    """A processor's latest assessment as it stands in lines."""

    assessment: RiskAssessment
    snippet: bytes
    band: int


class _Meaning(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What events of one kind say, and the slots they count in by risk band; two compare by identity, as is faster."""

    outcome: Outcome
    failed: bool
    slots: tuple[tuple[int, ...], ...]


_Kind = tuple[str, str, str, str, bool]
_Key = tuple[_Meaning | str | bool, ...]


class _Meanings:
    """Remembers what events say.

    Args:
        metrics: where names get their numbers.
        declared: outcomes of event types that the operator has declared.
        scores: events are scored, and count by band.
    """

    def __init__(self, metrics: Metrics, declared: Declared, *, scores: bool) -> None:
        self._metrics, self._declared, self._scores = metrics, declared, scores
        self._known: dict[_Kind, _Meaning] = {}
        self._seen: dict[_Key, Observation] = {}

    def of(self, event: Facts) -> _Meaning:
        """What an event says."""
        retried = event.retry_count > 0
        kind = (event.processor, event.event_type, event.retry_result, event.failure_category, retried)
        return self._known.get(kind) or self._learn(kind)

    def seen(self, meaning: _Meaning, event: Facts) -> Observation | None:
        """What the detector sees in an event of a meaning; None when it is not to be counted."""
        if event.retry_count > 0:  # what it shows depends on how many there were, and of which network
            return observed(event, self._declared)
        key: _Key
        if meaning.failed:
            small = is_small_payment(event.amount_minor, event.amount_bucket)
            key = (
                *(meaning, event.geo_bucket, event.payment_method_bucket, event.issuer_country, event.channel),
                *(event.failure_origin, event.network_response_code, event.card_network, small),
            )
        else:
            key = (meaning, event.geo_bucket, event.payment_method_bucket, event.issuer_country, event.channel)
        return self._seen.get(key) or self._see(key, event)

    def _see(self, key: _Key, event: Facts) -> Observation | None:
        seen = observed(event, self._declared)
        if seen is not None:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[key] = seen
        return seen

    def _learn(self, kind: _Kind) -> _Meaning:
        _, event_type, retry_result, failure_category, _ = kind
        outcome = outcome_of(event_type, retry_result, failure_category, self._declared)
        slots = self._slots(kind, outcome) if outcome.scored else ((),) * len(BANDS)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        meaning = self._known[kind] = _Meaning(outcome, outcome.kind == "failure", slots)
        return meaning

    def _slots(self, kind: _Kind, outcome: Outcome) -> tuple[tuple[int, ...], ...]:
        processor, event_type, _, failure_category, retried = kind
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
        return tuple((*slots, slot(RISK_EVENTS, number, band)) if self._scores else tuple(slots) for band in BANDS)


_decode = msgspec.json.Decoder(Scorable).decode
_BAND_INDEX = {band: index for index, band in enumerate(BANDS)}
_join = b"".join


class Enricher:
    """Makes lines. The same deliveries in the same order make the same lines, `processed_at` aside.

    Args:
        consumer: name of the consumer, as it stands in the lines.
        score: counts events and tells what holds for them; None when scoring is off.
        metrics: where names get their numbers and scores are shown.
        declared: outcomes of event types that the operator has declared.
        evidence: lines hold the numbers behind the drivers too.
    """

    def __init__(
        self,
        consumer: str,
        score: Score | None,
        metrics: Metrics,
        declared: Declared = NOTHING_DECLARED,
        *,
        evidence: bool = False,
    ) -> None:
        self._name = msgspec.json.encode(consumer)
        self._score, self._evidence = score, evidence
        self._metrics = metrics
        self._meanings = _Meanings(metrics, declared, scores=score is not None)
        self._shown: dict[str, _Shown] = {}
        self._changed: set[str] = set()
        self._stamp = self._middle = b""
        self._moment, self._second = b"", 0  # where the last entry's id begins like this, its stream time is known
        self._begun = (0, 0)

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
        entry_id, processor = delivery.id, event.processor
        meaning = self._meanings.of(event)
        risk, band = b"", 0
        if self._score is not None:
            if entry_id[:14] != self._moment:
                self._move(entry_id, delivery.seq)
            seen = self._meanings.seen(meaning, event)
            assessment = self._score(
                self._second, processor, seen, event.latency_ms, event.currency, event.amount_minor, event.event_id
            )
            shown = self._shown.get(processor)
            if shown is None or shown.assessment is not assessment:
                shown = self._show(processor, assessment)
            risk, band = shown.snippet, shown.band
        if processed_at is not self._stamp:  # the same for a whole batch
            self._stamp = processed_at
            self._middle = b'","consumer_name":%b,"processed_at":"%b"' % (self._name, processed_at)
        end = b',"seq":%d,"schema_version":1}\n' % delivery.seq
        return Line(
            _join((data[:-1], b',"stream_message_id":"', entry_id, self._middle, risk, end)), meaning.slots[band]
        )

    def _move(self, entry_id: bytes, seq: int) -> None:
        """Another millisecond of stream time."""
        self._second = at_ms(entry_id) // 1000
        self._moment = entry_id[:14] if entry_id[13:14] == b"-" else b""
        if self._second > self._begun[0]:
            self._begun = (self._second, seq)

    @property
    def begun(self) -> tuple[int, int]:
        """The latest second of stream time there was a line of, and the number of the first entry in it."""
        return self._begun

    def _show(self, processor: str, assessment: RiskAssessment) -> _Shown:
        if len(self._shown) >= REMEMBERED:
            self._shown.clear()
            self._changed.clear()
        snippet = b',"processor_risk_score":%b,"processor_risk_band":"%b","processor_risk_drivers":%b' % (
            msgspec.json.encode(assessment.score),
            assessment.band.encode(),
            msgspec.json.encode(assessment.names),
        )
        if self._evidence:
            snippet += b',"processor_risk_evidence":%b' % msgspec.json.encode(assessment.drivers)
        shown = self._shown[processor] = _Shown(assessment, snippet, _BAND_INDEX[assessment.band])
        self._changed.add(processor)
        return shown

    def show(self, assessments: Iterable[RiskAssessment]) -> None:
        """Set the gauges of processors, and of those an event was seen of for the first time since the last call."""
        latest = {one.processor: one for one in assessments}
        for processor in self._changed:
            latest.setdefault(processor, self._shown[processor].assessment)
        self._changed.clear()
        for processor, one in latest.items():
            self._metrics.set(RISK_SCORE, self._metrics.processors.index(processor), to=one.score)
