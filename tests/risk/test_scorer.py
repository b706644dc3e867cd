"""Scores, drivers and bands: golden vectors, a brute-force reference, and what must hold for any traffic."""

import json
import math
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.errors import SettingsError
from payflux.event.outcome import Outcome, outcome_of
from payflux.risk import BANDS, DETECTORS, INSUFFICIENT_DATA, Assessment, detector_class
from payflux.risk.score_v1 import LIMITS
from payflux.risk.scorer import (
    RISK_SCORE_ENABLED,
    RISK_SCORE_THRESHOLDS,
    RISK_SCORE_WINDOW_SEC,
    SETTINGS,
    RiskScorer,
    Thresholds,
)
from payflux.settings import load

THRESHOLDS: Thresholds = (0.3, 0.6, 0.8)
VECTORS = json.loads(Path(__file__).with_name("risk_vectors.json").read_text(encoding="utf-8"))
SUCCESS = Outcome("success")
FAILURE = Outcome("failure")
UNKNOWN = Assessment(0.0, "low", INSUFFICIENT_DATA)


class Event(NamedTuple):
    at_ms: int
    processor: str
    outcome: Outcome
    retry_count: int
    geo: str


def reference(events: Iterable[Event], window_sec: int, thresholds: Thresholds, at_ms: int) -> Assessment:
    """One processor's risk, recounted from the list of all its events, in exact fractions."""
    number, counted = 0, []
    for event in events:
        if event.outcome.scored:
            number = max(number, event.at_ms // 10_000)  # an event older than the current bucket counts into that one
            counted.append((number, event))
    now = max(number, at_ms // 10_000)
    oldest = now - math.ceil(window_sec / 10) + 1
    inside = [(number, event) for number, event in counted if number >= oldest]
    if len(inside) < 5:
        return UNKNOWN
    failures = [event.outcome for _, event in inside if event.outcome.kind == "failure"]
    decided = len(failures) + sum(event.outcome.kind == "success" for _, event in inside)
    others = [number for number, _ in inside if number != now]
    mean = Fraction(len(others), len(set(others))) if others else Fraction(0)
    parts = {
        "high_failure_rate": share(len(failures), decided),
        "retry_pressure_spike": share(sum(event.retry_count for _, event in inside), 3 * len(inside)),
        "timeout_clustering": share(sum(outcome.timeout for outcome in failures), len(failures)),
        "traffic_volatility": min(Fraction(1), (len(inside) - len(others)) / max(mean, Fraction(1)) / 2)
        if others
        else Fraction(0),
        "geo_entropy_increase": share(len({event.geo for _, event in inside if event.geo}), 10),
        "auth_failure_cluster": share(sum(outcome.auth for outcome in failures), len(failures)),
    }
    weights = (25, 20, 15, 15, 15, 10)
    hundredths = sum((weight * part for weight, part in zip(weights, parts.values(), strict=True)), Fraction(0))
    score = math.floor(hundredths + Fraction(1, 2)) / 100
    limits = (Fraction(4, 10), *[Fraction(1, 2)] * 5)
    drivers = tuple(name for (name, part), limit in zip(parts.items(), limits, strict=True) if part > limit)
    elevated, high, critical = thresholds
    band = "critical" if score >= critical else "high" if score >= high else "elevated" if score >= elevated else "low"
    return Assessment(score, band, drivers or ("nominal_behavior",))


def share(part: int, whole: int) -> Fraction:
    """A part of a whole, at most 1; nothing of nothing is 0."""
    return min(Fraction(1), Fraction(part, whole)) if whole else Fraction(0)


def events_of(vector: dict[str, Any]) -> list[Event]:
    """The events of a golden vector, whose rows say how many times each happens."""
    return [
        Event(VECTORS["origin_ms"] + row["at_ms"], "stripe", outcome_of(*row["says"]), row["retries"], geo)
        for row in vector["events"]
        for geo in row["geos"] * row["times"]
    ]


@st.composite
def traffic(draw: st.DrawFn) -> list[Event]:
    """Events of a few processors, with steps within a bucket, over its edge, over whole windows, and backwards."""
    steps = st.one_of(st.integers(0, 2000), st.sampled_from([-12_000, 10_000]), st.integers(0, 50_000))
    outcomes = st.builds(
        outcome_of,
        st.sampled_from(["payment_failed", "payment_failed", "payment_succeeded", "refund_created", "test"]),
        st.sampled_from(["", "", "failed", "succeeded"]),
        st.sampled_from(["", "processor_timeout", "auth_failed", "3ds_timeout", "authorization_declined"]),
    )
    at_ms = draw(st.integers(10**6, 2 * 10**12))
    events = []
    for step in draw(st.lists(steps, min_size=1, max_size=60)):
        at_ms += step
        processor = draw(st.sampled_from(["stripe", "stripe", "adyen"]))
        geo = draw(st.sampled_from(["", "US", "DE", "FR", "BR", "IN", "JP", "GB", "KE", "AU", "MX", "CA", "PL"]))
        events.append(Event(at_ms, processor, draw(outcomes), draw(st.integers(0, 8)), geo))
    return events


def scores(scorer: RiskScorer, events: Iterable[Event]) -> list[Assessment]:
    """What a scorer says of each event."""
    return [scorer.score(*event) for event in events]


def burst(processor: str, at_ms: int, outcome: Outcome = FAILURE, times: int = 5) -> list[Event]:
    """The same event several times."""
    return [Event(at_ms, processor, outcome, 0, "")] * times


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_golden_vector(vector: dict[str, Any]) -> None:
    """A vector whose working can be followed by hand is what the reference and the scorer say."""
    events = events_of(vector)
    at_ms = VECTORS["origin_ms"] + vector["assessed_at_ms"]
    expected = Assessment(vector["expected"]["score"], vector["expected"]["band"], tuple(vector["expected"]["drivers"]))
    assert reference(events, vector["window_sec"], THRESHOLDS, at_ms) == expected
    scorer = RiskScorer(vector["window_sec"], THRESHOLDS)
    scores(scorer, events)
    assert dict(scorer.current(at_ms)) == {"stripe": expected}


@given(traffic(), st.integers(20, 120))
def test_scorer_is_the_reference_after_every_event(events: list[Event], window_sec: int) -> None:
    """Every event gets what a recount of all its processor's events gives, and that lies in [0, 1]."""
    scorer = RiskScorer(window_sec, THRESHOLDS)
    for count, event in enumerate(events, 1):
        own = [other for other in events[:count] if other.processor == event.processor]
        assessment = scorer.score(*event)
        assert assessment == reference(own, window_sec, THRESHOLDS, event.at_ms)
        assert 0 <= assessment.score <= 1


@given(traffic(), st.integers(20, 120), st.integers(-100_000, 500_000))
def test_looking_in_between_changes_no_score(events: list[Event], window_sec: int, skew_ms: int) -> None:
    """The same events give the same scores, also when somebody with another clock looks in between."""
    watched, undisturbed = RiskScorer(window_sec, THRESHOLDS), RiskScorer(window_sec, THRESHOLDS)
    for event in events:
        assert watched.score(*event) == undisturbed.score(*event)
        assert len(list(watched.current(event.at_ms + skew_ms))) <= 2


@given(traffic(), st.integers(20, 120), st.integers(0, 200_000))
def test_current_is_the_reference_at_any_later_time(events: list[Event], window_sec: int, later_ms: int) -> None:
    """Without further traffic the risk of each processor is what a recount at that time gives."""
    scorer = RiskScorer(window_sec, THRESHOLDS)
    scores(scorer, events)
    at_ms = events[-1].at_ms + later_ms
    assert dict(scorer.current(at_ms)) == {
        name: reference([event for event in events if event.processor == name], window_sec, THRESHOLDS, at_ms)
        for name in {event.processor for event in events if event.outcome.scored}
    }


@given(traffic(), st.integers(20, 120))
def test_skipping_time_forward_expires_everything(events: list[Event], window_sec: int) -> None:
    """A window and a bucket after the latest event every processor is given once more, at 0, and then no longer."""
    scorer = RiskScorer(window_sec, THRESHOLDS)
    scores(scorer, events)
    at_ms = max(event.at_ms for event in events) + window_sec * 1000 + 10_000
    assert all(assessment == UNKNOWN for _, assessment in scorer.current(at_ms))
    assert list(scorer.current(at_ms)) == []


@given(traffic())
def test_explanation_agrees_with_the_drivers(events: list[Event]) -> None:
    """The drivers named are those observed above their limit, in the order of the limits."""
    detector = detector_class("v1")(60)
    for event in events:
        detector.observe(event.at_ms, event.outcome, event.retry_count, event.geo)
        explained = detector.explain(event.at_ms)
        above = tuple(name for name, (observed, limit) in explained.items() if observed > limit)
        drivers = detector.assess(event.at_ms)[1]
        assert drivers == (INSUFFICIENT_DATA if len(explained) == 1 else above or ("nominal_behavior",))


def test_explanation_holds_numbers_an_operator_knows() -> None:
    """What was observed comes in natural units, beside the limit it is held against."""
    detector = detector_class("v1")(60)
    for geo in ("US", "US", "DE"):
        detector.observe(1_000, SUCCESS, 0, geo)
    assert detector.explain(1_000) == {"insufficient_data": (3, 5)}
    for outcome in (*[Outcome("failure", timeout=True)] * 3, *[Outcome("failure", auth=True)] * 3):
        detector.observe(11_000, outcome, 3, "US")
    assert detector.explain(11_000) == {
        "high_failure_rate": (6 / 9, 0.4),
        "retry_pressure_spike": (2.0, 1.5),
        "timeout_clustering": (0.5, 0.5),
        "traffic_volatility": (2.0, 1.0),
        "geo_entropy_increase": (2, 5),
        "auth_failure_cluster": (0.5, 0.5),
    }
    assert detector.explain(80_000) == {}


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_keeps_the_contract(name: str) -> None:
    """A detector forgets with time, changes nothing by being asked, and survives events that come late."""
    detector = detector_class(name)(60)
    assert detector.assess(0) == (0.0, INSUFFICIENT_DATA)
    assert detector.explain(0) == {}
    for at_ms in (100_000, 100_500, 95_000, 107_000, 109_999, 109_999):
        detector.observe(at_ms, FAILURE, 3, "US")
    told = detector.assess(109_999)
    assert 0 < told[0] <= 1
    assert told[1]
    assert detector.assess(10**13) == (0.0, INSUFFICIENT_DATA)
    assert detector.explain(10**13) == {}
    assert detector.assess(109_999) == told
    assert detector.assess(0) == told


def test_detectors_are_found_by_name_or_import_string() -> None:
    """A registered name and `module:Class` give the same class; anything else is refused with what was expected."""
    assert detector_class("payflux.risk.score_v1:ScoreV1") is detector_class("v1")
    with pytest.raises(ValueError, match="unknown detector 'v0': expected one of v1, or module:Class"):
        detector_class("v0")
    with pytest.raises(ImportError):
        detector_class("payflux.risk.nowhere:Detector")
    with pytest.raises(AttributeError):
        detector_class("payflux.risk.score_v1:Nothing")


class RetriesOnly:
    """A detector of somebody else's: scores the retry count of the last event, in hundredths."""

    def __init__(self, window_sec: int) -> None:
        self.window_ms = window_sec * 1000
        self.last = Event(0, "", SUCCESS, 0, "")

    def observe(self, at_ms: int, outcome: Outcome, retry_count: int, geo: str) -> None:
        """Keep the event."""
        self.last = Event(at_ms, "", outcome, retry_count, geo)

    def assess(self, at_ms: int) -> tuple[float, tuple[str, ...]]:
        """Score the last event while the window lasts."""
        return (self.last.retry_count / 100 if at_ms < self.last.at_ms + self.window_ms else 0.0), ("retries",)

    def explain(self, at_ms: int) -> dict[str, tuple[float, float]]:
        """Nothing more than the score."""
        return {"retries": (self.assess(at_ms)[0], 1.0)}


def test_bands_begin_at_their_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score equal to a threshold lies in the band above it; a detector named by an import string is used as it is."""
    monkeypatch.setitem(sys.modules, "foreign_detector", sys.modules[__name__])
    scorer = RiskScorer(300, THRESHOLDS, detector="foreign_detector:RetriesOnly")
    told = [scorer.score(0, "stripe", SUCCESS, hundredths, "") for hundredths in (0, 29, 30, 59, 60, 79, 80, 100)]
    assert [assessment.band for assessment in told] == [band for band in BANDS for _ in range(2)]
    assert told[-1] == Assessment(1.0, "critical", ("retries",))


def test_an_unchanged_assessment_is_the_same_object() -> None:
    """Where nothing changed nothing is allocated."""
    told = scores(RiskScorer(300, THRESHOLDS), burst("stripe", 1_000, times=9))
    assert told[4].score == 0.25
    assert all(assessment is told[4] for assessment in told[5:])


def test_processors_do_not_mix() -> None:
    """One processor's failures leave the other's score alone."""
    scorer = RiskScorer(300, THRESHOLDS)
    scores(scorer, burst("stripe", 1_000))
    assert scores(scorer, burst("adyen", 1_000, SUCCESS))[-1] == Assessment(0.0, "low", ("nominal_behavior",))


@pytest.mark.parametrize("event_type", ["test", "CANARY"])
def test_an_unscored_event_is_answered_but_not_counted(event_type: str) -> None:
    """A test event gets what its processor has, and changes nothing; of an unknown processor nothing is remembered."""
    scorer = RiskScorer(300, THRESHOLDS)
    unscored = outcome_of(event_type, "failed", "timeout")
    assert scorer.score(1_000, "stripe", unscored, 9, "US") == UNKNOWN
    assert list(scorer.current(1_000)) == []
    before = scores(scorer, burst("stripe", 1_000))[-1]
    assert [scorer.score(1_000, "stripe", unscored, 9, "US") for _ in range(50)] == [before] * 50
    assert scorer.score(500_000, "stripe", unscored, 9, "US") == UNKNOWN


def test_the_processor_idle_longest_makes_room() -> None:
    """One processor more than fit displaces the one without traffic for longest, and that one begins anew."""
    scorer = RiskScorer(300, THRESHOLDS, max_processors=2)
    scores(scorer, [*burst("stripe", 1_000), *burst("adyen", 2_000), *burst("stripe", 3_000, times=1)])
    scores(scorer, burst("worldpay", 4_000))
    assert [name for name, _ in scorer.current(4_000)] == ["stripe", "worldpay"]
    assert scorer.score(5_000, "adyen", FAILURE, 0, "") == UNKNOWN


def test_invented_processors_do_not_fill_the_memory() -> None:
    """However many names come in, no more than the limit are followed."""
    scorer = RiskScorer(300, THRESHOLDS, max_processors=10)
    for number in range(1_000):
        scorer.score(number, f"processor-{number}", FAILURE, 0, f"{number}")
        assert len(scorer._tracked) <= 10
    assert [name for name, _ in scorer.current(1_000)] == [f"processor-{number}" for number in range(990, 1_000)]


def test_a_processor_that_went_quiet_is_given_once_until_it_has_traffic_again() -> None:
    """Without traffic the score decays to 0, is given once so, then not until the processor is back."""
    scorer = RiskScorer(20, THRESHOLDS)
    scores(scorer, burst("stripe", 1_000))
    failing = Assessment(0.25, "low", ("high_failure_rate",))
    assert [list(scorer.current(at_ms)) for at_ms in (9_000, 19_999, 20_000, 30_000)] == [
        [("stripe", failing)],
        [("stripe", failing)],
        [("stripe", UNKNOWN)],
        [],
    ]
    scores(scorer, burst("stripe", 40_000))
    assert [list(scorer.current(at_ms)) for at_ms in (40_000, 60_000, 60_000)] == [
        [("stripe", failing)],
        [("stripe", UNKNOWN)],
        [],
    ]


def test_settings_have_the_documented_defaults() -> None:
    """Scoring is on, over 300 seconds, with the documented thresholds."""
    values = load(SETTINGS, {})
    assert values[RISK_SCORE_ENABLED] is True
    assert values[RISK_SCORE_WINDOW_SEC] == 300
    assert values[RISK_SCORE_THRESHOLDS] == (0.3, 0.6, 0.8)


@pytest.mark.parametrize("text", [".1,0.2,1", " 0.1 , 0.2 , 1.0 ", "0.10,0.20,1"])
def test_thresholds_are_read(text: str) -> None:
    """Plain decimal numbers are read, blanks around them do no harm, and 1 is allowed."""
    assert load(SETTINGS, {"PAYFLUX_RISK_SCORE_THRESHOLDS": text})[RISK_SCORE_THRESHOLDS] == (0.1, 0.2, 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "0.3,0.6",
        "0.3,0.6,0.8,0.9",
        "0.3,0.6,0.8,",
        "0.3;0.6;0.8",
        "a,b,c",
        "0.3,0.3,0.8",
        "0.8,0.6,0.3",
        "0,0.6,0.8",
        "-0.1,0.6,0.8",
        "0.3,0.6,1.01",
        "nan,nan,nan",
        "0.3,nan,0.8",
        "0.3,0.6,inf",
        "0.3,0.6,8e-1",
        "0_1,0.6,0.8",
        "\u0660.\u0663,0.6,0.8",
    ],
)
def test_bad_thresholds_are_refused(text: str) -> None:
    """Anything but three strictly ascending numbers in (0, 1] is refused, with what was expected."""
    with pytest.raises(SettingsError) as refused:
        load(SETTINGS, {"PAYFLUX_RISK_SCORE_THRESHOLDS": text})
    expected = "expected three ascending numbers above 0 and up to 1, such as 0.3,0.6,0.8"
    assert refused.value.problems == (f"PAYFLUX_RISK_SCORE_THRESHOLDS={text!r}: {expected}",)


@pytest.mark.parametrize("text", ["19", "86401", "0", "-300", "300.5", "5m", "nan"])
def test_bad_windows_are_refused(text: str) -> None:
    """A window must be a whole number of seconds in its bounds."""
    with pytest.raises(SettingsError, match="expected a whole number from 20 to 86400"):
        load(SETTINGS, {"PAYFLUX_RISK_SCORE_WINDOW_SEC": text})


def test_vectors_cover_every_driver() -> None:
    """The vectors name every driver that has a limit, and the two that stand alone, and no other."""
    named = {name for vector in VECTORS["vectors"] for name in vector["expected"]["drivers"]}
    assert named == {*LIMITS, "nominal_behavior", "insufficient_data"}
