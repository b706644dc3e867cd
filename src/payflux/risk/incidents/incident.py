"""Incidents: what is known of one trouble, and what becomes of it."""

from hashlib import blake2s
from typing import Literal

import msgspec

from payflux.risk.assessment import BANDS
from payflux.risk.drivers import Driver

SEVERITIES = BANDS[1:]
"""From worth knowing to worst."""

Place = tuple[str, str]
"""A dimension and a value; both empty for all traffic of a processor."""

EVERYWHERE: Place = ("", "")


class Incident(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One trouble, as it stands at a second.

    Attributes:
        id: the same for the same trouble on every replay, fit for a URL.
        processor: whom it concerns; empty when it concerns all.
        severity: the worst one of `SEVERITIES` so far.
        opened: stream time in seconds at which it was noticed.
        since: stream time at which its evidence begins.
        counted_from: stream time from which on payments are counted: `since`, or up to a minute before.
        updated: stream time of these numbers.
        resolved: stream time of its end; 0 while it is open.
        dimension: of the worst segment, such as `geo`; empty for all traffic.
        value: of the worst segment, such as `GB`.
        peak: the highest severity so far, 0.0 to 1.0.
        peak_at: stream time of that.
        drivers: what it shows itself by, the first cause first; when it is resolved, what it showed itself by last.
        payments: payments affected: that failed at their first attempt, less those that were expected to; for a drop of
            the volume those that did not come.
        value_at_risk: what they were worth, minor units by currency.
        samples: ids of up to five of its events.
        note: what else is known of it; may be empty.
    """

    id: str
    processor: str
    severity: str
    opened: int
    since: int
    counted_from: int
    updated: int
    resolved: int = 0
    dimension: str = ""
    value: str = ""
    peak: float = 0.0
    peak_at: int = 0
    drivers: tuple[Driver, ...] = ()
    payments: int = 0
    value_at_risk: dict[str, int] = {}
    samples: tuple[str, ...] = ()
    note: str = ""

    @property
    def driver(self) -> Driver:
        """The one that says most."""
        return self.drivers[0]

    @property
    def place(self) -> Place:
        """Dimension and value."""
        return self.dimension, self.value


class Change(msgspec.Struct, frozen=True, gc=False):
    """Something that became of an incident.

    Attributes:
        kind: `opened`; `worsened`: its severity rose, or it spread from a segment to all traffic; `resolved`; or
            `updated`: only its numbers are newer.
        second: stream time.
        incident: as it stands from then on.
    """

    kind: Literal["opened", "worsened", "resolved", "updated"]
    second: int
    incident: Incident


def id_of(processor: str, second: int, driver: Driver) -> str:
    """The id of an incident: of its processor, the second it was noticed, and the driver and segment it was noticed by.

    Args:
        processor: whom it concerns; empty for all.
        second: stream time.
        driver: the first one.
    """
    what = "\0".join((driver.name, driver.dimension, driver.value, str(driver.raises)))
    return f"{processor or 'all'}-{second}-{blake2s(what.encode(), digest_size=3).hexdigest()}"
