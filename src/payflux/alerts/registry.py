"""Which receivers there are, and which of them a node tells."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from payflux.alerts import Kind
from payflux.alerts.selection import settings_of
from payflux.outgoing.post import web_address
from payflux.risk.incidents.incident import Incident
from payflux.risk.incidents.record import RUNBOOK
from payflux.risk.incidents.wording import section
from payflux.settings import Setting, Values, imported

RECEIVERS = {
    "alertmanager": "payflux.alerts.receivers.alertmanager:KIND",
    "pagerduty": "payflux.alerts.receivers.pagerduty:KIND",
    "slack": "payflux.alerts.receivers.slack:KIND",
    "webhook": "payflux.alerts.receivers.webhook:KIND",
}
"""The `Kind` of every receiver PayFlux brings, by the name it has in settings, metrics and answers."""


MOST = 16
"""So many receivers a node can tell apart."""


def name_of(word: str) -> str:
    """The name of a receiver as PAYFLUX_ALERTS has it: of a `module:Class` the class, in lower case."""
    return word.rpartition(":")[2].lower()


@lru_cache(maxsize=64)
def kind_of(word: str) -> Kind:
    """Find a kind of receiver; its module is imported when it is asked for.

    Args:
        word: one of `RECEIVERS`, or any `module:Name` of a `Kind` or of a class that is made of the settings.

    Raises:
        ValueError: there is none of that name, or it cannot be imported; the text completes "expected …".
    """
    target = RECEIVERS.get(word, word)
    if ":" not in target:
        raise ValueError(f"some of {', '.join(RECEIVERS)}, or module:Class, separated by commas")
    found = imported(target, "a class")
    if isinstance(found, Kind):
        return found
    if not callable(found):
        raise ValueError(f"the class of a receiver; {word} is none")  # noqa: TRY004 - a setting is wrong, not a call
    return Kind(found, "a receiver of your own")


def _alerts(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for word in found:
        kind_of(word)
    names = [name_of(word) for word in found]
    if len(set(names)) < len(names) or any(name in RECEIVERS and name not in found for name in names):
        raise ValueError("each receiver once, and none of your own with the name of one of PayFlux's")
    if len(found) > MOST:
        raise ValueError(f"at most {MOST} receivers")
    return found


ALERTS = Setting(
    "PAYFLUX_ALERTS",
    _alerts,
    "",
    f"Who is told of incidents, separated by commas: {', '.join(RECEIVERS)}, or module:Class of one of your own.",
)
RUNBOOK_URL = Setting(
    "PAYFLUX_RUNBOOK_URL",
    web_address,
    RUNBOOK,
    "Address of the runbook, such as that of your own copy: incidents, alerts and messages link to its sections.",
)


def settings() -> tuple[Setting[Any], ...]:
    """Those of every receiver PayFlux brings."""
    return (ALERTS, RUNBOOK_URL, *(one for word in RECEIVERS for one in _settings_of(word)))


def _settings_of(word: str) -> tuple[Setting[Any], ...]:
    return (*kind_of(word).settings, *settings_of(name_of(word)))


def further_settings(environ: Mapping[str, str]) -> tuple[Setting[Any], ...]:
    """Those of receivers of one's own that an environment names; none when it names them wrongly, which is said."""
    try:
        named = ALERTS.parse(environ.get(ALERTS.name, ""))
    except ValueError:
        return ()
    return tuple(one for word in named if word not in RECEIVERS for one in _settings_of(word))


def used(values: Values) -> dict[str, Kind]:
    """The receivers of a node, by name."""
    return {name_of(word): kind_of(word) for word in values[ALERTS]}


def check_alerts(values: Values) -> Iterator[str]:
    """What is wrong with the receivers: a line for each problem."""
    for name, kind in used(values).items():
        yield from (f"{problem}, as PAYFLUX_ALERTS names {name}" for problem in kind.refuse(values))


def runbook_of(values: Values) -> Callable[[Incident], str]:
    """Tells the address of what to do about an incident."""
    return lambda incident: f"{values[RUNBOOK_URL]}#{section(incident)}"
