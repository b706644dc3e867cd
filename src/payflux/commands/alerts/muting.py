"""`payflux alerts mute`, `unmute` and `mutes`."""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

import msgspec
from cyclopts import Parameter

from payflux.alerts.store import AlertStore
from payflux.errors import SettingsError
from payflux.event.rules import is_processor
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.risk.drivers import DRIVERS
from payflux.risk.incidents.mutes import Mute, segment, span
from payflux.risk.incidents.record import stamp
from payflux.terminal.arguments import redis_settings
from payflux.terminal.ending import complain, operate, refuse
from payflux.terminal.output import emit, emit_json, emit_rows, printable

MOST_CHARACTERS = 300
COLUMNS = ("id", "processor", "driver", "segment", "until", "by", "why")


def mute(
    processor: Annotated[str, Parameter(help="Whose incidents; `'*'` for all.")],
    /,
    *,
    for_: Annotated[str, Parameter(name="--for", help="For how long: 30m, 2h or 1d; 30 days at most.")],
    why: Annotated[str, Parameter(help="The reason, for whoever finds it.")],
    driver: Annotated[str, Parameter(help="Only incidents of this driver.")] = "",
    value: Annotated[str, Parameter(help="Only this segment, such as `geo=BR`.")] = "",
    by: Annotated[str, Parameter(help="Who mutes it.")] = "",
) -> int:
    """Tell nobody of some incidents for a while. They are found, counted and listed all the same.

    It takes effect within a second, on every node. What was told already is closed when it ends; what is still open
    when the mute ends is told then.

    For example:

        payflux alerts mute stripe --for 2h --why "planned migration"
        payflux alerts mute stripe --driver segment_degradation --value geo=BR --for 1d --why "issuer told us"

    Exit codes: 0 done, 1 Redis cannot be used, 2 wrong usage or configuration.
    """
    problems = list(_problems(processor, driver, value, for_, why, by))
    try:
        address = address_of(redis_settings())
    except SettingsError as error:
        problems += error.problems
    if problems:
        return refuse(SettingsError(problems))
    dimension, name = segment(value) if value else ("", "")
    made = Mute(
        id=secrets.token_hex(3),
        processor=processor,
        driver=driver,
        dimension=dimension,
        value=name,
        until=int(time.time()) + span(for_),
        why=why,
        by=by,
    )

    async def main() -> int:
        with closing(AlertStore(address, Keys())) as store:
            await store.mute(made)
        emit(f"{made.id}: muted until {stamp(made.until)}; payflux alerts unmute {made.id} ends it\n".encode())
        return 0

    return operate(main)


def _problems(processor: str, driver: str, value: str, span_: str, why: str, by: str) -> Iterator[str]:  # noqa: PLR0917
    if processor != "*" and not is_processor(processor):
        yield f"{printable(processor)}: expected a processor's name, or '*' for all"
    if driver and driver not in DRIVERS:
        yield f"--driver {printable(driver)}: expected one of {', '.join(DRIVERS)}"
    for option, text, parse in (("--value", value, segment), ("--for", span_, span)):
        try:
            if text or option == "--for":
                parse(text)
        except ValueError as error:
            yield f"{option} {printable(text)}: expected {error}"
    if not why.strip():
        yield "--why: expected a reason"
    if max(len(why), len(by), len(value)) > MOST_CHARACTERS:
        yield f"--why, --by, --value: expected {MOST_CHARACTERS} characters at most"


def unmute(
    id_: Annotated[str, Parameter(name="ID", help="Of the mute, as `payflux alerts mutes` tells it.")],
    /,
) -> int:
    """End a mute now: what is open is told.

    For example:

        payflux alerts unmute 3f9a01

    Exit codes: 0 done, 1 there is none with this id or Redis cannot be used, 2 wrong usage or configuration.
    """
    try:
        address = address_of(redis_settings())
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        with closing(AlertStore(address, Keys())) as store:
            gone = await store.unmute(id_)
        if not gone:
            return complain(f"{printable(id_)}: there is no such mute; see `payflux alerts mutes`")
        emit(f"{printable(id_)}: ended\n".encode())
        return 0

    return operate(main)


def mutes(
    *,
    json: Annotated[bool, Parameter(name="--json", help="One JSON object.", negative="")] = False,
) -> int:
    """List the mutes that hold, the one that ends first at the top.

    For example:

        payflux alerts mutes

    Exit codes: 0 done, 1 Redis cannot be used, 2 wrong usage or configuration.
    """
    try:
        address = address_of(redis_settings())
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        with closing(AlertStore(address, Keys())) as store:
            found = sorted((await store.mutes()).values(), key=lambda one: (one.until, one.id))
        found = [one for one in found if one.until > time.time()]
        if json:
            emit_json({"mutes": [msgspec.to_builtins(one) | {"until": stamp(one.until)} for one in found]})
        else:
            emit_rows(COLUMNS, [_columns(one) for one in found], "no mutes")
        return 0

    return operate(main)


def _columns(mute_: Mute) -> list[str]:
    place = f"{mute_.dimension}={mute_.value}" if mute_.dimension else "-"
    found = (mute_.id, mute_.processor, mute_.driver or "-", place, stamp(mute_.until), mute_.by or "-", mute_.why)
    return [printable(one) for one in found]
