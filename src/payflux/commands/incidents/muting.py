"""The mutes because of which nobody is told of an incident."""

import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from payflux.alerts.store import AlertStore
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.risk.incidents import mutes
from payflux.risk.incidents.mutes import Mute
from payflux.terminal.arguments import redis_settings

Record = dict[str, Any]


def muted_by(record: Record, held: Iterable[Mute]) -> list[Record]:
    """The mutes because of which nobody is told of an open incident just now."""
    return mutes.muted_by(record, held, time.time())


async def all_mutes() -> list[Mute]:
    """Every mute that is kept; raises StreamUnavailable."""
    with closing(AlertStore(address_of(redis_settings()), Keys())) as store:
        return list((await store.mutes()).values())
