from datetime import datetime
from typing import Any

import msgspec
import pytest

from incidents import NOON, driver, incident
from payflux.alerts import Later, Notice
from payflux.alerts.receivers.alertmanager import LABELS, Alertmanager
from payflux.operations.incident_gauges import families
from payflux.risk.incidents.incident import SEVERITIES, Change
from payflux.risk.incidents.record import record_of
from queries import alerts as alerts_of_rules
from their_server import receiving


def alerts(notice: Notice) -> list[dict[str, dict[str, str]]]:
    """The alerts of a notice."""
    (request,) = Alertmanager(["http://am"], {"job": "payflux"}, now=lambda: NOON + 100.0).requests(notice)
    assert request.url == "http://am/api/v2/alerts"
    return msgspec.json.decode(request.body, type=list[dict[str, Any]])


def sent(notice: Notice) -> dict[str, dict[str, str]]:
    """The one alert of a notice."""
    (alert,) = alerts(notice)
    return alert


def ends(alert: dict[str, dict[str, str]]) -> float:
    """When it ends."""
    return datetime.fromisoformat(str(alert["endsAt"])).timestamp()


WORDS = {
    "{{ $labels.severity }}": {one: one for one in SEVERITIES},
    '{{ if eq $labels.severity "critical" }}critical{{ else }}warning{{ end }}': {
        "elevated": "warning",
        "high": "warning",
        "critical": "critical",
    },
}
"""What the templates of the rule make of each severity."""

WHOLE = {"dimension": "", "value": "", "processor": "", "drivers": (driver("high_failure_rate", "", ""),)}


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("members", [{}, WHOLE], ids=["a segment", "all traffic of all"])
def test_its_labels_are_those_of_the_rule(severity: str, members: dict[str, Any]) -> None:
    """So that routes, inhibitions and silences work for both; facts stand in the annotations."""
    one = incident(severity=severity, **members)
    (info,) = [family for family in families([record_of(Change("opened", NOON, one), 300)]) if "info" in family.name]
    rule = alerts_of_rules()["PayFluxIncident"]
    made = {name: WORDS[template][severity] for name, template in rule["labels"].items()}
    by_rule = info.samples[0].labels | made | {"alertname": rule["alert"], "job": "payflux"}
    alert = sent(Notice(kind="opened", incident=one, runbook="https://runbook/x"))
    assert alert["labels"] == {name: value for name, value in by_rule.items() if value}
    assert "(9% expected)" in alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == "https://runbook/x"
    assert alert["annotations"]["payments_affected"] == "about 265"


@pytest.mark.parametrize("text", ["job", "job=", "=x", "a b=c", "9a=b", "processor=stripe"])
def test_what_is_no_further_label(text: str) -> None:
    """Or is one of the alert's own."""
    with pytest.raises(ValueError, match="job=payflux"):
        LABELS.parse(text)
    assert LABELS.parse("job=a, region=eu") == {"job": "a", "region": "eu"}


def test_it_ends_when_the_incident_does() -> None:
    """And in five minutes when nobody says so: it is sent again every minute."""
    opened = sent(Notice(kind="still", incident=incident()))
    ended = sent(Notice(kind="resolved", incident=incident(resolved=NOON + 60)))
    assert [ends(alert) for alert in (opened, ended)] == [NOON + 400.0, NOON + 60.0]
    assert opened["labels"] == ended["labels"]


def test_an_end_lies_behind_its_clock_and_not_before_the_beginning() -> None:
    """What ends later than its clock does not end, what begins after its end is refused; whatever Redis says."""
    assert ends(sent(Notice(kind="resolved", incident=incident(resolved=NOON + 100)))) == NOON + 95.0
    for ahead in (98, 500):
        late = sent(Notice(kind="resolved", incident=incident(since=NOON + ahead, resolved=NOON + ahead + 2)))
        assert ends(late) == NOON + 95.0
        assert datetime.fromisoformat(str(late["startsAt"])).timestamp() <= NOON + 95.0


def test_labels_stay_the_same_while_it_worsens() -> None:
    """But for how bad it is, which routes it: Alertmanager takes other labels for another alert."""
    labels = [sent(Notice(kind="opened", incident=incident(severity=name)))["labels"] for name in ("high", "critical")]
    assert labels[0] | {"severity": "critical", "incident_severity": "critical"} == labels[1]


def test_what_worsens_is_one_alert_all_the_time() -> None:
    """The one with the former labels ends in the same request; until then, and at the end, it is the one it knows."""
    with receiving() as server:
        known = Alertmanager([server.url]).send(Notice(kind="opened", incident=incident())).memory
    worse = incident(severity="critical")
    first, former = alerts(Notice(kind="worsened", incident=worse, memory=known))
    assert (first["labels"]["severity"], former["labels"]["severity"]) == ("critical", "warning")
    assert (ends(first), ends(former)) == (NOON + 400.0, NOON + 95.0)
    assert sent(Notice(kind="still", incident=worse, memory=known))["labels"] == former["labels"]
    ended = sent(Notice(kind="resolved", incident=incident(severity="critical", resolved=NOON + 60), memory=known))
    assert (ended["labels"], ends(ended)) == (former["labels"], NOON + 60.0)


def test_one_of_a_cluster_is_enough() -> None:
    """Its members share what they know; when none takes it, it is tried again."""
    with receiving() as one, receiving() as other:
        both = Alertmanager([one.url, other.url])
        notice = Notice(kind="opened", incident=incident())
        one.answers.append((503, {}, b""))
        both.send(notice)
        assert len(one.got) == len(other.got) == 1
        one.answers.append((503, {}, b""))
        other.answers.append((500, {}, b"x"))
        with pytest.raises(Later, match="HTTP 500"):
            both.send(notice)
