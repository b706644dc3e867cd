"""Incidents from the records that are kept of them."""

from datetime import datetime
from typing import Any

import msgspec

from payflux.risk.incidents.incident import Incident

_SAME = ("id", "processor", "severity", "dimension", "value", "peak", "value_at_risk", "note")
_MOMENTS = ("opened", "since", "counted_from", "updated", "peak_at")


def incident_of(record: bytes) -> Incident | None:
    """The incident a record tells of, as `payflux.risk.incidents.record` writes it.

    Args:
        record: JSON.

    Returns:
        None when it is no such record: anybody may write to Redis.
    """
    try:
        told = msgspec.json.decode(record, type=dict[str, Any])
        incident = msgspec.convert(_members(told), Incident)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return None
    return incident if incident.drivers else None


def _members(told: dict[str, Any]) -> dict[str, Any]:
    found = {name: told[name] for name in _SAME} | {name: _second(told[name]) for name in _MOMENTS}
    found["resolved"] = _second(told["resolved"]) if told["resolved"] else 0
    found |= {"payments": told["payments_affected"], "samples": told["sample_event_ids"]}
    return found | {"drivers": [driver | {"since": _second(driver["since"])} for driver in told["drivers"]]}


def _second(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp())
