"""What events say: outcome, the metrics they count in, and what the detector sees; real traffic repeats itself."""

import msgspec

from payflux.event.outcome import Declared, Outcome, outcome_of
from payflux.event.taxonomy import is_recognised
from payflux.risk.assessment import BANDS
from payflux.risk.observation import Observation
from payflux.risk.reading import Facts, is_small_payment, observed
from payflux.telemetry.metrics import (
    BY_OUTCOME,
    FAILURES,
    RETRIES,
    RISK_EVENTS,
    UNCATEGORISED,
    UNCLASSIFIED,
    Metrics,
)

REMEMBERED = 10_000


class Meaning(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What events of one kind say, and the slots they count in by risk band; two compare by identity, as is faster."""

    outcome: Outcome
    failed: bool
    slots: tuple[tuple[int, ...], ...]


Kind = tuple[str, str, str, str, bool]
_Key = tuple[Meaning | str | bool, ...]


class Meanings:
    """Remembers what events say.

    Args:
        metrics: where names get their numbers.
        declared: outcomes of event types that the operator has declared.
        scores: events are scored, and count by band.
    """

    def __init__(self, metrics: Metrics, declared: Declared, *, scores: bool) -> None:
        self._metrics, self._declared, self._scores = metrics, declared, scores
        self._known: dict[Kind, Meaning] = {}
        self._seen: dict[_Key, Observation] = {}

    def of(self, event: Facts) -> Meaning:
        """What an event says."""
        retried = event.retry_count > 0
        kind = (event.processor, event.event_type, event.retry_result, event.failure_category, retried)
        return self._known.get(kind) or self._learn(kind)

    def seen(self, meaning: Meaning, event: Facts) -> Observation | None:
        """What the detector sees in an event of a meaning; None when it is not to be counted."""
        key: _Key
        if meaning.failed:
            key = (
                *(meaning, event.geo_bucket, event.payment_method_bucket, event.issuer_country, event.channel),
                *(event.failure_origin, event.network_response_code, event.card_network, is_small_payment(event)),
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

    def _learn(self, kind: Kind) -> Meaning:
        _, event_type, retry_result, failure_category, _ = kind
        outcome = outcome_of(event_type, retry_result, failure_category, self._declared)
        slots = self._slots(kind, outcome) if outcome.scored else ((),) * len(BANDS)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        meaning = self._known[kind] = Meaning(outcome, outcome.kind == "failure", slots)
        return meaning

    def _slots(self, kind: Kind, outcome: Outcome) -> tuple[tuple[int, ...], ...]:
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
