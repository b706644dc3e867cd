"""Which receivers there are, and which of them a node tells."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from payflux.alerts import Kind
from payflux.alerts.selection import settings_of
from payflux.settings import Setting, Values

RECEIVERS = {
    "alertmanager": "payflux.alerts.alertmanager:KIND",
    "pagerduty": "payflux.alerts.pagerduty:KIND",
    "slack": "payflux.alerts.slack:KIND",
    "webhook": "payflux.alerts.webhook:KIND",
}
"""The `Kind` of every receiver PayFlux brings, by the name it has in settings, metrics and answers."""


def kind_of(name: str) -> Kind:
    """Find a kind of receiver; its module is imported when it is asked for.

    Args:
        name: one of `RECEIVERS`, or any `module:Name` of a `Kind` or of a class that is made of the settings.

    Raises:
        ValueError: there is none of that name, or it cannot be imported; the text completes "expected …".
    """
    module, colon, attribute = RECEIVERS.get(name, name).partition(":")
    if not colon:
        raise ValueError(f"some of {', '.join(RECEIVERS)}, or module:Class, separated by commas")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # noqa: BLE001 - a module of somebody else's raises what it likes
        raise ValueError(f"a class that can be imported ({type(error).__name__}: {error})") from None
    if isinstance(found, Kind):
        return found
    if not callable(found):
        raise ValueError(f"the class of a receiver; {name} is none")  # noqa: TRY004 - a setting is wrong, not a call
    return Kind(found, "a receiver of your own")


def _alerts(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        kind_of(name)
    return names


ALERTS = Setting(
    "PAYFLUX_ALERTS",
    _alerts,
    "",
    f"Who is told of incidents, separated by commas: {', '.join(RECEIVERS)}, or module:Class of one of your own.",
)


def settings() -> tuple[Setting[Any], ...]:
    """Those of every receiver PayFlux brings."""
    own = [setting for name in RECEIVERS for setting in (*kind_of(name).settings, *settings_of(name))]
    return ALERTS, *own


def used(values: Values) -> dict[str, Kind]:
    """The receivers of a node, by name."""
    return {name: kind_of(name) for name in values[ALERTS]}


def check_alerts(values: Values) -> Iterator[str]:
    """What is wrong with the receivers: a line for each problem."""
    for name, kind in used(values).items():
        yield from (f"{problem}, as PAYFLUX_ALERTS names {name}" for problem in kind.refuse(values))
