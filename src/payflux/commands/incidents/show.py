"""`payflux incidents show`: one incident, or why a processor's risk is what it is."""

import time
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter

from payflux.commands.incidents.chart import STEP_SEC, STEPS, Course, heights
from payflux.commands.incidents.muting import all_mutes, muted_by
from payflux.commands.incidents.words import of_incident, of_processor
from payflux.errors import SettingsError
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.redis.risk.incidents import Incidents
from payflux.risk.incidents.record import stamp
from payflux.terminal.arguments import redis_settings
from payflux.terminal.ending import EXIT_USAGE, complain, operate, refuse
from payflux.terminal.output import emit, emit_json, printable

AFTER_SEC = 300
"""How much of what came after the end of an incident its chart shows."""

Record = dict[str, Any]


def show(
    id_: Annotated[
        str | None, Parameter(name="ID", help="Of the incident, as `payflux incidents list` tells it.")
    ] = None,
    /,
    *,
    processor: Annotated[str | None, Parameter(help="Instead: why the risk of this processor is what it is.")] = None,
    json: Annotated[bool, Parameter(name="--json", help="One JSON object.", negative="")] = False,
) -> int:
    """Show one incident in plain words: what, where, since when, how bad, how sure, and what to do.

    With `--processor` why its score is what it is now: what is observed, what was expected, and which incidents are
    open. Both with a chart of half an hour.

    For example:

        payflux incidents show stripe-1767276125-9e9531
        payflux incidents show --processor stripe
        payflux incidents show --processor stripe --json | jq .score

    Exit codes: 0 done, 1 nothing is known of it or Redis cannot be used, 2 wrong usage or configuration.
    """
    if (id_ is None) == (processor is None):
        return complain("payflux incidents show: expected the ID of an incident, or --processor", EXIT_USAGE)
    try:
        incidents = Incidents(address_of(redis_settings()), Keys())
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        async with incidents:
            if processor is not None:
                found = await _assessed(incidents, processor)
            else:
                found = await _found(incidents, id_ or "")
        if found is None:
            return complain(_unknown(id_, processor))
        if json:
            emit_json(found)
        else:
            lines = of_incident(found) if processor is None else of_processor(found)
            emit("".join(f"{line}\n" for line in lines).encode())
        return 0

    return operate(main)


def _unknown(incident: str | None, processor: str | None) -> str:
    if incident is None:
        return f"{printable(processor or '')}: nothing was said of such a processor yet"
    return f"{printable(incident)}: there is no such incident, or no more; see `payflux incidents list`"


async def _found(incidents: Incidents, incident: str) -> Record | None:
    record = await incidents.find(incident)
    if record is None:
        return None
    verdicts = await incidents.verdicts()
    end = int(time.time())
    if record["resolved"]:
        end = min(end, _second(record["resolved"]) + AFTER_SEC)
    own = {(one["name"], one["dimension"], one["value"]) for one in record["drivers"]}
    course = await _course(incidents, record["processor"], end, own)
    mutes = muted_by(record, await all_mutes())
    return record | {"annotation": verdicts.get(incident), "mutes": mutes, "half_hour": _half_hour(course, end)}


async def _assessed(incidents: Incidents, processor: str) -> Record | None:
    said = await incidents.assessment(processor)
    if said is None:
        return None
    end = int(time.time())
    open_ = [one for one in await incidents.open() if one["processor"] == processor]
    scored = await incidents.scored_ms()
    return {
        "processor": processor,
        "score": said.get("score", 0.0),
        "band": said.get("band", "low"),
        "since": stamp(said["second"]),
        "scored_up_to": stamp(scored // 1000) if scored else None,
        "learned": said.get("learned", False),
        "note": said.get("note", ""),
        "drivers": [one | {"since": stamp(one["since"])} for one in said.get("drivers", ())],
        "open_incidents": [{"id": one["id"], "summary": one["summary"]} for one in open_],
        "half_hour": _half_hour(await _course(incidents, processor, end, None), end),
    }


async def _course(incidents: Incidents, processor: str, end: int, drivers: set[tuple[str, str, str]] | None) -> Course:
    """What was said of a processor: its score, or how severe the worst of some drivers was."""
    said = await incidents.assessed(processor, end - STEPS * STEP_SEC)
    return [(one["second"], _height(one, drivers)) for one in said if one["second"] < end]


def _height(said: Record, drivers: set[tuple[str, str, str]] | None) -> float:
    if drivers is None:
        return float(said.get("score", 0.0))
    own = (one for one in said.get("drivers", ()) if (one["name"], one["dimension"], one["value"]) in drivers)
    return max((float(one["severity"]) for one in own), default=0.0)


def _half_hour(course: Course, end: int) -> Record:
    return {"until": stamp(end), "step_sec": STEP_SEC, "values": [round(one, 3) for one in heights(course, end)]}


def _second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
