"""Incidents and risk in words, as one would tell them on the telephone; no line is wider than 80 columns."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from textwrap import wrap
from typing import Any

from payflux.commands.incidents.chart import drawn
from payflux.risk.incidents.wording import money
from payflux.risk.severity import certainty
from payflux.terminal.output import printable

WIDTH = 80
NEEDED = "8 are needed for elevated, 11.5 for high, 15 for critical"
HELD = "the band falls when the score has been lower for the window of the settings"

Record = dict[str, Any]


def of_incident(record: Record) -> Iterator[str]:
    """What, where, since when, how bad, how sure, and what to do.

    Args:
        record: of the incident, with `annotation`, `mutes` and `half_hour`.
    """
    yield from _wrapped(record["summary"])
    yield ""
    yield from _facts(record)
    yield ""
    yield from _table(record["drivers"])
    yield from _chart(record["half_hour"], "severity")
    yield ""
    if samples := record["sample_event_ids"]:
        yield "some of its events"
        yield from (f"  {printable('  '.join(samples[at : at + 2]))}" for at in range(0, len(samples), 2))
    if record["state"] == "open":
        yield from _wrapped(f"it clears when {record['clears_when']}")
    for mute in record["mutes"]:
        yield from _wrapped(f"muted until {mute['until']} by {mute['id']}: {mute['why']}")
    yield f"what to do: {printable(record['runbook'])}"
    if said := record["annotation"]:
        yield from _wrapped(
            f"annotated {said['verdict']} at {said['at']}" + (f": {said['note']}" if said["note"] else "")
        )


def _facts(record: Record) -> Iterator[str]:
    yield f"state     {record['state']}, {record['severity']}"
    yield f"since     {record['since']}, noticed at {record['opened']}"
    if record["resolved"]:
        yield f"          resolved at {record['resolved']}"
    yield f"peak      {record['peak']:.2f} at {record['peak_at']}"
    worth = ", ".join(money(minor, printable(name)) for name, minor in record["value_at_risk"].items())
    yield from _wrapped(f"affected  {record['payments_affected']} payments" + (f", worth {worth}" if worth else ""), 10)
    if record["drivers"]:
        evidence = max(one["evidence"] for one in record["drivers"])
        yield f"how sure  {certainty(evidence):.2f}: {evidence:.1f} nats of evidence ({NEEDED})"[:WIDTH]
    yield from _wrapped(f"note      {record['note']}", 10) if record["note"] else ()


def of_processor(risk: Record) -> Iterator[str]:
    """Why a processor's score is what it is.

    Args:
        risk: its assessment, with `open_incidents` and `half_hour`.
    """
    yield f"{printable(risk['processor'])}: {risk['score']:.2f}, {risk['band']}, since {risk['since']}"
    if risk["scored_up_to"]:
        yield f"events up to {risk['scored_up_to']} are scored"
    yield ""
    yield from _wrapped(_why(risk))
    if risk["drivers"]:
        yield ""
        yield from _table(risk["drivers"])
    yield from _chart(risk["half_hour"], "score")
    yield ""
    yield from (line for one in risk["open_incidents"] for line in _wrapped(f"open: {one['id']}: {one['summary']}", 6))
    if not risk["open_incidents"]:
        yield "no incident of it is open"


def _why(risk: Record) -> str:
    counting = [one for one in risk["drivers"] if one["raises"]]
    worst = max(counting, key=lambda one: float(one["severity"]), default=None)
    if worst is not None and worst["severity"] > 0.0:
        where = f" in {worst['dimension']}={worst['value']}" if worst["dimension"] else ""
        sure, severity = certainty(worst["evidence"]), worst["severity"]
        limit = "how bad it is" if severity < sure - 0.005 else "how sure it is"
        return (
            f"{risk['score']:.2f} because of {worst['name']}{where}: {worst['observed']} of {worst['attempts']} where "
            f"{worst['expected']:.1f} were expected. The score is the lower of how sure it is ({sure:.2f}, from "
            f"{worst['evidence']:.1f} nats) and how bad it is; here {limit} decides."
        )
    if risk["drivers"]:
        return f"Nothing counts against the processor now: what stands below does not raise the score, or {HELD}."
    return "Nothing is out of the ordinary." if risk["learned"] else "It is not known yet what is ordinary here."


def _table(drivers: Sequence[Record]) -> Iterator[str]:
    """Observed against expected, a row a driver."""
    yield f"{'driver':25}{'where':15}{'observed':>9}{'of':>8}{'expected':>9}{'nats':>6}{'score':>7}"
    for one in drivers:
        where = printable(f"{one['dimension']}={one['value']}") if one["dimension"] else "-"
        where = where if len(where) <= 14 else where[:13] + "…"
        numbers = f"{one['observed']:>9}{one['attempts']:>8}{one['expected']:>9.1f}{one['evidence']:>6.1f}"
        yield f"{one['name']:25}{where:15}{numbers}{one['severity']:>7.2f}"
    if any(not one["raises"] for one in drivers):
        names = dict.fromkeys(one["name"] for one in drivers if not one["raises"])
        yield from _wrapped(f"not counted against the processor: {', '.join(names)}")


def _chart(half_hour: Record, what: str) -> Iterator[str]:
    """The half hour, where anything was to be seen in it."""
    if any(half_hour["values"]):
        yield ""
        yield f"{what}, 0 to 1, in half an hour (UTC)"
        yield from drawn(half_hour["values"], int(datetime.fromisoformat(half_hour["until"]).timestamp()))


def _wrapped(text: str, indent: int = 0) -> Iterator[str]:
    yield from wrap(printable(text), WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
