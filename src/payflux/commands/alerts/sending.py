"""`payflux alerts test` and `payflux alerts show`."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from msgspec.structs import replace

from payflux.alerts import Kind, Later, Notice, Receiver, Refused, Request
from payflux.alerts.registry import check_alerts, further_settings, runbook_of, settings, used
from payflux.alerts.selection import selection_of
from payflux.alerts.store import AlertStore
from payflux.alerts.trial import trial
from payflux.errors import SettingsError
from payflux.node.settings import SETTINGS
from payflux.redis.address import SETTINGS as OF_REDIS
from payflux.redis.address import address_of, check_address
from payflux.redis.keys import Keys
from payflux.risk.incidents.incident import Incident
from payflux.risk.incidents.mutes import Mute
from payflux.risk.incidents.record import stamp
from payflux.settings import Setting, Values, environment, load, variables
from payflux.terminal.ending import EXIT_FAILED, complain, operate, refuse
from payflux.terminal.output import emit, printable


def send_test(
    receiver: Annotated[str, Parameter(help="Only this one of those PAYFLUX_ALERTS names.")] = "",
    /,
) -> int:
    """Send a test incident to each receiver, and its end, and say what was answered.

    That a receiver took it is kept in Redis: `payflux check` names those that never did. Without Redis it works too.

    Messages say TEST and that nothing happened; PagerDuty gets the severity `info`, Alertmanager the
    alert `PayFluxTest`.

    For example:

        payflux alerts test
        payflux alerts test slack

    Exit codes: 0 all took it, 1 one did not, 2 wrong usage or configuration.
    """
    try:
        values = alert_settings()
        chosen = _chosen(values, receiver)
    except SettingsError as error:
        return refuse(error)
    taken = [name for name, kind in chosen.items() if _try(name, kind.make(values))]

    async def main() -> int:
        with closing(AlertStore(address_of(values), Keys())) as store:
            for name in taken:
                await store.tried(name, time.time())
        return 0

    if taken:
        operate(main)  # says by itself when Redis does not take it
    return 0 if len(taken) == len(chosen) else EXIT_FAILED


def alert_settings() -> Values:
    """Read what concerns Redis and receivers.

    Raises:
        SettingsError: naming every problem.
    """
    environ = environment()
    declared: tuple[Setting[Any], ...] = (*OF_REDIS, *settings(), *further_settings(environ))
    others = set(variables(SETTINGS)) - set(variables(declared))
    return load(
        declared, {name: text for name, text in environ.items() if name not in others}, (check_address, check_alerts)
    )


def _chosen(values: Values, receiver: str) -> dict[str, Kind]:
    kinds = used(values)
    if not kinds:
        raise SettingsError(["PAYFLUX_ALERTS: expected a receiver, nobody is told of incidents"])
    if receiver and receiver not in kinds:
        raise SettingsError([f"{printable(receiver)}: expected one of {', '.join(kinds)}, as PAYFLUX_ALERTS says"])
    return {receiver: kinds[receiver]} if receiver else kinds


def _try(name: str, receiver: Receiver) -> bool:
    """Tell it of an incident and of its end; whether it took both."""
    now, memory = int(time.time()), ""
    for incident in (trial(now), replace(trial(now), resolved=now)):
        kind, what = ("resolved", "end") if incident.resolved else ("opened", "opening")
        notice = Notice(kind=kind, incident=incident, memory=memory, test=True)  # type: ignore[arg-type]
        try:
            taken = receiver.send(notice)
        except (Later, Refused) as error:
            return _say(f"{name}: did not take the {what}: {error}", well=False)
        except Exception as error:  # noqa: BLE001 - a receiver of somebody's own raises what it likes
            return _say(f"{name}: did not take the {what}: {type(error).__name__}: {error}", well=False)
        memory = taken.memory
        _say(f"{name}: took the {what}: {taken.answered or 'no word about it'}", well=True)
    return True


def _say(line: str, *, well: bool) -> bool:
    if well:
        emit(f"{printable(line)}\n".encode())
    else:
        complain(printable(line))
    return well


def show(
    id_: Annotated[str, Parameter(name="ID", help="Of an incident, as `payflux incidents list` tells it.")],
    /,
) -> int:
    """Show what each receiver would be told of an incident, without telling it. Secrets are masked.

    For example:

        payflux alerts show stripe-1767276125-9e9531

    Exit codes: 0 done, 1 there is none with this id or Redis cannot be used, 2 wrong usage or configuration.
    """
    try:
        values = alert_settings()
        chosen = _chosen(values, "")
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        with closing(AlertStore(address_of(values), Keys())) as store:
            incident = (await store.find([id_])).get(id_)
            muted = list((await store.mutes()).values())
        if incident is None:
            return complain(f"{printable(id_)}: there is no such incident, or no more; see `payflux incidents list`")
        lines = [line for name, kind in chosen.items() for line in _shown(name, kind, values, incident, muted)]
        emit("".join(f"{line}\n" for line in lines).encode())
        return 0

    return operate(main)


def _shown(name: str, kind: Kind, values: Values, incident: Incident, muted: list[Mute]) -> Iterator[str]:
    yield f"== {name} =="
    yield from _why_not(name, values, incident, muted)
    told = Notice(
        kind="resolved" if incident.resolved else "opened", incident=incident, runbook=runbook_of(values)(incident)
    )
    secrets = {
        text: setting.show(text)
        for setting in kind.settings
        if setting.secret
        for text in _parts(values.given().get(setting.name, ""))
    }
    for request in kind.make(values).requests(told):
        yield from (printable(_masked(line, secrets)) for line in _lines(request))
    yield ""


def _why_not(name: str, values: Values, incident: Incident, muted: list[Mute]) -> Iterator[str]:
    if not selection_of(name, values).wants(incident):
        yield f"(is not told of it: see PAYFLUX_ALERT_{name.upper()}_LEAST, _PROCESSORS and _DRIVERS)"
    for mute in muted:
        if mute.holds(incident, time.time()):
            yield f"(muted until {stamp(mute.until)} by {mute.id}: {printable(mute.why)})"


def _lines(request: Request) -> list[str]:
    try:
        body = msgspec.json.format(request.body, indent=2).decode()
    except msgspec.DecodeError:
        body = request.body.decode(errors="replace")
    headers = [f"{name}: {value}" for name, value in request.headers.items()]
    return [f"POST {request.url}", *headers, "", *body.split("\n")]


def _parts(secret: str) -> list[str]:
    return [part.strip() for part in secret.split(",") if part.strip()]


def _masked(line: str, secrets: Mapping[str, str]) -> str:
    for secret, shown in secrets.items():
        line = line.replace(secret, shown)
    return line
