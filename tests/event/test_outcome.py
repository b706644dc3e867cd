"""What an event says about the outcome."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.errors import SettingsError
from payflux.event.outcome import MEMO_SIZE, OUTCOMES, Kind, Outcome, outcome_of
from payflux.settings import load

GOLDEN = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "golden" / "event_types.tsv").read_text().splitlines()
    if not line.startswith("#")
]
UNCLASSIFIED = Outcome("neutral", classified=False)


def test_the_golden_table_covers_the_processors() -> None:
    """At least 120 names, at least ten of each processor, none twice for one processor."""
    assert len({*GOLDEN}) == len(GOLDEN) >= 120
    assert len({row[:2] for row in GOLDEN}) == len(GOLDEN)
    known = {"stripe", "adyen", "paypal", "checkout", "braintree", "worldpay", "square", "mollie", "razorpay"}
    counts = Counter(row[0] for row in GOLDEN)
    assert {name for name, count in counts.items() if count >= 10} >= known


@pytest.mark.parametrize(("processor", "event_type", "expected"), GOLDEN)
def test_event_types_of_real_processors(processor: str, event_type: str, expected: str) -> None:
    """Each name means what was decided for it by hand, in its own letter case and in small letters split at words."""
    found = outcome_of(event_type, "", "")
    assert found.kind == ("neutral" if expected == "unclassified" else expected)
    assert found.classified == (expected != "unclassified")


@pytest.mark.parametrize(
    ("retry_result", "kind"),
    [
        *(
            (word, "success")
            for word in ("succeeded", "success", "successful", "approved", "paid", " Paid ", "SUCCESS")
        ),
        *((word, "failure") for word in ("failed", "failure", "declined", "denied", "refused", "rejected", "error")),
        *((word, "failure") for word in ("timeout", "Timeout", "DENIED")),
    ],
)
def test_the_retry_result_decides_first(retry_result: str, kind: Kind) -> None:
    """A result that says how it ended comes before every word of the event type and before what was declared."""
    for event_type in ("payment_attempt", "payment_failed", "payment_succeeded", "refund_created"):
        declared = OUTCOMES.parse(f"{event_type}=neutral")
        assert outcome_of(event_type, retry_result, "", declared) == Outcome(kind)


@pytest.mark.parametrize(
    "retry_result", ["", "ok", "authorised", "pending", "succeeded_late", "not paid", "failed twice"]
)
def test_another_retry_result_says_nothing(retry_result: str) -> None:
    """What is none of those words, whole, leaves it to the event type."""
    assert outcome_of("payment_failed", retry_result, "") == Outcome("failure")
    assert outcome_of("payment_succeeded", retry_result, "") == Outcome("success")
    assert outcome_of("payment_attempt", retry_result, "") == UNCLASSIFIED


def test_what_the_operator_declares_comes_next() -> None:
    """A declared type, whole and in any letter case, means what was declared; others mean what they did."""
    declared = OUTCOMES.parse("payment_denied=success, Order.Done = failure,made up=neutral,")
    assert outcome_of("payment_denied", "", "", declared) == Outcome("success")
    assert outcome_of("PAYMENT_DENIED", "failed", "", declared) == Outcome("failure")
    assert outcome_of("order.done", "", "processor_timeout", declared) == Outcome("failure", timeout=True)
    assert outcome_of("made up", "", "", declared) == Outcome("neutral")
    assert outcome_of("order.done.now", "", "", declared) == UNCLASSIFIED
    assert outcome_of("payment_denied", "", "") == Outcome("failure")


@pytest.mark.parametrize(
    "text", ["x", "x=", "=failure", "x=fail", "x=failure,y", "x=failure,x=success", "x=failure;y=success"]
)
def test_a_wrong_declaration_is_refused(text: str) -> None:
    """The refusal names the variable and shows what was expected."""
    with pytest.raises(SettingsError, match=r"PAYFLUX_OUTCOMES=.*expected event types and their outcomes"):
        load([OUTCOMES], {"PAYFLUX_OUTCOMES": text})


def test_declaring_nothing_is_the_default() -> None:
    """Unset, empty and said twice alike are all right."""
    assert load([OUTCOMES], {})[OUTCOMES] == frozenset()
    assert load([OUTCOMES], {"PAYFLUX_OUTCOMES": "x=failure,X=failure"})[OUTCOMES] == {("x", "failure")}


@pytest.mark.parametrize(
    ("category", "timeout", "auth"),
    [
        ("", False, False),
        ("processor_timeout", True, False),
        ("TIMED_OUT", True, False),
        ("timed out", True, False),
        ("GatewayTimeout", True, False),
        ("timeouts_of_old", False, False),
        ("auth", False, True),
        ("auth_failed", False, True),
        ("Authentication_Failed", False, True),
        ("authenticationRequired", False, True),
        ("3DS_failed", False, True),
        ("3DS2-challenge", False, True),
        ("three_ds_required", False, True),
        ("threeDSFailed", False, True),
        ("sca_required", False, True),
        ("SCA", False, True),
        ("3ds_timeout", True, True),
        ("authorization_declined", False, False),
        ("authorisation_declined", False, False),
        ("AUTHORIZATION_timeout", True, False),
        ("not_auth", False, False),
        ("scam_suspected", False, False),
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


WORDS = st.sampled_from(
    ["paid", "failed", "refund", "payment", "not", "timed", "out", "order", "captured", "unpaid", "3ds"]
)


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_spelling_makes_no_difference(words: list[str]) -> None:
    """However words are joined and whatever their letter case, they say the same."""
    spelt = ["_".join(words), ".".join(words).upper(), "-".join(words).title(), "  ".join(words), "/".join(words) + "!"]
    assert len({outcome_of(text, "", "") for text in spelt}) == 1


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_a_longer_word_is_another_word(words: list[str]) -> None:
    """Words that are part of longer ones say nothing."""
    assert outcome_of("_".join(f"q{word}x" for word in words), "", "") == UNCLASSIFIED


@given(st.text(max_size=30), st.text(max_size=12), st.text(max_size=30))
def test_any_text_has_an_outcome(event_type: str, retry_result: str, category: str) -> None:
    """Whatever the members hold, there is an outcome, and only a failure is a timeout or one of authentication."""
    outcome = outcome_of(event_type, retry_result, category)
    assert outcome.kind == "failure" or not (outcome.timeout or outcome.auth)
    assert outcome.classified or outcome.kind == "neutral"
