"""The record of an incident has every fact, in forms that machines and people read."""

import msgspec

from incident_records import change
from payflux.risk.incidents.record import encoded, record_of, stamp


def test_the_record_of_an_open_incident() -> None:
    """It has no end yet, and never lacks a member."""
    record = record_of(change("opened"), 300)
    assert (record["kind"], record["change"], record["state"], record["resolved"]) == (
        "incident",
        "opened",
        "open",
        None,
    )
    assert (record["since"], record["opened"]) == ("2026-01-01T14:02:00Z", "2026-01-01T14:02:05Z")
    assert (record["observed_ratio"], record["expected_ratio"]) == (0.62, 0.09)
    assert (record["payments_affected"], record["value_at_risk"]) == (310, {"GBP": 4_120_000})
    assert record["runbook"] == "https://payflux.dev/docs/runbook.html#segment_degradation"
    assert record_of(change("opened"), 300, "https://wiki/rb")["runbook"] == "https://wiki/rb#segment_degradation"
    assert record["drivers"][0]["since"] == record["since"]
    assert record["summary"].startswith("stripe: 62% of payments from GB fail")


def test_the_record_of_its_end_has_the_same_members() -> None:
    """With the second it ended."""
    ended = record_of(change("resolved", second=1_767_276_700), 300)
    assert ended.keys() == record_of(change("opened"), 300).keys()
    assert (ended["state"], ended["resolved"]) == ("resolved", stamp(1_767_276_700))


def test_the_line_is_one_line_that_says_the_same() -> None:
    """Encoded and decoded, it is the record."""
    line = encoded(change("opened"), 300)
    assert b"\n" not in line
    assert msgspec.json.decode(line) == record_of(change("opened"), 300)
