"""Which incidents a receiver is told of: least severity, processors and drivers in or out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from payflux.risk.incidents.incident import SEVERITIES, Incident
from payflux.settings import Setting, Values, choice


def _names(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    outs = [name for name in found if name.startswith("!")]
    if outs and len(outs) != len(found):
        raise ValueError("names, or names with `!` before each to leave them out, separated by commas")
    return found


@dataclass(frozen=True)
class Selection:
    """What a receiver wants to know.

    Attributes:
        least: the mildest of `SEVERITIES` it is told of.
        processors: names, or names with `!` before each to leave them out; none for all.
        drivers: the same, of the first driver.
    """

    least: str = SEVERITIES[0]
    processors: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()

    def wants(self, incident: Incident) -> bool:
        """Whether it is told of an incident; one that concerns all processors passes any of them."""
        return (
            SEVERITIES.index(incident.severity) >= SEVERITIES.index(self.least)
            and (not incident.processor or _passes(incident.processor, self.processors))
            and _passes(incident.driver.name, self.drivers)
        )


def _passes(name: str, wanted: Iterable[str]) -> bool:
    names = tuple(wanted)
    if not names:
        return True
    return f"!{name}" not in names if names[0].startswith("!") else name in names


def settings_of(receiver: str) -> tuple[Setting[Any], Setting[Any], Setting[Any]]:
    """The three settings of a receiver.

    Args:
        receiver: its name.
    """
    prefix = f"PAYFLUX_ALERT_{receiver.upper()}"
    return (
        Setting(f"{prefix}_LEAST", choice(*SEVERITIES), SEVERITIES[0], f"The mildest severity {receiver} is told of."),
        Setting(
            f"{prefix}_PROCESSORS",
            _names,
            "",
            f"Processors {receiver} is told of, or with `!` those it is not told of.",
        ),
        Setting(
            f"{prefix}_DRIVERS", _names, "", f"Drivers {receiver} is told of, or with `!` those it is not told of."
        ),
    )


def selection_of(receiver: str, values: Values) -> Selection:
    """What the settings of a node say of a receiver."""
    least, processors, drivers = settings_of(receiver)
    return Selection(values[least], values[processors] or (), values[drivers] or ())
