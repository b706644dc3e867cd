"""The record of an incident: what is kept, exported, answered and shown of it, the same everywhere."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import Change
from payflux.risk.incidents.wording import clears, measured, ratios, section, summary

RUNBOOK = "https://payflux.dev/docs/runbook.html"
"""Where the runbook is, unless told: it has a section for each driver."""

Record = dict[str, Any]
"""Members by name, in the order in which they are written."""


def record_of(change: Change, hold_sec: int, runbook: str = RUNBOOK) -> Record:
    """What is told of a change.

    Args:
        change: what became of an incident.
        hold_sec: how long it must be quiet before it is resolved; a setting.
        runbook: the address of the runbook; a setting.

    Returns:
        Its members: times in RFC 3339 and UTC, `resolved` null while it is open, money in minor units, ratios from 0.0.
        `kind` tells it from an event's line.
    """
    incident = change.incident
    observed, expected = ratios(measured(incident))
    return {
        "kind": "incident",
        "change": change.kind,
        "id": incident.id,
        "processor": incident.processor,
        "state": "resolved" if incident.resolved else "open",
        "severity": incident.severity,
        "driver": incident.driver.name,
        "dimension": incident.dimension,
        "value": incident.value,
        "summary": summary(incident),
        "since": stamp(incident.since),
        "opened": stamp(incident.opened),
        "updated": stamp(incident.updated),
        "resolved": stamp(incident.resolved) if incident.resolved else None,
        "peak": incident.peak,
        "peak_at": stamp(incident.peak_at),
        "observed_ratio": round(observed, 4),
        "expected_ratio": round(expected, 4),
        "payments_affected": incident.payments,
        "value_at_risk": incident.value_at_risk,
        "counted_from": stamp(incident.counted_from),
        "sample_event_ids": list(incident.samples),
        "drivers": [_driver(driver) for driver in incident.drivers],
        "clears_when": clears(incident, hold_sec),
        "runbook": f"{runbook}#{section(incident)}",
        "note": incident.note,
    }


def encoded(change: Change, hold_sec: int, runbook: str = RUNBOOK) -> bytes:
    """The record as one line of JSON, without its end."""
    return msgspec.json.encode(record_of(change, hold_sec, runbook))


def closed(record: bytes, second: int, note: str) -> tuple[str, str, bytes]:
    """The record of an open incident as it ends, when nothing else is known of it.

    Args:
        record: as it was kept.
        second: stream time of its end.
        note: why it ends.

    Returns:
        Its processor, its id and the record.
    """
    known: Record = msgspec.json.decode(record)
    known |= {"change": "resolved", "state": "resolved", "resolved": stamp(second), "updated": stamp(second)}
    known["note"] = note
    return known["processor"], known["id"], msgspec.json.encode(known)


def stamp(second: int) -> str:
    """A second of stream time in RFC 3339."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _driver(driver: Driver) -> Record:
    told: Record = msgspec.to_builtins(driver)
    return told | {"since": stamp(driver.since)}
