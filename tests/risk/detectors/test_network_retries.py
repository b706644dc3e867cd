"""Retries that networks fine: which they are, and what their rise becomes."""

from uuid import UUID

import pytest

from payflux.event.taxonomy import failure_of
from payflux.risk.detectors.detector import Attempt
from payflux.risk.detectors.network_retries import is_forbidden, is_near
from payflux.risk.incidents.tracker import Tracker
from payflux.risk.reading import Facts, observed
from payflux.risk.watch import Watch
from risk_traffic import Traffic, counted


@pytest.mark.parametrize(
    ("network", "retries", "near", "forbidden"),
    [
        *[("visa", 15, False, False), ("Visa", 16, True, False), ("visa", 20, True, False), ("visa", 21, False, True)],
        *[("mastercard", 27, False, False), ("mc", 28, True, False), ("mastercard", 36, False, True)],
        *[("", 36, False, False), ("jcb", 36, False, False)],
    ],
)
def test_limits_are_those_of_the_network(network: str, retries: int, *, near: bool, forbidden: bool) -> None:
    """Visa allows 20 in 30 days, Mastercard 35; of other networks nothing is known."""
    attempt = Attempt(None, network, retries)
    assert (is_near(attempt), is_forbidden(attempt)) == (near, forbidden)


@pytest.mark.parametrize(
    ("category", "retries", "forbidden"),
    [
        *[("stolen_card", 1, True), ("stolen_card", 0, False), ("insufficient_funds", 3, False)],
        *[("pickup_card", 2, True), ("processor_timeout", 1, False)],
    ],
)
def test_what_is_declined_for_good_is_not_to_be_tried_again(category: str, retries: int, *, forbidden: bool) -> None:
    """A retry that is answered with "never again" is one; a first attempt is none."""
    assert is_forbidden(Attempt(failure_of(category), "visa", retries)) == forbidden


@pytest.mark.parametrize(
    ("advice", "retries", "forbidden"), [("03", 1, True), ("21", 2, True), ("03", 0, False), ("02", 3, False)]
)
def test_advice_not_to_try_again_is_heeded(advice: str, retries: int, *, forbidden: bool) -> None:
    """Mastercard's codes 03 and 21, whatever else the answer was."""
    assert is_forbidden(Attempt(failure_of("insufficient_funds"), "mastercard", retries, advice)) == forbidden


def event(event_type: str, retries: int, failure_category: str = "") -> Facts:
    """A payment with a card of Visa, at home."""
    return Facts(
        event_type,
        "stripe",
        failure_category,
        retries,
        geo_bucket="US",
        payment_method_bucket="credit_card",
        issuer_country="US",
        channel="web",
        card_network="visa",
    )


@pytest.mark.parametrize(
    ("retry", "driver"),
    [
        (event("payment_failed", 3, failure_category="stolen_card"), "network_retry_violation"),
        (event("payment_failed", 25, failure_category="insufficient_funds"), "network_retry_violation"),
        (event("payment_failed", 18, failure_category="insufficient_funds"), "network_retry_limit_near"),
        (event("payment_succeeded", 19), "network_retry_limit_near"),
    ],
)
def test_a_rise_is_one_incident_that_blames_nobody_but_who_retries(watch: Watch, retry: Facts, driver: str) -> None:
    """One such retry every five seconds among five attempts a second opens one incident, which ends after them."""
    seen = observed(retry)
    assert seen
    tracker, traffic, changes, began = Tracker("stripe"), Traffic(5, seed=21), [], watch.moved
    for at in range(1000):
        counts = counted(traffic.second())
        if 60 <= at < 360 and at % 5 == 0:
            counts.add(seen)
            counts.add_sample(seen, str(UUID(int=at)))
        said = watch.tick(began + at, counts)
        changes += [one for one in tracker.tick(began + at, counts, said) if one.kind != "updated"]
    opened, *_, resolved = changes
    assert (opened.kind, opened.incident.driver.name, opened.incident.severity) == ("opened", driver, "elevated")
    assert 60 < opened.second - began <= 90
    assert (resolved.kind, resolved.incident.id) == ("resolved", opened.incident.id)
    assert [one.kind for one in changes].count("opened") == 1
    assert len(resolved.incident.samples) == 5
    assert {int(UUID(sample)) % 5 for sample in resolved.incident.samples} == {0}
    assert (watch.judge.hold.band, watch.judge.last.drivers) == (0, ())
