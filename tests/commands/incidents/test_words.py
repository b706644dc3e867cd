"""Incidents in words: whatever their numbers and names are, 80 columns are enough."""

from typing import Any

import pytest

from incident_records import change
from payflux.commands.incidents.chart import STEPS
from payflux.commands.incidents.words import of_incident, of_processor
from payflux.risk.drivers import DRIVERS
from payflux.risk.incidents.record import record_of

HALF_HOUR = {"until": "2026-01-01T14:30:00Z", "step_sec": 30, "values": [0.5] * STEPS}
DRIVER = record_of(change("opened"), 300)["drivers"][0]


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_fits(driver: str) -> None:
    """Long names, large numbers and words that steer a terminal."""
    one = DRIVER | {
        "name": driver,
        "value": "a very long value\x1b[2J" * 5,
        "observed": 1_234_567,
        "attempts": 2_345_678,
    }
    further: dict[str, Any] = {
        "half_hour": HALF_HOUR,
        "annotation": {"verdict": "false", "at": "2026-01-01T15:00:00Z", "note": "we deployed " * 20},
        "mutes": [{"until": "2026-01-01T15:00:00Z", "id": "a1", "why": "why not " * 30}],
        "drivers": [one | {"raises": False}, one],
        "sample_event_ids": [f"{number:036d}" for number in range(5)],
        "note": "nothing arrives from any processor " * 5,
    }
    lines = list(of_incident(record_of(change("opened"), 300) | further))
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line for line in lines)
    assert sum(line.count("0" * 35) for line in lines) == 5


def risk(**members: Any) -> str:
    """What is said of a processor, in one line."""
    known = {"processor": "stripe", "score": 0.0, "band": "low", "since": "2026-01-01T14:00:00Z", "scored_up_to": None}
    known |= {
        "learned": True,
        "note": "",
        "drivers": [],
        "open_incidents": [],
        "half_hour": HALF_HOUR | {"values": [0.0]},
    }
    return " ".join(" ".join(of_processor(known | members)).split())


def test_what_decides_is_told() -> None:
    """The lower of how sure and how bad; what does not count, and what is held, is told to be."""
    sure = DRIVER | {"severity": 0.42, "evidence": 24.0}
    assert "how bad it is decides" in risk(score=0.42, drivers=[sure])
    assert "how sure it is decides" in risk(score=0.3, drivers=[sure | {"severity": 0.3, "evidence": 8.0}])
    assert "Nothing counts against the processor now" in risk(drivers=[sure | {"raises": False}])
    assert "not counted against the processor: segment_degradation" in risk(drivers=[sure | {"raises": False}])
    assert "It is not known yet what is ordinary here." in risk(learned=False)
    assert "no incident of it is open" in risk()
