"""The gauges of open incidents: what each shows, and how many there may be."""

from typing import Any

import msgspec

from incident_records import SINCE, change
from payflux.operations.incident_gauges import GAUGES, MOST, families
from payflux.risk.incidents.record import record_of


def shown(*records: dict[str, Any]) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples by name of the gauge, then by the values of their labels."""
    found = {}
    for family in families(records):
        labels = GAUGES[family.name.removeprefix("payflux_")][1]
        found[family.name] = {
            tuple(sample.labels[label] for label in labels): sample.value for sample in family.samples
        }
    return found


def test_an_open_incident_is_shown_with_its_facts() -> None:
    """Since when, observed against expected, what it affects, and its segments."""
    record = record_of(change("opened"), 300)
    found = shown(record)
    name = record["id"]
    facts = (name, "stripe", "segment_degradation", "geo", "GB", "critical")
    assert found == {
        "payflux_incidents_open": {("stripe", "segment_degradation", "critical"): 1},
        "payflux_incident_info": {facts: SINCE},
        "payflux_incident_observed_ratio": {(name,): 0.62},
        "payflux_incident_expected_ratio": {(name,): 0.09},
        "payflux_incident_payments_affected": {(name,): 310},
        "payflux_incident_value_at_risk": {(name, "GBP"): 4_120_000},
        "payflux_segment_failure_ratio": {("stripe", "geo", "GB"): 0.62},
    }


def test_they_are_bounded() -> None:
    """However many are open, the newest are shown with their facts, and all of them are counted."""
    record = record_of(change("opened"), 300)
    many = [record | {"id": f"stripe-{number}"} for number in range(MOST + 20)]
    found = shown(*many)
    assert len(found["payflux_incident_info"]) == len(found["payflux_incident_observed_ratio"]) == MOST
    assert list(found["payflux_incidents_open"].values()) == [MOST + 20]


def test_an_incident_of_all_processors_has_a_name() -> None:
    """An empty label would be none."""
    record = msgspec.json.decode(msgspec.json.encode(record_of(change("opened"), 300) | {"processor": ""}))
    assert list(shown(record)["payflux_incidents_open"]) == [("all", "segment_degradation", "critical")]
