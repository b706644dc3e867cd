"""`payflux incidents annotate`."""

import time
from typing import Annotated, Literal

from cyclopts import Parameter

from payflux.errors import SettingsError
from payflux.redis.address import address_of
from payflux.redis.entries import parse_position
from payflux.redis.keys import Keys
from payflux.redis.risk.incidents import Incidents
from payflux.risk.incidents.record import stamp
from payflux.stream.deliveries import at_ms
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
    at: Annotated[
        str | None,
        Parameter(
            help="With `throttled`, since when: a time, RFC 3339 or -15m; now by default.", allow_leading_hyphen=True
        ),
    ] = None,
    json: Annotated[bool, Parameter(name="--json", help="One JSON object.", negative="")] = False,
) -> int:
    """Say whether an incident was one; kept beside it in place of what was said before.

    `payflux incidents list` reports from it which share of the incidents was true, and how long before the processor
    throttled they were noticed.

    For example:

        payflux incidents annotate stripe-1767276125-9e9531 true --note "card network down in GB"
        payflux incidents annotate adyen-1767276125-9e9531 throttled --at -20m

    Exit codes: 0 done, 1 there is none with this id or Redis cannot be used, 2 wrong usage or configuration.
    """
    if len(note) > MOST_CHARACTERS:
        return refuse(SettingsError([f"--note: expected {MOST_CHARACTERS} characters at most, got {len(note)}"]))
    try:
        throttled = _throttled(verdict, at)
        incidents = Incidents(address_of(redis_settings()), Keys())
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        said = {"verdict": verdict, "note": note, "at": stamp(int(time.time()))} | throttled
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


def _throttled(verdict: str, at: str | None) -> dict[str, str]:
    """Since when the processor limited the rate, where it did.

    Raises:
        SettingsError: that is no time, or was not asked.
    """
    if verdict != "throttled":
        if at is not None:
            raise SettingsError([f"--at {printable(at)}: expected with `throttled` alone"])
        return {}
    try:
        second = at_ms(parse_position(at, end=False)) // 1000 if at is not None else int(time.time())
        return {"throttled_at": stamp(second)}
    except (ValueError, OverflowError, OSError):
        raise SettingsError([f"--at {printable(at or '')}: expected a time, RFC 3339 or such as -15m"]) from None
