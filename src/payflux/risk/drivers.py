"""Drivers: what an assessment rests on, each as observed against expected, and which of them comes first."""

from typing import NamedTuple

import msgspec

from payflux.risk.detectors.registry import DETECTORS
from payflux.risk.evidence.charts import ALARMED, Mark, likelihood
from payflux.risk.evidence.segments import Segments
from payflux.risk.evidence.streams import CATEGORY, OTHER_CATEGORY, OTHER_WHOLE, Effect, Segment, Stream, driver_of
from payflux.risk.evidence.volume import VolumeFinding
from payflux.risk.severity import NOTICE, SHOWN_GATES, certainty, damage, is_shown

Key = tuple[str, str, str, bool]
"""A driver's name, dimension and value, and whether it raises the score."""

DRIVERS = {
    "high_failure_rate": "More attempts fail than usual, everywhere; or nearly all do while nothing is known yet.",
    "failure_clustering": "Failures of one category are more than usual.",
    "timeout_clustering": "The same of timeouts.",
    "auth_failure_cluster": "The same of failed authentication.",
    "segment_degradation": "One geography, method, issuer country or channel fails more than usual, others less.",
    "retry_pressure_spike": "More of the traffic is retries than failures explain.",
    "card_testing_suspected": "More of the failures are of the smallest amounts than usual.",
    "volume_drop": "Fewer events come than at this time of the day and week.",
    "traffic_volatility": "More events come than at this time of the day and week.",
    "geo_entropy_increase": "Traffic comes from elsewhere than usual.",
    "latency_increase": "More answers than usual are slower than 95 of 100 were.",
    **{one.driver: one.meaning for one in DETECTORS},
    "nominal_behavior": "Nothing is out of the ordinary.",
    "insufficient_data": "It is not known yet what is ordinary.",
}
"""The drivers as they are exported, and what each means."""

EXPLAINED = 4.0
"""Nats that must be left of a segment's evidence once the rise elsewhere is taken for granted."""

CATEGORY_RANK = 0.7
"""Where a category and a segment say the same, the segment goes first: it says where to look."""


class Driver(msgspec.Struct, frozen=True, gc=False):
    """One reason for an assessment.

    Attributes:
        name: such as `segment_degradation`.
        dimension: such as `geo`, `category`; empty for all traffic.
        value: such as `GB`.
        severity: 0.0 to 1.0: the lower of how sure and how bad; of this driver alone.
        band: the band of that, held as the processor's is.
        raises: it raises the processor's score.
        observed: failures (retries, small failures, slow answers, missing events, ...) since `since`.
        attempts: attempts (events, failures, answers, events due) of which they are.
        expected: how many were expected.
        since: stream time in seconds at which the evidence begins.
        odds: observed odds over expected odds.
        evidence: nats.
    """

    name: str
    dimension: str
    value: str
    severity: float
    band: str
    raises: bool
    observed: int
    attempts: int
    expected: float
    since: int
    odds: float
    evidence: float

    @property
    def excess(self) -> float:
        """How many more than expected."""
        return self.observed - self.expected


class Finding(NamedTuple):
    """What one stream says at a second.

    Attributes:
        key: which driver it is.
        severity: the lower of how sure and how bad, 0.0 to 1.0.
        evidence: nats.
        rank: nats by which it explains what happened, less what it costs to name it.
        mark: the totals when the evidence began.
        effect: what happened since.
        stream: whose charts they are; None for the volume, and for what needs no chart.
    """

    key: Key
    severity: float
    evidence: float
    rank: float
    mark: Mark
    effect: Effect
    stream: Stream | None


def finding_of(stream: Stream, second: int, segments: Segments, most: float) -> Finding | None:
    """What a stream says at a second, by the one of its charts that says most.

    Failures that count for nothing in all failures together are only called something else now. That is judged by every
    chart that is alarmed: by chance some short stretch shows anything.

    Args:
        stream: whose charts are looked at.
        second: stream time.
        segments: for what happened elsewhere since.
        most: a limit to the severity.
    """
    bank, fade = stream.bank, stream.bank.fade(second)
    risen: dict[Mark, float] = {}
    for level, mark in zip(bank.levels, bank.marks, strict=True):
        if level > 0.0 and (evidence := level * fade + bank.price) >= EXPLAINED:
            risen[mark] = max(risen.get(mark, 0.0), evidence)
    if not risen:
        return None
    part = stream.segment if isinstance(stream.segment, Segment) else segments.whole
    gate, judged = stream.kind.gate, []
    for mark, evidence in risen.items():
        effect = stream.effect(mark, segments.whole, part)
        if evidence >= ALARMED and gate in SHOWN_GATES and not is_shown(effect):
            most = min(most, NOTICE)
        judged.append((min(certainty(evidence), damage(gate, effect)), evidence, mark, effect))
    severity, evidence, mark, effect = max(judged, key=lambda one: one[:2])
    return Finding(key_of(stream), min(severity, most), evidence, _rank(stream, effect), mark, effect, stream)


def _rank(stream: Stream, effect: Effect) -> float:
    rank = likelihood(effect.n, effect.k, effect.expected) * stream.bank.calm + stream.bank.price
    return rank * CATEGORY_RANK if stream.kind in {CATEGORY, OTHER_CATEGORY} else rank


def key_of(stream: Stream) -> Key:
    """Which driver a stream is."""
    source, kind = stream.segment, stream.kind
    dimension, value = ("origin", "declines") if kind is OTHER_WHOLE else (source.dimension, source.value)
    return driver_of(kind, source.value), dimension, value, kind.raises


def volume_finding(found: VolumeFinding, most: float) -> Finding:
    """What a chart of the volume says."""
    name = "volume_drop" if found.drop else "traffic_volatility"
    bad = damage("drop", found.effect) if found.drop else NOTICE
    severity = min(certainty(found.evidence), bad, most)
    mark = (found.mark[0], 0, 0)
    return Finding((name, "", "", False), severity, found.evidence, found.evidence, mark, found.effect, None)


def is_explained(finding: Finding, segments: Segments) -> bool:
    """Whether a segment only shows what all others show too."""
    stream, own = finding.stream, finding.effect
    if stream is None or not isinstance(stream.segment, Segment) or stream.segment is segments.whole:
        return False
    whole = segments.whole.counted if stream is stream.segment.counted else segments.whole.other
    n, k, expected = whole.numbers(segments.whole.total - finding.mark[2])
    rest_n, rest_k, rest = n - own.n, k - own.k, expected - own.expected
    if rest <= 0.0 or rest_k <= 0:
        return False
    # A mild trouble multiplies the odds everywhere; a grave one adds the same share everywhere.
    multiplied = own.expected * (rest_k + 1.0) / (rest + 1.0)
    added = own.expected + own.n * (rest_k - rest) / (rest_n + 1.0)
    return likelihood(own.n, own.k, max(multiplied, added, own.expected)) * stream.bank.calm < EXPLAINED
