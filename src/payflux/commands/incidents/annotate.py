"""`payflux incidents annotate`."""

import time
from typing import Annotated, Literal

from cyclopts import Parameter

from payflux.errors import SettingsError
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.redis.risk.incidents import Incidents
from payflux.risk.incidents.record import stamp
from payflux.terminal.arguments import redis_settings
from payflux.terminal.ending import complain, operate, refuse
from payflux.terminal.output import emit, emit_json, printable

MOST_CHARACTERS = 1000


def annotate(
    id_: Annotated[str, Parameter(name="ID", help="Of the incident, as `payflux incidents list` tells it.")],
    verdict: Annotated[
        Literal["true", "false", "throttled"],
        Parameter(
            help="`true`: something was wrong. `false`: nothing was. `throttled`: the processor limited the rate."
        ),
    ],
    /,
    *,
    note: Annotated[str, Parameter(help="A few words for the next one.")] = "",
    json: Annotated[bool, Parameter(name="--json", help="One JSON object.", negative="")] = False,
) -> int:
    """Say whether an incident was one; kept beside it in place of what was said before.

    For example:

        payflux incidents annotate stripe-1767276125-9e9531 true --note "card network down in GB"

    Exit codes: 0 done, 1 there is none with this id or Redis cannot be used, 2 wrong usage or configuration.
    """
    if len(note) > MOST_CHARACTERS:
        return refuse(SettingsError([f"--note: expected {MOST_CHARACTERS} characters at most, got {len(note)}"]))
    try:
        incidents = Incidents(address_of(redis_settings()), Keys())
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        said = {"verdict": verdict, "note": note, "at": stamp(int(time.time()))}
        async with incidents:
            if await incidents.find(id_) is None:
                return complain(
                    f"{printable(id_)}: there is no such incident, or no more; see `payflux incidents list`"
                )
            await incidents.say(id_, said)
        if json:
            emit_json({"id": id_} | said)
        else:
            emit(f"{id_}: {verdict}\n".encode())
        return 0

    return operate(main)
