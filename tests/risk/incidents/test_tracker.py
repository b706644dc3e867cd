"""One trouble is one incident, with the numbers of its traffic, and is over when it is over."""

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from msgspec.structs import replace

from incident_traffic import Followed
from incidents import NOON, driver
from payflux.risk.assessment import RiskAssessment
from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import EVERYWHERE, Change
from payflux.risk.incidents.tracker import Tracker
from payflux.risk.judge import Limits
from payflux.risk.snapshot import restore, snapshot
from payflux.risk.watch import Watch
from risk_traffic import Fault, Memory, Traffic, counted, few, outage, resumed, seeds, seen, segment_outage

GEO, METHOD = 0, 1


def both(one: Fault, other: Fault) -> Fault:
    """Two troubles at once."""
    return lambda random, seen: one(random, seen) or other(random, seen)


def test_an_outage_is_one_incident_from_its_beginning_to_its_end(watch: Watch) -> None:
    """It opens within seconds, names all traffic, grows worse, and is resolved once after the recovery."""
    followed, traffic = Followed(watch, 1), Traffic(5, seed=8)
    began = watch.moved + 1
    followed.run(traffic, 120, outage())
    (opened,) = followed.told("opened")
    assert opened.second - began <= 5
    assert (opened.incident.place, opened.incident.resolved) == (EVERYWHERE, 0)
    assert [one.severity for one in followed.tracker.open] == ["critical"]
    assert followed.tracker.open[0].since <= opened.second
    followed.run(traffic, 900)
    (resolved,) = followed.told("resolved")
    assert resolved.incident.id == opened.incident.id
    assert resolved.incident.resolved == resolved.second
    assert followed.tracker.open == []
    assert followed.told("opened") == [opened]


def test_the_country_that_fails_is_the_place(watch: Watch) -> None:
    """What shows in a country, in its issuers, in a category and in all traffic is one incident, of that country."""
    followed = Followed(watch, 2)
    followed.run(Traffic(5, seed=13), 240, segment_outage(GEO, "GB", "processor_error"))
    (incident,) = followed.tracker.open
    assert incident.place == ("geo", "GB")
    assert "segment_degradation" in {driver.name for driver in incident.drivers}
    assert len(followed.told("opened")) == 1


def test_two_troubles_in_different_segments_are_two_incidents(watch: Watch) -> None:
    """A payment method that begins to fail while a country does has an incident of its own."""
    followed, traffic = Followed(watch, 3), Traffic(10, seed=14)
    country = segment_outage(GEO, "GB", "processor_error")
    followed.run(traffic, 90, country)
    followed.run(traffic, 180, both(country, segment_outage(METHOD, "wallet", "processor_timeout")))
    assert {one.place for one in followed.tracker.open} == {("geo", "GB"), ("method", "wallet")}
    followed.run(traffic, 1200)
    assert len(followed.told("opened")) == len(followed.told("resolved")) == 2


def test_a_trouble_that_spreads_grows_worse_and_stays_the_same(watch: Watch) -> None:
    """A country that fails, and then everything: the incident of the country becomes that of all traffic."""
    followed, traffic = Followed(watch, 4), Traffic(5, seed=15)
    followed.run(traffic, 120, segment_outage(GEO, "GB", "processor_error"))
    assert [one.place for one in followed.tracker.open] == [("geo", "GB")]
    followed.run(traffic, 120, outage())
    assert [one.place for one in followed.tracker.open] == [EVERYWHERE]
    assert len({change.incident.id for change in followed.changes}) == 1
    assert EVERYWHERE in {change.incident.place for change in followed.told("worsened")}


def test_declines_and_failures_of_the_processor_are_two_troubles(watch: Watch) -> None:
    """Cardholders who fail to authenticate are not the processor's outage, though both are of cards."""
    followed, traffic = Followed(watch, 5), Traffic(10, seed=16)
    shy = segment_outage(METHOD, "credit_card", "authentication_failed", 0.5)
    followed.run(traffic, 120, shy)
    (one,) = followed.tracker.open
    assert "auth_failure_cluster" in {driver.name for driver in one.drivers}
    followed.run(traffic, 60, both(outage(share=0.4), shy))
    assert len(followed.tracker.open) == 2


def test_a_silence_is_an_incident_with_what_did_not_come(memory: Memory) -> None:
    """A processor that stops sending opens one incident, whose payments are the events that were due."""
    followed = Followed(resumed(memory), 6)
    followed.run(Traffic(5, seed=17), 310)
    followed.run(Traffic(5, seed=17), 60, rate=0.0)
    (incident,) = followed.tracker.open
    assert incident.driver.name == "volume_drop"
    assert 150 <= incident.payments <= 300
    assert incident.value_at_risk == {}


def test_healthy_traffic_opens_none(watch: Watch) -> None:
    """Half an hour in which nothing happens is no incident."""
    followed = Followed(watch, 7)
    followed.run(Traffic(5, seed=15), 1800)
    assert followed.changes == []


@few
@given(seed=seeds)
def test_an_incident_goes_on_from_a_snapshot(memory: Memory, seed: int) -> None:
    """Taken at any second and restored from bytes, a tracker says the same from then on, with the same ids."""
    random, traffic = Random(seed), Traffic(5, seed=seed)
    one, other = Followed(resumed(memory), seed), Followed(resumed(memory), seed)
    begins, at = random.randrange(30), random.randrange(90)
    for number in range(90):
        attempts = traffic.second(outage() if number >= begins else None)
        second = one.watch.moved + 1
        one.tick(second, attempts)
        other.tick(second, attempts)
        if number == at:
            other.watch = restore("stripe", Limits(), decoded(snapshot(other.watch)))
            kept, other.tracker = decoded(other.tracker.snapshot()), Tracker("stripe")
            other.tracker.restore(kept)
    assert one.changes == other.changes
    assert one.changes


def decoded(data: dict[str, Any]) -> dict[str, Any]:
    """The same after it was bytes."""
    found: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(data))
    return found


def test_what_fades_keeps_its_numbers(watch: Watch) -> None:
    """After the recovery, while the band is held, an incident says what it was, not how little is left of it."""
    followed, traffic = Followed(watch, 9), Traffic(5, seed=18)
    followed.run(traffic, 120, outage())
    before = followed.tracker.open[0]
    followed.run(traffic, 900)
    after: Change = followed.told("resolved")[0]
    assert before.payments <= after.incident.payments <= 1.1 * before.payments
    assert after.incident.drivers[0].name == before.drivers[0].name


@pytest.mark.parametrize("seed", [1, 2])
def test_the_id_is_that_of_processor_second_and_driver(memory: Memory, seed: int) -> None:
    """Two trackers of the same traffic give the same ids; another second gives another."""
    runs = []
    for wait in (0, 0, 7):
        followed = Followed(resumed(memory), seed)
        followed.run(Traffic(5, seed=seed), 20 + wait)
        followed.run(Traffic(5, seed=seed), 30, outage())
        runs.append(followed.told("opened")[0].incident.id)
    assert runs[0] == runs[1] != runs[2]
    assert runs[0].startswith("stripe-1767")


def hear(tracker: Tracker, second: int, *drivers: Driver) -> list[str]:
    """What becomes of incidents when the watch says so."""
    said = RiskAssessment(second, "stripe", 0.7, "high", drivers, learned=True)
    return [change.kind for change in tracker.tick(second, None, [said]) if change.kind != "updated"]


@pytest.mark.parametrize(("web", "everywhere"), [(2, True), (30, False)])
def test_a_segment_that_shows_no_more_than_all_is_no_place(web: int, *, everywhere: bool) -> None:
    """The first failures were of web payments by chance, and now all fail; else the segment fades before all does."""
    tracker, all_since = Tracker("stripe"), NOON + 9
    hear(tracker, NOON + 10, driver("segment_degradation", "channel", "web"))
    counts = counted([seen("processor_error", ("US", "wallet", "US", "mobile"))] * (31 - web))
    counts.add(seen("processor_error"), web)
    tracker.tick(NOON + 20, counts, [])
    hear(tracker, NOON + 30, driver("high_failure_rate", "", "", since=all_since, observed=31, expected=1.0))
    (incident,) = tracker.open
    assert (incident.place == EVERYWHERE) is everywhere


def test_soft_declines_and_their_category_are_one_trouble() -> None:
    """They count against the processor when they rise everywhere, though their category does not."""
    soft = driver("high_failure_rate", "origin", "soft_declines")
    same = [
        driver("failure_clustering", "category", "do_not_honor", raises=False),
        driver("high_failure_rate", "origin", "declines", raises=False),
    ]
    assert hear(Tracker("stripe"), NOON, soft, *same) == ["opened"]


def test_what_a_rare_segment_shows_of_a_trouble_that_is_over_is_no_other_one() -> None:
    """Where few payments go, what happened is shown for long; what began afterwards is new."""
    tracker = Tracker("stripe")
    assert hear(tracker, NOON, driver("high_failure_rate", "", "")) == ["opened"]
    assert hear(tracker, NOON + 600) == ["resolved"]
    rare = driver("segment_degradation", "geo", "MX", since=NOON - 10)
    assert hear(tracker, NOON + 601, rare) == []
    other = Tracker("stripe")
    other.restore(decoded(tracker.snapshot()))
    assert hear(other, NOON + 602, replace(rare, since=NOON + 300, band="critical")) == ["opened"]


def test_more_from_where_much_comes_from_is_no_anomaly() -> None:
    """A merchant sells out at home; from where hardly anything came it is one."""
    home = driver("geo_entropy_increase", "geo", "US", raises=False, expected=235.0, severity=0.59, band="elevated")
    assert hear(Tracker("stripe"), NOON, home) == []
    assert hear(Tracker("stripe"), NOON, replace(home, value="VN", expected=1.0)) == ["opened"]


def test_what_a_detector_sees_goes_on_when_the_failures_beside_it_end() -> None:
    """Retries that a network forbids are one trouble with the declines they bring, and not over before they are."""
    tracker = Tracker("stripe")
    sign = SIGN
    declines = driver("high_failure_rate", "", "", raises=False, since=NOON + 10)
    assert hear(tracker, NOON, sign) == ["opened"]
    tracker.tick(NOON + 19, counted([seen("do_not_honor")] * 500), [])
    assert hear(tracker, NOON + 20, sign, declines) == ["worsened"]
    (whole,) = tracker.open
    assert whole.payments > 0
    assert hear(tracker, NOON + 400, sign) == []
    (left,) = tracker.open
    assert (left.id, left.drivers, left.payments) == (whole.id, (sign,), whole.payments)
    held = replace(sign, severity=0.0)
    assert hear(tracker, NOON + 500, held) == []
    assert hear(tracker, NOON + 800) == ["resolved"]


SIGN = driver("network_retry_violation", "", "", raises=False, severity=0.4, band="elevated", expected=0.1)


@pytest.mark.parametrize("name", ["traffic_volatility", "latency_increase", "volume_drop"])
def test_what_went_with_the_failures_alone_ends_with_them(name: str) -> None:
    """A sign goes on, and when it is over nothing that only accompanied the declines keeps the incident open."""
    tracker, beside = Tracker("stripe"), driver(name, "", "", raises=False, severity=0.35, band="elevated")
    declines = driver("high_failure_rate", "", "", raises=False, since=NOON + 10)
    hear(tracker, NOON, SIGN)
    hear(tracker, NOON + 20, SIGN, declines, beside)
    assert hear(tracker, NOON + 400, SIGN, beside) == []
    (left,) = tracker.open
    assert left.drivers == (SIGN,)
    assert hear(tracker, NOON + 500, beside) == ["resolved"]


def test_declines_that_come_back_where_a_sign_goes_on_are_the_same_trouble() -> None:
    """However much later: one place, one incident."""
    tracker, gb = Tracker("stripe"), driver(raises=False)
    hear(tracker, NOON, SIGN)
    hear(tracker, NOON + 20, SIGN, gb)
    (first,) = tracker.open
    hear(tracker, NOON + 400, SIGN)
    assert hear(tracker, NOON + 900, SIGN, replace(gb, since=NOON + 890)) == []
    assert [one.id for one in tracker.open] == [first.id]


def test_what_a_detector_saw_and_sees_no_more_does_not_keep_an_incident() -> None:
    """Its band is only held: the incident ends with the failures."""
    tracker = Tracker("stripe")
    held = driver("network_retry_violation", "", "", raises=False, severity=0.0, band="elevated", expected=0.1)
    assert hear(tracker, NOON, driver("high_failure_rate", "", "", raises=False), held) == ["opened"]
    assert hear(tracker, NOON + 400, held) == ["resolved"]
