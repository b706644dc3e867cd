"""The mutes because of which nobody is told of an incident."""

import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import msgspec

from payflux.alerts.mutes import Mute
from payflux.alerts.records import incident_of
from payflux.alerts.store import AlertStore
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.risk.incidents.record import stamp
from payflux.terminal.arguments import redis_settings

Record = dict[str, Any]


def muted_by(record: Record, mutes: Iterable[Mute]) -> list[Record]:
    """The mutes because of which nobody is told of an open incident just now."""
    incident = incident_of(msgspec.json.encode(record))
    if incident is None or incident.resolved:
        return []
    held = [mute for mute in mutes if mute.holds(incident, time.time())]
    return [msgspec.to_builtins(mute) | {"until": stamp(mute.until)} for mute in held]


async def all_mutes() -> list[Mute]:
    """Every mute that is kept; raises StreamUnavailable."""
    with closing(AlertStore(address_of(redis_settings()), Keys())) as store:
        return list((await store.mutes()).values())
