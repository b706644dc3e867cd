"""A mute stands in the incident it holds for, while that is open."""

import time

import msgspec

from incident_records import change
from payflux.commands.incidents.muting import muted_by
from payflux.risk.incidents.mutes import Mute
from payflux.risk.incidents.record import record_of

MUTE = Mute(id="a1", processor="*", until=int(time.time()) + 600, why="planned migration")


def test_only_what_is_open_is_muted() -> None:
    """By each mute that holds for it, with its end as a time."""
    (found,) = muted_by(record_of(change("opened"), 300), [MUTE, msgspec.structs.replace(MUTE, processor="paypal")])
    assert (found["id"], found["until"][-1]) == ("a1", "Z")
    assert muted_by(record_of(change("resolved"), 300), [MUTE]) == []
    assert muted_by({"id": "something else"}, [MUTE]) == []
