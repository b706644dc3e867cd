"""`payflux incidents list`."""

import statistics
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from payflux.commands.incidents.muting import all_mutes, muted_by
from payflux.errors import SettingsError
from payflux.redis.address import address_of
from payflux.redis.entries import parse_position
from payflux.redis.keys import Keys
from payflux.redis.risk.incidents import Incidents
from payflux.risk.incidents.record import stamp
from payflux.stream.deliveries import at_ms
from payflux.terminal.arguments import redis_settings
from payflux.terminal.ending import operate, refuse
from payflux.terminal.output import emit_json, emit_tabbed, printable

STYLES = {"elevated": "yellow", "high": "red", "critical": "bold red"}

Record = dict[str, Any]


def list_(
    *,
    open_: Annotated[bool, Parameter(name="--open", help="Only those that are not resolved.", negative="")] = False,
    processor: Annotated[
        list[str] | None, Parameter(name="--processor", help="Only this processor; repeatable.", negative="")
    ] = None,
    last: Annotated[str | None, Parameter(help="Only what changed within it: 15m, 24h or 7d.")] = None,
    json: Annotated[bool, Parameter(name="--json", help="One JSON object.", negative="")] = False,
) -> int:
    """List incidents, the open ones first, then those that changed last.

    For example:

        payflux incidents list
        payflux incidents list --open --processor stripe
        payflux incidents list --last 24h --json | jq .precision

    Below the table and with `--json` stands what follows from what people said of them: the precision, which share of
    the annotated incidents was true (throttled ones are), and the lead time, how long before the processor throttled
    they were noticed.

    Exit codes: 0 done, 1 Redis cannot be used, 2 wrong usage or configuration.
    """
    try:
        since = stamp(at_ms(parse_position(f"-{last}", end=False)) // 1000) if last else ""
    except ValueError:
        return refuse(SettingsError([f"--last {printable(last or '')}: expected a time such as 15m, 24h or 7d"]))
    try:
        incidents = Incidents(address_of(redis_settings()), Keys())
    except SettingsError as error:
        return refuse(error)

    async def main() -> int:
        async with incidents:
            found = [record async for record in incidents.latest()]
            verdicts = await incidents.verdicts()
        muted = await all_mutes()
        found = [one for one in found if _is_wanted(one, processor, since) and (one["state"] == "open" or not open_)]
        found = [one | {"annotation": verdicts.get(one["id"]), "mutes": muted_by(one, muted)} for one in found]
        if json:
            emit_json({"incidents": found, "precision": precision(found), "lead_time_sec": lead_time(found)})
        elif sys.stdout.isatty():
            _show(found)
        else:
            emit_tabbed(map(_columns, found))
        return 0

    return operate(main)


def precision(records: Sequence[Record]) -> float | None:
    """The share of the annotated incidents that were true, 0.0 to 1.0; None when none is annotated."""
    said = [one["annotation"]["verdict"] for one in records if one["annotation"]]
    return round(sum(verdict != "false" for verdict in said) / len(said), 3) if said else None


def lead_time(records: Sequence[Record]) -> float | None:
    """How long before the processor throttled an incident was noticed, in seconds; below 0 where that was later.

    Args:
        records: with `annotation`.

    Returns:
        The median of those annotated as throttled; None when there is none.
    """
    found = [
        (
            datetime.fromisoformat(one["annotation"]["throttled_at"]) - datetime.fromisoformat(one["opened"])
        ).total_seconds()
        for one in records
        if one["annotation"] and one["annotation"].get("throttled_at")
    ]
    return statistics.median(found) if found else None


def _is_wanted(record: Record, processors: list[str] | None, since: str) -> bool:
    changed = record["resolved"] or record["updated"]
    return (not processors or record["processor"] in processors) and changed >= since


def _columns(record: Record) -> list[str]:
    """A line for programs: id, state, severity, since, processor, driver, segment, payments, verdict."""
    segment = f"{record['dimension']}={record['value']}" if record["dimension"] else "-"
    said = record["annotation"]
    found = (
        *(record["id"], record["state"], record["severity"], record["since"], record["processor"] or "all"),
        *(record["driver"], segment, f"{record['payments_affected']}", said["verdict"] if said else "-"),
    )
    return [printable(one) for one in found]


def _show(records: Sequence[Record]) -> None:
    """A table for people: worst things first, ids whole, and never wider than 80 columns need be."""
    console = Console(highlight=False)
    if not records:
        console.print("no incidents")
        return
    table = Table(
        *(Column("incident", no_wrap=True), Column("severity", no_wrap=True), Column("since, UTC", no_wrap=True)),
        *(Column("what", overflow="fold"), Column("payments", justify="right")),
        box=None,
        padding=(0, 2, 0, 0),
    )
    for one in records:
        table.add_row(*_cells(one))
    console.print(table)
    for line in _report(records):
        console.print(line)


def _cells(record: Record) -> Iterator[Text]:
    began = datetime.fromisoformat(record["since"])
    where = f"\n{record['dimension']}={record['value']}" if record["dimension"] else ""
    yield Text(printable(record["id"])).append(f"\n  {', '.join(_state(record))}", "dim")
    yield Text(record["severity"], STYLES.get(record["severity"], ""))
    yield Text(f"{began:%m-%d %H:%M}")
    yield Text("\n".join(map(printable, (record["driver"] + where).split("\n"))))
    yield Text(f"{record['payments_affected']:,}")


def _state(record: Record) -> Iterator[str]:
    yield "open" if not record["resolved"] else f"resolved {datetime.fromisoformat(record['resolved']):%H:%M}"
    if record["annotation"]:
        yield record["annotation"]["verdict"]
    if record["mutes"]:
        yield "muted"


def _report(records: Sequence[Record]) -> Iterator[str]:
    """What follows from what people said of them."""
    said = [one for one in records if one["annotation"]]
    if (share := precision(records)) is not None:
        yield f"precision {share:.0%}, of {len(said)} annotated"
    if (lead := lead_time(records)) is not None:
        yield f"lead time {lead / 60:.1f} min before the processor throttled (median)"
