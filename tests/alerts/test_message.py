from incidents import NOON, incident
from payflux.alerts import Notice
from payflux.alerts.message import as_data, text, title


def test_a_message_says_what_one_needs_at_night() -> None:
    """What, where, since when, how bad, how sure, observed against expected, what to do, how to mute."""
    said = text(Notice(kind="opened", incident=incident(), runbook="https://runbook/segment"))
    for part in (
        "stripe: 62% of payments from GB fail (9% expected) since 12:00 UTC, about 265 payments, 41,200 GBP",
        "Segment: geo=GB",
        "Since: 2026-01-09T12:00:00Z",
        "Observed: 62.0% (310 of 500)",
        "Expected: 9.0%",
        "Evidence: 60.0 nats",
        "What to do: https://runbook/segment",
        f"payflux incidents show {incident().id}",
        "payflux alerts mute stripe --driver segment_degradation --for 2h",
    ):
        assert part in said, part


def test_a_test_can_be_taken_for_nothing_else() -> None:
    """In its first word and in its last sentence."""
    said = text(Notice(kind="opened", incident=incident(), test=True))
    assert said.startswith("TEST: ")
    assert said.endswith("Nothing happened: this message was sent by `payflux alerts test`.")


def test_machines_get_the_same_numbers() -> None:
    """As numbers."""
    data = as_data(Notice(kind="resolved", incident=incident(resolved=NOON + 60)))
    assert (data["observed_ratio"], data["expected_ratio"], data["resolved_at"]) == (0.62, 0.09, "2026-01-09T12:01:00Z")
    assert data["summary"] == title(Notice(kind="resolved", incident=incident(resolved=NOON + 60)))
