"""Which lines an exporter is given."""

import json

import pytest

from payflux.event.outcome import Declared
from payflux.exporters.choosing import Choice

PAID: Declared = frozenset({("payment_failed", "success")})


def line(**members: object) -> bytes:
    """A line of an event that failed at stripe."""
    usual = {"event_type": "payment_failed", "processor": "stripe", "failure_category": "", "retry_result": ""}
    return json.dumps(usual | {"processor_risk_band": "elevated"} | members).encode()


def test_without_a_choice_all_are_wanted() -> None:
    """And no line needs to be looked at."""
    assert Choice().takes_all
    assert not Choice(processors=("stripe",)).takes_all


def test_a_choice_is_told_in_one_form() -> None:
    """In whatever order it was set, and narrowed to lines that come at all; nothing where all are wanted."""
    assert Choice(declared=PAID).text() == ""
    some = Choice(("stripe", "adyen"), ("b", "a"), ("failure",), "high", PAID)
    assert some.text() == Choice(["adyen", "stripe", "adyen"], ("a", "b"), ("failure",), "high", PAID).text()
    assert json.loads(some.text()) == {
        "processors": ["adyen", "stripe"],
        "event_types": ["a", "b"],
        "outcomes": ["failure"],
        "declared": [["payment_failed", "success"]],
        "least_band": "high",
    }
    assert Choice(("stripe", "adyen")).text(["adyen"]) == Choice().text(["adyen"]) == '{"processors":["adyen"]}'
    assert Choice(("stripe",)).text(["adyen"]) == '{"processors":[]}'


@pytest.mark.parametrize(
    ("choice", "taken", "left"),
    [
        (Choice(processors=("stripe",)), line(), line(processor="adyen")),
        (Choice(event_types=("payment_failed",)), line(), line(event_type="payment_failed_again")),
        (Choice(outcomes=("failure",)), line(), line(event_type="payment_succeeded")),
        (
            Choice(outcomes=("success",), declared=frozenset({("payment_failed", "success")})),
            line(),
            line(event_type="x"),
        ),
        (Choice(least_band="elevated"), line(), line(processor_risk_band="low")),
        (Choice(least_band="high"), line(processor_risk_band="critical"), line()),
        (Choice(least_band="low"), line(), line(processor_risk_band=None)),
        (Choice(("stripe",), outcomes=("failure",)), line(), line(retry_result="succeeded")),
    ],
)
def test_what_is_named_is_what_is_taken(choice: Choice, taken: bytes, left: bytes) -> None:
    """By each of the members, and by all that are named together."""
    assert choice.takes(taken)
    assert not choice.takes(left)
