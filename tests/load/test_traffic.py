"""The traffic generator: deterministic, valid, plausible, and visibly disturbed by its incidents."""

from collections import Counter, defaultdict
from itertools import islice, pairwise, takewhile
from statistics import median
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS, decode_event
from payflux.event.outcome import outcome_of
from payflux.load.corpus.events import Event
from payflux.load.corpus.population import DECLINES, DEMO, GEOS, METHODS, PROCESSORS
from payflux.load.corpus.scenarios import SCENARIOS, Incident
from payflux.load.corpus.schedule import now_and_then, staged
from payflux.load.traffic import Traffic
from payflux.risk.reading import Facts, observed
from payflux.risk.scoring import Scorer

START = 1_767_960_000.0


def events_of(seed: int, seconds: float, *incidents: Incident, rate: float = 20) -> list[tuple[float, Event]]:
    arrivals = Traffic(seed, START, incidents).arrivals(rate)
    return [(at - START, event) for at, event in takewhile(lambda arrival: arrival[0] < START + seconds, arrivals)]


@pytest.fixture(scope="module")
def normal() -> list[tuple[float, Event]]:
    return events_of(7, 600)


def failed(event: Event) -> bool:
    return event["event_type"] == "payment_failed"


@given(seed=st.integers(0, 2**32), start=st.integers(0, 2**32))
@settings(max_examples=20)
def test_same_seed_and_start_give_the_same_events(seed: int, start: int) -> None:
    """A run can be repeated exactly."""
    first, again = (list(islice(Traffic(seed, start, staged(["outage"], lead=0)).arrivals(50), 30)) for _ in range(2))
    assert first == again


def test_other_seeds_and_starts_give_other_ids() -> None:
    """No two runs share an event_id, or the later one would be all duplicates."""
    ids = [
        {event["event_id"] for _, event in islice(Traffic(seed, start).arrivals(20), 100)}
        for seed, start in ((1, START), (2, START), (1, START + 1))
    ]
    assert len(set.union(*ids)) == 300


def test_the_pattern_of_a_seed_does_not_depend_on_the_start() -> None:
    """The same seed shows the same payments whenever it is run."""
    early, late = (
        [event["geo_bucket"] for _, event in islice(Traffic(3, start).arrivals(20), 100)] for start in (0, START)
    )
    assert early == late


def test_every_event_is_valid(normal: list[tuple[float, Event]]) -> None:
    """A node accepts all of it as it is, with every member stored."""
    for name in SCENARIOS:
        for _, event in normal[:500] + events_of(1, 40, Incident(name, "adyen", 0, 60)):
            stored = msgspec.json.decode(decode_event(msgspec.json.encode(event)).data)
            assert stored == event


def test_members_are_those_of_the_schema_in_order(normal: list[tuple[float, Event]]) -> None:
    """All fifteen members come first, and only additive ones follow."""
    for _, event in normal:
        assert tuple(event)[:15] == EVENT_FIELDS
        assert set(tuple(event)[15:]) <= set(ADDITIVE_FIELDS)


def test_event_ids_are_distinct_version_4_uuids(normal: list[tuple[float, Event]]) -> None:
    """Ids look like those of any producer."""
    ids = [UUID(str(event["event_id"])) for _, event in normal]
    assert len(set(ids)) == len(ids)
    assert {event_id.version for event_id in ids} == {4}


def test_normal_traffic_has_the_rate_asked_for(normal: list[tuple[float, Event]]) -> None:
    """Retries included, there are as many events per second as asked for."""
    assert len(normal) / 600 == pytest.approx(20, rel=0.06)


def test_times_rise_and_are_those_of_the_events(normal: list[tuple[float, Event]]) -> None:
    """Events come in order, each with the time it is made for."""
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(normal))
    assert all(a[1]["event_timestamp"] <= b[1]["event_timestamp"] for a, b in pairwise(normal))  # type: ignore[operator]
    assert str(normal[0][1]["event_timestamp"]).startswith("2026-01-09T12:00:00.")


def test_first_attempts_are_declined_at_a_normal_share(normal: list[tuple[float, Event]]) -> None:
    """The base decline rate is 8 to 13 percent, for the whole and within reason for each processor."""
    first = [event for _, event in normal if not event["retry_count"]]
    assert 0.08 <= sum(map(failed, first)) / len(first) <= 0.13
    for name, processor in DEMO.items():
        own = [event for event in first if event["processor"] == name]
        assert sum(map(failed, own)) / len(own) == pytest.approx(processor.declines, abs=0.04)


def test_shares_follow_the_weights(normal: list[tuple[float, Event]]) -> None:
    """Processors come as often as their weights say, and all twelve countries appear."""
    share = Counter(event["processor"] for _, event in normal)
    assert share["stripe"] / share.total() == pytest.approx(0.34, abs=0.03)
    assert share.keys() == DEMO.keys()
    assert {event["geo_bucket"] for _, event in normal} == GEOS.keys()
    assert max(len(processor.geos) for processor in DEMO.values()) == 5


def test_failures_name_a_category_and_its_origin(normal: list[tuple[float, Event]]) -> None:
    """A failure says why and whose it is; a success says neither."""
    seen = set()
    for _, event in normal:
        category = str(event["failure_category"])
        if failed(event):
            assert event["failure_origin"] == DECLINES[category].origin
            seen.add(category)
        else:
            assert (category, event["failure_origin"]) == ("", "")
    assert seen == DECLINES.keys()


def test_events_say_their_outcome(normal: list[tuple[float, Event]]) -> None:
    """The event's type and its reading by the score agree; no event is neutral."""
    for _, event in normal:
        kind = outcome_of(str(event["event_type"]), str(event["retry_result"]), str(event["failure_category"])).kind
        assert kind == ("failure" if failed(event) else "success")


def test_retries_belong_to_an_earlier_failure_of_the_same_payment(normal: list[tuple[float, Event]]) -> None:
    """A payment's attempts count up from 0, and only a failed one is followed by another."""
    payments = defaultdict(list)
    for _, event in normal:
        payments[event["payment_intent_id_hash"]].append(event)
    for attempts in payments.values():
        assert [event["retry_count"] for event in attempts] == list(range(len(attempts)))
        assert all(map(failed, attempts[:-1]))
        assert len({event["processor"] for event in attempts}) == 1
    assert sum(len(attempts) > 1 for attempts in payments.values()) > 50
    results = {attempts[-1]["retry_result"] for attempts in payments.values() if len(attempts) > 1}
    assert results == {"succeeded", "failed"}


def test_merchants_follow_zipf(normal: list[tuple[float, Event]]) -> None:
    """A few merchants make most of the traffic, and many make a little."""
    counts = [n for _, n in Counter(event["merchant_id_hash"] for _, event in normal).most_common()]
    assert counts[0] > 3 * counts[4]
    assert len(counts) > 250


def test_an_outage_drives_its_processors_score_up() -> None:
    """It is unmistakable on the first minutes too, and nobody else's score rises."""
    (incident,) = staged(["outage"])
    scorer = Scorer()
    top: dict[str, float] = defaultdict(float)
    for at, event in events_of(3, incident.end + 10, incident):
        facts = msgspec.convert(event, Facts)
        risk = scorer.score(int(START + at), facts.processor, observed(facts))
        top[facts.processor] = max(top[facts.processor], risk.score)
    assert top.pop(incident.processor) >= 0.8
    assert max(top.values()) < 0.3


def test_an_outage_fails_nearly_everything_and_then_ends() -> None:
    """Failures jump when it starts, stop when it ends, and are the processor's own."""
    events = events_of(5, 400, Incident("outage", "adyen", 100, 100))
    own = [(at, event) for at, event in events if event["processor"] == "adyen"]
    share = {
        name: sum(failed(event) for at, event in own if low <= at < high) / sum(low <= at < high for at, _ in own)
        for name, low, high in (("before", 0, 100), ("during", 100, 200), ("after", 300, 400))
    }
    assert share["during"] > 0.9
    assert max(share["before"], share["after"]) < 0.2
    origins = Counter(event["failure_origin"] for at, event in own if 100 <= at < 200)
    assert origins["processor"] > 0.9 * origins.total()


def test_a_creeping_incident_grows() -> None:
    """Timeouts are rare when it starts and common when it ends."""
    events = events_of(5, 300, Incident("timeout_creep", "stripe", 0, 300))
    at = [at for at, event in events if event["failure_category"] == "processor_timeout"]
    assert sum(t > 200 for t in at) > 2.5 * sum(t < 100 for t in at) > 0


def test_a_retry_storm_retries_far_more_often() -> None:
    """Payments are tried again up to ten times."""
    retries = [
        event["retry_count"]
        for _, event in events_of(5, 120, Incident("retry_storm", "stripe", 0, 120))
        if event["processor"] == "stripe"
    ]
    assert max(retries) == 10  # type: ignore[type-var]
    assert sum(map(int, map(str, retries))) / len(retries) > 1.5


def test_card_testing_comes_from_many_countries_at_one_merchant() -> None:
    """Small amounts, one merchant, invalid cards, from everywhere."""
    events = [event for _, event in events_of(5, 120, Incident("geo_spread", "checkout", 0, 120))]
    tests = [event for event in events if event["geo_bucket"] not in GEOS]
    assert len({event["geo_bucket"] for event in tests}) > 20
    assert len({event["merchant_id_hash"] for event in tests}) == 1
    assert {event["amount_bucket"] for event in tests} == {"0-10"}
    assert sum(event["failure_category"] == "invalid_card" for event in tests) > 0.8 * len(tests)


def test_a_spike_multiplies_the_traffic_and_silence_ends_it() -> None:
    """The number of events changes at the one processor alone."""
    names = ("traffic_spike", "silence")
    spike, silence = (
        Counter(event["processor"] for _, event in events_of(5, 120, Incident(name, "paypal", 0, 120)))
        for name in names
    )
    usual = Counter(event["processor"] for _, event in events_of(5, 120))
    assert spike["paypal"] > 4 * usual["paypal"]
    assert spike["stripe"] == pytest.approx(usual["stripe"], rel=0.15)
    assert silence["paypal"] == 0
    assert silence["stripe"] == pytest.approx(usual["stripe"], rel=0.15)


def test_severity_scales_the_effect() -> None:
    """Half the severity fails about half as much."""
    events = [e for _, e in events_of(5, 300, Incident("outage", "stripe", 0, 300, 0.5)) if e["processor"] == "stripe"]
    down = sum(event["failure_category"] in ("processor_error", "processor_timeout") for event in events)
    assert 0.4 < down / len(events) < 0.6


def test_traffic_follows_an_endless_schedule() -> None:
    """Incidents of a schedule begin and end as time goes by."""
    incidents = list(islice(now_and_then(4, DEMO), 3))
    traffic = Traffic(4, START, now_and_then(4, DEMO))
    for incident in incidents:
        assert traffic.running(START + incident.start - 1) == ()
        assert traffic.running(START + incident.start + 1) == (incident,)
    assert traffic.running(START + incidents[-1].end + 1) == ()


def test_incidents_ahead_are_not_on_yet() -> None:
    """Retries hours from now look ahead, and what they see has not begun."""
    incident = Incident("outage", "stripe", 5000, 60)
    traffic = Traffic(4, START, [incident])
    for at, _ in takewhile(lambda arrival: arrival[0] < START + 300, traffic.arrivals()):
        assert traffic.running(at) == ()


def test_processors_of_the_corpus_have_their_own_rates_and_days() -> None:
    """A processor named after half an event a second has as many on average, and few of them at night."""
    slow = {"p0_5": PROCESSORS["p0_5"]}
    traffic = Traffic(4, 1_767_571_200.0, (), slow).arrivals()  # a Monday
    hours = Counter(int(at - 1_767_571_200) // 3600 for at, _ in takewhile(lambda one: one[0] < 1_767_657_600, traffic))
    assert hours.total() / 86_400 == pytest.approx(0.5 * 1.08, rel=0.08)
    assert 0.15 < min(hours[3], hours[4]) / max(hours[18], hours[19]) < 0.4


def test_a_faulty_client_sends_again_whatever_the_answer() -> None:
    """Payments that succeeded are sent again too, up to six times, within seconds; two merchants of five do it."""
    events = events_of(5, 200, Incident("resend_loop", "stripe", 0, 200))
    own = [event for _, event in events if event["processor"] == "stripe"]
    again = [event for event in own if event["retry_count"]]
    assert max(event["retry_count"] for event in again) == 6  # type: ignore[type-var]
    assert len(again) > 0.25 * len(own)
    succeeded = {event["payment_intent_id_hash"] for event in own if not failed(event) and not event["retry_count"]}
    assert sum(event["payment_intent_id_hash"] in succeeded for event in again) > 0.5 * len(again)


def test_latencies_creep() -> None:
    """At the end of it answers take about five times as long; time-outs stay what they are."""
    events = events_of(5, 300, Incident("latency_creep", "stripe", 0, 300))
    own = [(at, event) for at, event in events if event["processor"] == "stripe"]
    usual = [event["latency_ms"] for at, event in own if at < 30 and event["failure_category"] != "processor_timeout"]
    late = [event["latency_ms"] for at, event in own if at > 270 and event["failure_category"] != "processor_timeout"]
    assert 3.5 < median(map(int, map(str, late))) / median(map(int, map(str, usual))) < 5.5


def test_issuers_are_mostly_but_not_always_where_the_shopper_is(normal: list[tuple[float, Event]]) -> None:
    """So that a failing issuer can be told from a failing country."""
    own = sum(event["issuer_country"] == event["geo_bucket"] for _, event in normal)
    assert 0.6 < own / len(normal) < 0.75
    assert {event["issuer_country"] for _, event in normal} == GEOS.keys()
    assert {event["payment_method_bucket"] for _, event in normal} == METHODS.keys()
