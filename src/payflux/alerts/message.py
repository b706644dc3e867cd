"""What every message says: in plain words, and in the same order."""

from datetime import UTC, datetime

from payflux.alerts import Notice
from payflux.risk.incidents.incident import Incident
from payflux.risk.incidents.wording import measured, money, ratios, summary

MOST_LISTED = 30
_OPENINGS = {"opened": "", "worsened": "WORSE: ", "resolved": "RESOLVED: ", "still": "", "summary": ""}


def title(notice: Notice) -> str:
    """One line: the kind of news, how severe, and the incident in one sentence."""
    test = "TEST: " if notice.test else ""
    if notice.kind == "summary":
        return f"{test}{len(notice.others)} more incidents: {', '.join(_by_processor(notice.others))}"
    return f"{test}{_OPENINGS[notice.kind]}[{notice.incident.severity}] {summary(notice.incident)}"


def _by_processor(incidents: tuple[Incident, ...]) -> list[str]:
    names = dict.fromkeys(incident.processor or "all processors" for incident in incidents)
    shown = list(names)[:10]
    return shown if len(names) <= 10 else [*shown, f"{len(names) - 10} others"]


def facts(incident: Incident) -> list[tuple[str, str]]:
    """What is known, as pairs of a name and a text: what, where, since when, how bad, how sure."""
    driver = measured(incident)
    observed, expected = ratios(driver)
    found = [
        ("Processor", incident.processor or "all"),
        ("Severity", incident.severity),
        ("Driver", incident.driver.name),
        ("Segment", f"{incident.dimension}={incident.value}" if incident.dimension else "all traffic"),
        ("Since", _moment(incident.since)),
        ("Observed", f"{observed:.1%} ({driver.observed} of {driver.attempts})"),
        ("Expected", f"{expected:.1%}"),
        ("Evidence", f"{driver.evidence:.1f} nats"),
        ("Payments affected", f"about {incident.payments}"),
    ]
    if incident.value_at_risk:
        worth = [money(minor, currency) for currency, minor in incident.value_at_risk.items()]
        found.append(("Value at risk", ", ".join(worth)))
    if incident.resolved:
        found.append(("Resolved", _moment(incident.resolved)))
    return found


def text(notice: Notice) -> str:
    """The whole message in plain text: what happened, the facts, what to do, how to mute."""
    if notice.kind == "summary":
        listed = [f"- [{incident.severity}] {summary(incident)}" for incident in notice.others[:MOST_LISTED]]
        left = len(notice.others) - len(listed)
        more = [f"- and {left} more: payflux incidents list --open"] if left else []
        return "\n".join([title(notice), *listed, *more])
    lines = [title(notice), *(f"{name}: {value}" for name, value in facts(notice.incident)), *advice(notice)]
    return "\n".join(lines)


def advice(notice: Notice) -> list[str]:
    """What can be done: where it is explained, how to see more, how to mute it."""
    incident = notice.incident
    if notice.test:
        return ["Nothing happened: this message was sent by `payflux alerts test`."]
    lines = [f"What to do: {notice.runbook}"] if notice.runbook else []
    lines.append(f"Details: payflux incidents show {incident.id}")
    if not incident.resolved and incident.processor:
        lines.append(
            f"Mute: payflux alerts mute {incident.processor} --driver {incident.driver.name} --for 2h --why ..."
        )
    return lines


def as_data(notice: Notice) -> dict[str, object]:
    """The same for machines."""
    incident = notice.incident
    driver = measured(incident)
    observed, expected = ratios(driver)
    return {
        "kind": notice.kind,
        "test": notice.test,
        "id": incident.id,
        "processor": incident.processor,
        "severity": incident.severity,
        "driver": incident.driver.name,
        "drivers": [one.name for one in incident.drivers],
        "dimension": incident.dimension,
        "value": incident.value,
        "since": _moment(incident.since),
        "opened_at": _moment(incident.opened),
        "resolved_at": _moment(incident.resolved) if incident.resolved else None,
        "observed_ratio": round(observed, 4),
        "expected_ratio": round(expected, 4),
        "evidence": round(driver.evidence, 2),
        "payments_affected": incident.payments,
        "value_at_risk": incident.value_at_risk,
        "sample_event_ids": list(incident.samples),
        "summary": title(notice),
        "runbook_url": notice.runbook or None,
    }


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
