"""`payflux incidents list` and `payflux incidents show`."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

from cyclopts import Parameter

from payflux.alerts.store import AlertStore
from payflux.errors import SettingsError
from payflux.redis.address import address_of
from payflux.redis.entries import parse_position
from payflux.redis.keys import Keys
from payflux.redis.risk.incidents import Incidents
from payflux.risk.incidents.mutes import Mute, muted_by
from payflux.risk.incidents.record import stamp
from payflux.stream.deliveries import at_ms
from payflux.terminal.arguments import redis_settings
from payflux.terminal.ending import complain, operate, refuse
from payflux.terminal.output import emit, emit_json, emit_rows, printable

Json = Annotated[bool, Parameter(name="--json", help="One JSON object.", negative="")]
Processors = Annotated[
    list[str] | None, Parameter(name="--processor", help="Only this processor; repeatable.", negative="")
]
COLUMNS = ("id", "state", "severity", "since", "processor", "driver", "segment", "payments", "verdict")

Record = dict[str, Any]


def list_(
    *,
    open_: Annotated[bool, Parameter(name="--open", help="Only those that are not resolved.", negative="")] = False,
    processor: Processors = None,
    last: Annotated[str | None, Parameter(help="Only what changed within it: 15m, 24h or 7d.")] = None,
    json: Json = False,
) -> int:
    """List incidents, the open ones first, then those that changed last.

    For example:

        payflux incidents list
        payflux incidents list --open --processor stripe
        payflux incidents list --last 24h --json | jq .precision

    With `--json` also the precision: which share of the incidents that somebody annotated was true. Incidents throttled
    by the processor's own limits count as true.

    Exit codes: 0 done, 1 Redis cannot be used, 2 wrong usage or configuration.
    """
    try:
        since = stamp(at_ms(parse_position(f"-{last}", end=False)) // 1000) if last else ""
    except ValueError:
        return refuse(SettingsError([f"--last {printable(last or '')}: expected a time such as 15m, 24h or 7d"]))
    try:
        incidents = _incidents()
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        async with incidents:
            found = [record async for record in incidents.latest()]
            verdicts = await incidents.verdicts()
        muted = await _mutes()
        found = [one for one in found if _is_wanted(one, processor, since) and (one["state"] == "open" or not open_)]
        found = [
            one | {"annotation": verdicts.get(one["id"]), "mutes": muted_by(one, muted, time.time())} for one in found
        ]
        if json:
            emit_json({"incidents": found, "precision": precision(found)})
        else:
            emit_rows(COLUMNS, [_columns(record) for record in found], "no incidents")
        return 0

    return operate(main)


def show(
    id_: Annotated[str, Parameter(name="ID", help="Of the incident, as `payflux incidents list` tells it.")],
    /,
    *,
    json: Json = False,
) -> int:
    """Show one incident in plain words: what, where, since when, how bad, how sure, and what to do.

    For example:

        payflux incidents show stripe-1767276125-9e9531

    Exit codes: 0 done, 1 there is none with this id or Redis cannot be used, 2 wrong usage or configuration.
    """
    try:
        incidents = _incidents()
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        async with incidents:
            record = await incidents.find(id_)
            verdicts = await incidents.verdicts()
        if record is None:
            return complain(f"{printable(id_)}: there is no such incident, or no more; see `payflux incidents list`")
        record |= {"annotation": verdicts.get(id_), "mutes": muted_by(record, await _mutes(), time.time())}
        if json:
            emit_json(record)
        else:
            emit("".join(f"{line}\n" for line in _words(record)).encode())
        return 0

    return operate(main)


def precision(records: list[Record]) -> float | None:
    """The share of the annotated incidents that were true, 0.0 to 1.0; None when none is annotated."""
    said = [one["annotation"]["verdict"] for one in records if one["annotation"]]
    return round(sum(verdict != "false" for verdict in said) / len(said), 3) if said else None


async def _mutes() -> list[Mute]:
    with closing(AlertStore(address_of(redis_settings()), Keys())) as store:
        return list((await store.mutes()).values())


def _incidents() -> Incidents:
    return Incidents(address_of(redis_settings()), Keys())


def _is_wanted(record: Record, processors: list[str] | None, since: str) -> bool:
    changed = record["resolved"] or record["updated"]
    return (not processors or record["processor"] in processors) and changed >= since


def _columns(record: Record) -> list[str]:
    segment = f"{record['dimension']}={record['value']}" if record["dimension"] else "-"
    said = record["annotation"]
    found = (
        *(record["id"], record["state"], record["severity"], record["since"], record["processor"] or "all"),
        *(record["driver"], segment, f"{record['payments_affected']}", said["verdict"] if said else "-"),
    )
    return [printable(one) for one in found]


def _words(record: Record) -> Iterator[str]:
    """An incident, as one would tell it on the telephone."""
    yield printable(record["summary"])
    yield ""
    yield f"{record['state']}, {record['severity']}; noticed at {record['opened']}, evidence since {record['since']}"
    if record["resolved"]:
        yield f"resolved at {record['resolved']}"
    yield from (f"note: {printable(note)}" for note in [record["note"]] if note)
    yield f"peak: {record['peak']:.2f} at {record['peak_at']}"
    worth = ", ".join(f"{minor} minor units of {printable(name)}" for name, minor in record["value_at_risk"].items())
    yield f"payments affected: {record['payments_affected']}" + (f", worth {worth}" if worth else "")
    yield ""
    yield f"{'driver':26}{'segment':28}{'observed':>10}{'of':>10}{'expected':>10}{'nats':>8}"
    for one in record["drivers"]:
        segment = f"{one['dimension']}={one['value']}" if one["dimension"] else "-"
        numbers = f"{one['observed']:>10}{one['attempts']:>10}{one['expected']:>10.1f}{one['evidence']:>8.1f}"
        yield f"{one['name']:26}{printable(segment):28}{numbers}"
    yield ""
    if record["state"] == "open":
        yield f"it clears when {printable(record['clears_when'])}"
    for mute in record["mutes"]:
        yield f"muted until {mute['until']} by {printable(mute['id'])}: {printable(mute['why'])}"
    yield f"what to do: {record['runbook']}"
    if said := record["annotation"]:
        yield f"annotated {said['verdict']} at {said['at']}" + (f": {printable(said['note'])}" if said["note"] else "")
