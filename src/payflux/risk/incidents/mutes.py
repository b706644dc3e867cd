"""Mutes: for how long nobody is to be told of some incidents, and why. Detection goes on."""

from collections.abc import Iterable
from typing import Any

import msgspec

from payflux.risk.incidents.incident import Incident, Place
from payflux.risk.incidents.record import Record, stamp

LONGEST_SEC = 30 * 86400


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """One mute.

    Attributes:
        id: short, to unmute it by.
        processor: whose incidents; `*` for all.
        driver: only those of this driver; empty for any.
        dimension: only those of this segment, with `value`; empty for any.
        value: see `dimension`.
        until: Unix time at which it ends.
        why: the reason, for whoever finds it.
        by: who made it; may be empty.
    """

    id: str
    processor: str
    driver: str = ""
    dimension: str = ""
    value: str = ""
    until: int
    why: str
    by: str = ""

    def holds(self, incident: Incident, now: float) -> bool:
        """Whether nobody is told of an incident at a Unix time."""
        return now < self.until and self._names(incident.processor, incident.driver.name, incident.place)

    def holds_record(self, record: Record, now: float) -> bool:
        """The same of an incident's record."""
        place = record["dimension"], record["value"]
        return now < self.until and self._names(record["processor"], record["driver"], place)

    def _names(self, processor: str, driver: str, place: Place) -> bool:
        return (
            self.processor in {"*", processor}
            and self.driver in {"", driver}
            and (not self.dimension or (self.dimension, self.value) == place)
        )

    def told(self) -> dict[str, object]:
        """Its members that say something, for a line of a log."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value}


def muted_by(record: Record, mutes: Iterable[Mute], now: float) -> list[dict[str, Any]]:
    """The mutes because of which nobody is told of an incident just now, as answers have them.

    Args:
        record: of the incident.
        mutes: all of them.
        now: Unix time.

    Returns:
        Their members, `until` in RFC 3339; none when the incident is over.
    """
    held = [mute for mute in mutes if mute.holds_record(record, now)] if record.get("state") == "open" else []
    return [msgspec.to_builtins(mute) | {"until": stamp(mute.until)} for mute in held]


def mutes_of(kept: Iterable[bytes]) -> list[Mute]:
    """The mutes that are kept; what is none is left out: anybody may write to Redis."""
    found = []
    for one in kept:
        try:
            found.append(msgspec.json.decode(one, type=Mute))
        except msgspec.MsgspecError:
            continue
    return found


def span(text: str) -> int:
    """Seconds of a duration as people type it: `90s`, `30m`, `2h`, `1d`.

    Raises:
        ValueError: it is none, or longer than 30 days; the text completes "expected …".
    """
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    digits, unit = text[:-1], text[-1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 7 and unit in units):
        raise ValueError("a duration such as 30m, 2h or 1d")
    seconds = int(digits) * units[unit]
    if not 0 < seconds <= LONGEST_SEC:
        raise ValueError("a duration of at most 30 days")
    return seconds


def segment(text: str) -> tuple[str, str]:
    """Dimension and value of `geo=BR`.

    Raises:
        ValueError: it is no such pair; the text completes "expected …".
    """
    dimension, equals, value = text.partition("=")
    if not (dimension and equals and value):
        raise ValueError("dimension=value, such as geo=BR")
    return dimension, value
