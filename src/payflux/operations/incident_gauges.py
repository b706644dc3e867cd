"""The gauges of open incidents, as the node that scores shows them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily

Record = Mapping[str, Any]

MOST = 50
"""Open incidents that are shown, the newest; and segments, the worst ones."""

SEGMENTS = 10
GAUGES = {
    "incidents_open": ("Open incidents.", ("processor", "driver", "severity")),
    "incident_info": (
        "An open incident, the newest 50; its value is since when, Unix time.",
        ("incident", "processor", "driver", "dimension", "value", "severity"),
    ),
    "incident_observed_ratio": ("What is observed in an open incident, as a share.", ("incident",)),
    "incident_expected_ratio": ("What was to be expected of the same.", ("incident",)),
    "incident_payments_affected": ("Payments affected by an open incident.", ("incident",)),
    "incident_value_at_risk": ("What those are worth, in minor units.", ("incident", "currency")),
    "segment_failure_ratio": (
        "The share that fails in a segment of an open incident, the worst ten.",
        ("processor", "dimension", "value"),
    ),
}
"""Each with its labels; asked of Redis at each scrape, and shown by the node that scores alone."""

DIMENSIONS = frozenset({"geo", "method", "issuer", "channel"})


def families(records: Sequence[Record]) -> Iterator[GaugeMetricFamily]:
    """The gauges.

    Args:
        records: the open incidents as they are kept, newest first.
    """
    rows: dict[str, list[tuple[Sequence[str], float]]] = {name: [] for name in GAUGES}
    counts: dict[tuple[str, ...], int] = {}
    for one in records:
        key = (_whom(one), one["driver"], one["severity"])
        counts[key] = counts.get(key, 0) + 1
    rows["incidents_open"] = list(counts.items())
    for one in records[:MOST]:
        name = one["id"]
        facts = (name, _whom(one), one["driver"], one["dimension"], one["value"], one["severity"])
        rows["incident_info"].append((facts, datetime.fromisoformat(one["since"]).timestamp()))
        rows["incident_observed_ratio"].append(((name,), one["observed_ratio"]))
        rows["incident_expected_ratio"].append(((name,), one["expected_ratio"]))
        rows["incident_payments_affected"].append(((name,), one["payments_affected"]))
        rows["incident_value_at_risk"] += [((name, code), minor) for code, minor in one["value_at_risk"].items()]
    rows["segment_failure_ratio"] = _segments(records)
    for name, (about, labels) in GAUGES.items():
        family = GaugeMetricFamily(f"payflux_{name}", about, labels=labels)
        for values, number in rows[name]:
            family.add_metric(values, number)
        yield family


def _segments(records: Sequence[Record]) -> list[tuple[Sequence[str], float]]:
    found: dict[Sequence[str], float] = {
        (_whom(one), driver["dimension"], driver["value"]): driver["observed"] / max(driver["attempts"], 1)
        for one in records
        for driver in one["drivers"]
        if driver["name"] == "segment_degradation" and driver["dimension"] in DIMENSIONS
    }
    return sorted(found.items(), key=lambda pair: (-pair[1], tuple(pair[0])))[:SEGMENTS]


def _whom(record: Record) -> str:
    return str(record["processor"]) or "all"
