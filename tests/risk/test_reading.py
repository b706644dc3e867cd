"""What the detector reads of an event."""

import pytest

from payflux.risk.observation import Observation
from payflux.risk.reading import Facts, observed


def seen(**members: object) -> Observation:
    """What is observed of a failure, or of another event."""
    found = observed(Facts(**({"event_type": "payment_failed", "processor": "stripe"} | members)))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_success_is_an_attempt() -> None:
    """Nothing that is said of failures is read of a success, so that there are few different ones."""
    one = seen(event_type="payment_succeeded", failure_category="processor_timeout", amount_minor=100, geo_bucket="US")
    assert (one.attempt, one.failed, one.counts, one.category, one.small) == (True, False, False, "", False)
    assert one is seen(event_type="order_paid", retry_result="succeeded", geo_bucket="US")


@pytest.mark.parametrize(
    ("members", "category", "counts", "soft"),
    [
        ({"failure_category": "processor_timeout"}, "timeout", True, False),
        ({"failure_category": "insufficient_funds"}, "insufficient_funds", False, False),
        ({"failure_category": "insufficient_funds", "failure_origin": "processor"}, "insufficient_funds", True, False),
        ({"failure_category": "do_not_honor"}, "do_not_honor", False, True),
        ({"failure_category": "do_not_honor", "failure_origin": "acquirer"}, "do_not_honor", True, False),
        ({"failure_category": "declined", "network_response_code": "51"}, "insufficient_funds", False, False),
        ({"failure_category": " Weird Thing"}, "weird thing", True, False),
        ({}, "unknown", True, False),
    ],
)
def test_the_taxonomy_says_what_counts_against_the_processor(
    members: dict[str, object], category: str, counts: bool, soft: bool
) -> None:
    """Origin first, else the category; what nobody knows counts, under the name it was sent with."""
    one = seen(**members)
    assert (one.failed, one.category, one.counts, one.soft) == (True, category, counts, soft)


def test_where_it_came_from_and_how_often_it_was_tried() -> None:
    """Geography, method, issuer and channel in their order, and whether it is a retry."""
    one = seen(geo_bucket="GB", payment_method_bucket="wallet", issuer_country="DE", channel="web", retry_count=2)
    assert (one.values, one.retried) == (("GB", "wallet", "DE", "web"), True)
    assert not seen().retried


@pytest.mark.parametrize(
    ("members", "small"),
    [
        ({"amount_bucket": "0-10"}, True),
        ({"amount_bucket": "50-200"}, False),
        ({"amount_bucket": "0-10", "amount_minor": 900}, False),
        ({"amount_bucket": "50-200", "amount_minor": 500}, True),
        ({}, False),
    ],
)
def test_an_amount_says_more_than_its_bucket(members: dict[str, object], small: bool) -> None:
    """Where the amount is known it decides whether it is as small as those of card testers."""
    assert seen(**members).small is small


@pytest.mark.parametrize("event_type", ["test", "Canary"])
def test_what_is_never_scored_is_not_seen(event_type: str) -> None:
    """Tests and canaries are no payments."""
    assert observed(Facts(event_type, "stripe", retry_result="failed")) is None


def test_the_operators_word_goes_before_the_rules() -> None:
    """`PAYFLUX_OUTCOMES` is heard."""
    declared = frozenset({("order.done", "success")})
    neutral, success = observed(Facts("order.done", "p")), observed(Facts("order.done", "p"), declared)  # type: ignore[arg-type]
    assert neutral is not None
    assert success is not None
    assert (neutral.attempt, success.attempt) == (False, True)
