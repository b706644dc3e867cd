"""What an event says about the outcome."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.event.outcome import MEMO_SIZE, Outcome, outcome_of


@pytest.mark.parametrize(
    ("event_type", "retry_result", "kind"),
    [
        ("payment_failed", "succeeded", "success"),
        ("payment_failed", "success", "success"),
        ("payment_failed", "approved", "success"),
        ("payment_failed", "succeeded_late", "failure"),
        ("payment_failed", "", "failure"),
        ("capture_failed", "", "failure"),
        ("card_declined", "", "failure"),
        ("refusal", "", "failure"),
        ("payment_refused", "", "failure"),
        ("rejected_by_issuer", "", "failure"),
        ("gateway_error", "", "failure"),
        ("authorization_timeout", "", "failure"),
        ("payment_intent", "failed", "failure"),
        ("payment_succeeded", "declined", "failure"),
        ("payment_intent", "failed_twice", "neutral"),
        ("payment_succeeded", "", "success"),
        ("approval", "", "success"),
        ("payment_authorized", "pending", "success"),
        ("charge.captured", "", "success"),
        ("settled", "", "success"),
        ("paid", "", "success"),
        ("invoice_paid", "", "success"),
        ("invoice.paid", "", "success"),
        ("paid_out", "", "neutral"),
        ("authorization", "", "neutral"),
        ("refund_created", "", "neutral"),
        ("payment_created", "pending", "neutral"),
    ],
)
def test_first_matching_rule_decides(
    event_type: str, retry_result: str, kind: Literal["success", "failure", "neutral"]
) -> None:
    """The kind is that of the first rule that matches, in any letter case."""
    assert outcome_of(event_type, retry_result, "") == Outcome(kind)
    assert outcome_of(event_type.upper(), retry_result.title(), "") == Outcome(kind)


@pytest.mark.parametrize(
    ("category", "timeout", "auth"),
    [
        ("", False, False),
        ("processor_timeout", True, False),
        ("TIMED_OUT", True, False),
        ("timed out", False, False),
        ("auth", False, True),
        ("auth_failed", False, True),
        ("Authentication_Failed", False, True),
        ("3DS_failed", False, True),
        ("three_ds_required", False, True),
        ("sca_required", False, True),
        ("3ds_timeout", True, True),
        ("authorization_declined", False, False),
        ("AUTHORIZATION_timeout", True, False),
        ("not_auth", False, False),
        ("insufficient_funds", False, False),
    ],
)
def test_category_of_a_failure(category: str, timeout: bool, auth: bool) -> None:
    """A failure's category says whether it is a timeout and whether it is one of authentication."""
    assert outcome_of("payment_failed", "", category) == Outcome("failure", timeout=timeout, auth=auth)


@pytest.mark.parametrize("event_type", ["payment_succeeded", "refund_created"])
def test_category_means_nothing_without_a_failure(event_type: str) -> None:
    """A success or a neutral event is no timeout, whatever its category says."""
    outcome = outcome_of(event_type, "", "3ds_timeout")
    assert not outcome.timeout
    assert not outcome.auth


def test_only_test_and_canary_are_not_scored() -> None:
    """The types `test` and `canary` are not scored, in any letter case; types that merely contain them are."""
    assert [outcome_of(name, "", "").scored for name in ("test", "TEST", "Canary")] == [False] * 3
    assert all(outcome_of(name, "", "").scored for name in ("test_payment", "canary2", "contest", ""))
    assert outcome_of("test", "failed", "").kind == "failure"


def test_repeated_combinations_are_read_once_and_memory_is_bounded() -> None:
    """A combination that repeats gives the same object; more of them than fit do not grow the memory."""
    assert outcome_of("payment_failed", "", "a") is outcome_of("payment_failed", "", "a")
    for number in range(MEMO_SIZE + 10):
        outcome_of("payment_failed", "", f"category {number}")
    assert outcome_of.cache_info().currsize == MEMO_SIZE


@given(st.text(max_size=30), st.text(max_size=12), st.text(max_size=30))
def test_any_text_has_an_outcome(event_type: str, retry_result: str, category: str) -> None:
    """Whatever the members hold, there is an outcome, and only a failure is a timeout or one of authentication."""
    outcome = outcome_of(event_type, retry_result, category)
    assert outcome.kind == "failure" or not (outcome.timeout or outcome.auth)
